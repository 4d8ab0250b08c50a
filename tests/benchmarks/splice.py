"""Peers `splice…`: the least that a proxy in Python can do. Bytes from one socket to the other, nothing recorded.

Strategy: two asyncio protocols that know each other, under uvloop. What it costs above "no proxy" is the price of a
third process in the path; what a recorder costs above *this* is the recording. The variants tell what the choice of the
event loop and of the kind of protocol is worth: `python -m splice UPSTREAM_PORT READY_FD [asyncio] [buffered]`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from .announce import announce


class Dialling(asyncio.Protocol):
    """The client's socket until the upstream one is there; keeps what arrives meanwhile.

    (Pausing the reader would be simpler, but uvloop ignores `pause_reading` inside `connection_made`.)
    """

    transport: asyncio.Transport

    def __init__(self, upstream_port: int, side: type[Side]) -> None:
        self.upstream_port = upstream_port
        self.side = side
        self.early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.dialling = asyncio.ensure_future(self.dial())

    def data_received(self, data: bytes) -> None:
        self.early.append(data)

    async def dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            upstream, _ = await loop.create_connection(
                lambda: self.side(self.transport), "127.0.0.1", self.upstream_port
            )
        except OSError:
            self.transport.abort()
            return
        upstream.write(b"".join(self.early))
        self.transport.set_protocol(self.side(upstream))


class Side(asyncio.Protocol):
    """One of two sockets that are spliced: what it reads goes to `other`, as fast as `other` takes it."""

    def __init__(self, other: asyncio.Transport) -> None:
        self.other = other

    def data_received(self, data: bytes) -> None:
        self.other.write(data)

    def eof_received(self) -> bool:
        if self.other.can_write_eof():
            self.other.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.other.close()

    def pause_writing(self) -> None:
        # Called on the protocol of the full socket: stop reading the socket that fills it.
        self.other.pause_reading()

    def resume_writing(self) -> None:
        self.other.resume_reading()


class BufferedSide(Side, asyncio.BufferedProtocol):
    """The same with a buffer of its own that is read into: the bytes are copied once to be sent on."""

    def __init__(self, other: asyncio.Transport) -> None:
        super().__init__(other)
        self._room = memoryview(bytearray(65_536))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        self.other.write(bytes(self._room[:nbytes]))


async def serve(upstream_port: int, ready_fd: int, side: type[Side]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Dialling(upstream_port, side), "127.0.0.1", 0, backlog=4_096)
    announce(ready_fd, "splice", server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    serving = serve(int(sys.argv[1]), int(sys.argv[2]), BufferedSide if "buffered" in sys.argv else Side)
    if "asyncio" in sys.argv:
        asyncio.run(serving)
    else:
        uvloop.run(serving)
