"""What goes wrong at the control plane's endpoint: in its connection with the callback.

Strategy: the endpoint uses its WebSocket through a `Connection` (accept, receive, send); each fault is one with one of
these changed. The endpoint above it notices nothing: it goes on, and its log says "sent".
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final

from aiohttp import web

from wsproxy.demo.control_plane import Connection, Message
from wsproxy.demo.outcome import finishes

CHUNKS: Final = 2
"""How many chunks go out before a connection goes wrong."""
CHUNKS_READ: Final = 3


class Refusing(Connection):
    """Answers the handshake with 403."""

    async def accept(self) -> None:
        raise web.HTTPForbidden(text="this control plane takes no streams\n")


class Deaf(Connection):
    """Takes no chunk after the third: they come in and nobody looks at them."""

    def __init__(self, request: web.Request) -> None:
        super().__init__(request)
        self._taken = 0

    async def receive(self) -> Message | None:
        while (message := await super().receive()) is not None and message.get("type") == "CHUNK":
            self._taken += 1
            if self._taken <= CHUNKS_READ:
                break
        return message


class Busy(Connection):
    """Reads no further, not even a close frame, from the response's finish until the policy has said something."""

    def __init__(self, request: web.Request) -> None:
        super().__init__(request)
        self._free = asyncio.Event()
        self._free.set()

    async def receive(self) -> Message | None:
        await self._free.wait()
        message = await super().receive()
        if message is not None and message.get("type") == "CHUNK" and finishes(message["data"]):
            self._free.clear()
        return message

    async def send(self, message: Message) -> None:
        await super().send(message)
        self._free.set()


class WithoutEnd(Connection):
    """Never says END."""

    async def send(self, message: Message) -> None:
        if message["type"] != "END":
            await super().send(message)


class _Counting(Connection):
    """Knows the number of the chunk that it sends, from 1."""

    def __init__(self, request: web.Request) -> None:
        super().__init__(request)
        self._chunks = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "CHUNK":
            self._chunks += 1
            await self._send_chunk(message, self._chunks)
        else:
            await super().send(message)

    async def _send_chunk(self, message: Message, number: int) -> None:
        await super().send(message)


class Mangling(_Counting):
    """Sends the second chunk without the fields that make it one."""

    async def _send_chunk(self, message: Message, number: int) -> None:
        if number == CHUNKS:
            lost = ("choices", "model", "created")
            data = {key: value for key, value in message["data"].items() if key not in lost}
            message = {**message, "data": data}
        await super()._send_chunk(message, number)


class Babbling(_Counting):
    """Sends text that is no JSON in place of the second chunk."""

    async def _send_chunk(self, message: Message, number: int) -> None:
        if number == CHUNKS:
            await self.ws.send_str('{"type":"CHUNK","data":{"id":')
        else:
            await super()._send_chunk(message, number)


class Dropping(_Counting):
    """Loses the second chunk in its send, without a word."""

    async def _send_chunk(self, message: Message, number: int) -> None:
        if number != CHUNKS:
            await super()._send_chunk(message, number)


class Failing(_Counting):
    """Sends two chunks; then something breaks in the endpoint itself."""

    async def _send_chunk(self, message: Message, number: int) -> None:
        if number > CHUNKS:
            raise RuntimeError("the endpoint's store of streams is gone")
        await super()._send_chunk(message, number)


class _Leaving(_Counting):
    """Sends two chunks and leaves; the endpoint goes on sending all the same."""

    async def _send_chunk(self, message: Message, number: int) -> None:
        await super()._send_chunk(message, number)
        if number == CHUNKS:
            await self._leave()

    async def _leave(self) -> None:
        raise NotImplementedError


class Closing(_Leaving):
    """Closes as if it were done."""

    async def _leave(self) -> None:
        await self.close()


class Breaking(_Leaving):
    """Closes with 1011, as a server does that has failed."""

    async def _leave(self) -> None:
        await self.close(1011, "internal error")


class Vanishing(_Leaving):
    """Ends its side of the TCP connection, without a close frame; takes and sends nothing any more."""

    _gone = False

    async def receive(self) -> Message | None:
        message = await super().receive()
        return None if self._gone else message

    async def send(self, message: Message) -> None:
        if not self._gone:
            await super().send(message)

    async def _leave(self) -> None:
        self._gone = True
        if self.request.transport is not None:
            self.request.transport.write_eof()  # not close(): with data unread that would be a reset


class Resetting(_Leaving):
    """Resets the TCP connection, as a process does that is killed with data unread."""

    async def _leave(self) -> None:
        if self.request.transport is not None:
            reset_on_close = struct.pack("ii", 1, 0)
            sock = self.request.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_on_close)
            self.request.transport.abort()


CONNECTIONS: Final[dict[str, type[Connection]]] = {
    "handshake-refused": Refusing,
    "not-read": Deaf,
    "bad-chunk": Mangling,
    "bad-json": Babbling,
    "error": Failing,
    "after-close": Busy,
    "not-sent": Dropping,
    "missing-end": WithoutEnd,
    "early-close": Closing,
    "abnormal-close": Breaking,
    "vanish": Vanishing,
    "reset": Resetting,
}
