"""The client of aiohttp. Of permessage-deflate it can be given the window; a message is always one frame."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp import WSMsgType
from conversation import Data, Refused, answer_jobs


class Client:
    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self._socket = socket
        headers = socket._response.headers
        self.facts = {
            "extensions": headers.get("Sec-WebSocket-Extensions"),
            "subprotocol": socket.protocol,
            "cookie": headers.get("Set-Cookie"),
        }

    async def say(self, parts: list[Data]) -> None:
        if isinstance(parts[0], str):
            await self._socket.send_str("".join(parts))  # type: ignore[arg-type]
        else:
            await self._socket.send_bytes(b"".join(parts))  # type: ignore[arg-type]

    async def hear(self) -> Data:
        message = await self._socket.receive()
        assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), message
        data: Data = message.data
        return data

    async def ping(self, payload: bytes) -> None:
        await self._socket.ping(payload)

    async def close(self, code: int | None, reason: str) -> None:
        self._code = code
        await self._socket.close(code=1000 if code is None else code, message=reason.encode())

    async def closed(self) -> tuple[int | None, str | None]:
        if not self._socket.closed:
            message = await self._socket.receive()
            assert message.type == WSMsgType.CLOSE, message
            close = (message.data, message.extra)
        else:
            close = (self._socket.close_code, None)  # the reason is not kept
        await self._session.close()
        return close


async def connect(job: dict[str, Any]) -> Client:
    deflate = job["deflate"]
    bits = 0 if deflate is None else 15 if deflate == "default" else deflate["client_max_window_bits"]
    session = aiohttp.ClientSession()
    try:
        socket = await session.ws_connect(
            job["url"], compress=bits, max_msg_size=0, protocols=job["subprotocols"], headers=job["headers"]
        )
    except aiohttp.WSServerHandshakeError as error:
        await session.close()
        raise Refused(error.status) from None
    return Client(session, socket)


asyncio.run(answer_jobs(connect))
