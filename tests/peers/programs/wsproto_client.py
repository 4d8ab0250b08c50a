"""A client on wsproto, with sockets of our own: it follows no redirect."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from conversation import Data, Refused, answer_jobs
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._events: list[Event] = []
        self._close: CloseConnection | None = None
        self.facts: dict[str, Any] = {}

    async def open(self, job: dict[str, Any]) -> None:
        url = urlsplit(job["url"])
        deflate = job["deflate"]
        extensions = [] if deflate is None else [PerMessageDeflate(**({} if deflate == "default" else deflate))]
        await self._send(
            Request(
                host=url.netloc,
                target=f"{url.path}?{url.query}" if url.query else url.path,
                extensions=extensions,
                subprotocols=job["subprotocols"],
                extra_headers=[(name.encode(), value.encode()) for name, value in job["headers"].items()],
            )
        )
        answer = await self._next()
        if isinstance(answer, RejectConnection):
            self._writer.close()
            raise Refused(answer.status_code)
        assert isinstance(answer, AcceptConnection), answer
        headers = {name.lower(): value.decode() for name, value in answer.extra_headers}
        self.facts = {
            "extensions": f"permessage-deflate; {extensions[0].offer()}" if answer.extensions else None,
            "subprotocol": answer.subprotocol,
            "cookie": headers.get(b"set-cookie"),
        }

    async def say(self, parts: list[Data]) -> None:
        for n, part in enumerate(parts, 1):
            kind = TextMessage if isinstance(part, str) else BytesMessage
            await self._send(kind(data=part, message_finished=n == len(parts)))

    async def hear(self) -> Data:
        parts: list[Any] = []
        while True:
            event = await self._next()
            assert isinstance(event, TextMessage | BytesMessage), event
            parts.append(event.data)
            if event.message_finished:
                return (b"" if isinstance(event, BytesMessage) else "").join(parts)  # type: ignore[no-any-return,attr-defined]

    async def ping(self, payload: bytes) -> None:
        await self._send(Ping(payload=payload))

    async def close(self, code: int | None, reason: str) -> None:
        await self._send(CloseConnection(code=1005 if code is None else code, reason=reason or None))

    async def closed(self) -> tuple[int, str]:
        close = await self._next()
        assert isinstance(close, CloseConnection), close
        if self._protocol.state is ConnectionState.REMOTE_CLOSING:
            await self._send(close.response())
        await self._reader.read()
        self._writer.close()
        return close.code, close.reason or ""

    async def _send(self, event: Event) -> None:
        self._writer.write(self._protocol.send(event))
        await self._writer.drain()

    async def _next(self) -> Event:
        """The next event that is no ping or pong; pings are answered."""
        while True:
            while not self._events:
                self._protocol.receive_data(await self._reader.read(65536) or None)
                self._events = list(self._protocol.events())
            event = self._events.pop(0)
            if isinstance(event, Ping):
                await self._send(event.response())
            elif not isinstance(event, Pong):
                return event


async def connect(job: dict[str, Any]) -> Client:
    url = urlsplit(job["url"])
    client = Client(*await asyncio.open_connection(url.hostname, url.port))
    await client.open(job)
    return client


asyncio.run(answer_jobs(connect))
