"""The client of `websockets`: `websockets.connect`, which is the old implementation before version 14 and the new one since."""

from __future__ import annotations

import asyncio
from typing import Any

import websockets
from conversation import Data, Refused, answer_jobs
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

OLD = int(websockets.__version__.split(".")[0]) < 14


class Client:
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        headers = connection.response_headers if OLD else connection.response.headers
        self.facts = {
            "extensions": headers.get("Sec-WebSocket-Extensions"),
            "subprotocol": connection.subprotocol,
            "cookie": headers.get("Set-Cookie"),
        }

    async def say(self, parts: list[Data]) -> None:
        await self._connection.send(parts[0] if len(parts) == 1 else iter(parts))

    async def hear(self) -> Data:
        data: Data = await self._connection.recv()
        return data

    async def ping(self, payload: bytes) -> None:
        await (await self._connection.ping(payload))

    async def close(self, code: int | None, reason: str) -> None:
        await self._connection.close(*(() if code is None else (code, reason)))

    async def closed(self) -> tuple[int, str]:
        await self._connection.wait_closed()
        close = self._connection.close_rcvd if OLD else self._connection.protocol.close_rcvd
        return close.code, close.reason


async def connect(job: dict[str, Any]) -> Client:
    deflate = job["deflate"]
    options: dict[str, Any] = {} if OLD else {"proxy": None}
    if isinstance(deflate, dict):
        options["extensions"] = [ClientPerMessageDeflateFactory(**deflate)]
    options["compression"] = "deflate" if deflate == "default" else None
    options["extra_headers" if OLD else "additional_headers"] = job["headers"]
    try:
        return Client(
            await websockets.connect(job["url"], max_size=None, subprotocols=job["subprotocols"] or None, **options)
        )
    except websockets.exceptions.InvalidHandshake as error:
        status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
        if status is None:
            raise
        raise Refused(status) from None


asyncio.run(answer_jobs(connect))
