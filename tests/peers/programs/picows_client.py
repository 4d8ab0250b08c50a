"""The client of picows."""

from __future__ import annotations

import asyncio
from typing import Any

from conversation import Data, Refused, answer_jobs
from picows import WSInvalidStatusError, WSTransport, ws_connect
from picows_frames import Messages, send_close, send_parts


class Listener(Messages):
    def __init__(self) -> None:
        super().__init__()
        self.messages: asyncio.Queue[Data] = asyncio.Queue()
        self.close: tuple[int, str] | None = None

    def on_message(self, transport: WSTransport, data: Data) -> None:
        self.messages.put_nowait(data)

    def on_close(self, code: int, reason: str) -> None:
        self.close = code, reason


class Client:
    def __init__(self, transport: WSTransport, listener: Listener) -> None:
        self._transport = transport
        self._listener = listener
        headers = transport.response.headers
        self.facts = {
            "extensions": headers.get("Sec-WebSocket-Extensions"),
            "subprotocol": headers.get("Sec-WebSocket-Protocol"),
            "cookie": headers.get("Set-Cookie"),
        }

    async def say(self, parts: list[Data]) -> None:
        send_parts(self._transport, parts)

    async def hear(self) -> Data:
        return await self._listener.messages.get()

    async def ping(self, payload: bytes) -> None:
        self._transport.send_ping(payload)

    async def close(self, code: int | None, reason: str) -> None:
        send_close(self._transport, code, reason.encode())

    async def closed(self) -> tuple[int, str]:
        await self._transport.wait_disconnected()
        assert self._listener.close is not None, "the connection ended without a close frame"
        return self._listener.close


async def connect(job: dict[str, Any]) -> Client:
    headers = dict(job["headers"])
    if job["subprotocols"]:
        headers["Sec-WebSocket-Protocol"] = ", ".join(job["subprotocols"])
    try:
        transport, listener = await ws_connect(Listener, job["url"], extra_headers=headers)
    except WSInvalidStatusError as error:
        raise Refused(int(error.response.status)) from None
    return Client(transport, listener)


asyncio.run(answer_jobs(connect))
