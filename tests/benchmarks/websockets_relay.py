"""Peer `websockets`: the recorder that one would write in an afternoon, with the websockets library and msgpack.

Strategy: end the WebSocket on both sides, one task per direction, pack each message before it is sent on. It shows
what re-framing costs; it is not transparent (handshake, masks, fragmentation and pings are its own).
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import BinaryIO

import msgpack
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from .announce import announce

Connection = ServerConnection | ClientConnection


async def forward(source: Connection, sink: Connection, direction: str, recording: BinaryIO) -> None:
    try:
        async for message in source:
            recording.write(msgpack.packb({"t": time.monotonic_ns(), "dir": direction, "payload": message}))
            await sink.send(message)
    except ConnectionClosed:
        pass
    await sink.close(source.close_code or 1000, source.close_reason or "")


async def relay(upstream_port: int, folder: Path, ready_fd: int) -> None:
    async def handle(client: ServerConnection) -> None:
        assert client.request is not None
        path = client.request.path
        upstream = connect(f"ws://127.0.0.1:{upstream_port}{path}", compression=None, max_size=None, open_timeout=60)
        with (folder / f"{path.rpartition('/')[2]}.msgpack").open("wb") as recording:
            async with upstream as server:
                await asyncio.gather(
                    forward(client, server, "c2s", recording), forward(server, client, "s2c", recording)
                )

    async with serve(handle, "127.0.0.1", 0, compression=None, max_size=None, open_timeout=60, backlog=4_096) as server:
        announce(ready_fd, "websockets", next(iter(server.sockets)).getsockname()[1])
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(relay(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
