"""What a replay reaches: `python -m tests.benchmarks.replays`. Prints, decides nothing; completeness is what tests/replay asserts.

Strategy: in each round the same reader gets the same frames from a replay at `--pace max` and from plain servers, seconds apart: one that
writes the finished bytes (the floor), and the `websockets` library. Then streams with a message every 200 ms are played at the recorded pace, one,
a hundred and a thousand at once: how late a message is, and whether the last one is later than the first (drift).
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as websockets_serve

import wsproxy
from tests.relay.raw import ACCEPTED, close_frame, frame, upgrade
from tests.replay.made import CLIENT, HEADER, MS, SERVER, spoken, write
from wsproxy import replay
from wsproxy.recording.events import Event
from wsproxy.replay.loop import run
from wsproxy.wire.events import Frame

FRAMES = 100_000
ROUNDS = 3
STREAMS = (1, 100, 1000)
BEATS, BEAT = 20, 200 * MS

ServerOf = Callable[[], AbstractAsyncContextManager[int]]


def word(n: int) -> bytes:
    return b'{"type":"CHUNK","data":{"n":%06d,"text":"%s"}}' % (n, b"x" * 240)


def long_recording(folder: Path) -> tuple[wsproxy.Recording, bytes]:
    """A recording of one client's word and many of the server's; and the bytes of the latter."""
    many = b"".join(frame(word(n)) for n in range(FRAMES)) + close_frame(1000)
    words = [(CLIENT, upgrade("/stream/s1")), (SERVER, ACCEPTED), (CLIENT, frame(b"go", mask=b"abcd"))]
    words += [(SERVER, many[at : at + 65_536]) for at in range(0, len(many), 65_536)]
    return spoken(folder / "long.msgpack", words), many


async def read_all(port: int, size: int) -> float:
    """Seconds in which a plain reader gets so many bytes after its word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(upgrade("/stream/s1"))
    await reader.readuntil(b"\r\n\r\n")
    began = time.monotonic()
    writer.write(frame(b"go", mask=b"abcd"))
    left = size
    while left > 0:
        data = await reader.read(1 << 20)
        assert data, f"{left:,} bytes are missing"
        left -= len(data)
    took = time.monotonic() - began
    writer.close()
    return took


async def throughput(folder: Path) -> None:
    """Frames per second of each server, and the ratio to the plain ones within each round."""
    recording, many = long_recording(folder)

    @asynccontextmanager
    async def replayed() -> AsyncIterator[int]:
        async with replay.serve(recording, pace=replay.at_once) as server:
            yield server.port

    @asynccontextmanager
    async def bytes_only() -> AsyncIterator[int]:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ACCEPTED)
            await reader.read(8)
            for at in range(0, len(many), 65_536):
                writer.write(many[at : at + 65_536])
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()

    @asynccontextmanager
    async def library() -> AsyncIterator[int]:
        async def talk(connection: ServerConnection) -> None:
            await connection.recv()
            with contextlib.suppress(Exception):
                for n in range(FRAMES):
                    await connection.send(word(n), text=True)

        async with websockets_serve(talk, "127.0.0.1", 0, compression=None, close_timeout=0.1) as server:
            yield server.sockets[0].getsockname()[1]

    servers: dict[str, ServerOf] = {"bytes": bytes_only, "websockets": library, "replay": replayed}
    took: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(ROUNDS):
        for name, server in servers.items():
            async with server() as port:
                took[name].append(await read_all(port, len(many)))
    print(f"{FRAMES:,} frames of {len(word(0))} bytes, {ROUNDS} rounds")
    for name, times in took.items():
        ratios = [mine / own for mine, own in zip(times, took["replay"], strict=True)]
        rate = FRAMES / statistics.median(times)
        print(f"  {name:<11}{rate:>12,.0f} frames/s   replay is {statistics.median(ratios):5.2f} times as fast")


def beating(path: Path, who: int) -> wsproxy.Recording:
    """A recording of a message every 200 ms."""
    name = f"stream-{who:05}"
    words = [
        (CLIENT, upgrade(f"/stream/{name}")),
        (SERVER, ACCEPTED),
        *[(SERVER, frame(word(n))) for n in range(BEATS)],
    ]
    header = HEADER._replace(stream_id=name)
    events: list[Event] = []
    for event in spoken(path, words, header).events():
        beat = sum(isinstance(one, Frame) for one in events)
        events.append(event._replace(t=event.t + (beat + 1) * BEAT) if isinstance(event, Frame) else event)
    return write(path, events, header)


async def schedule(folder: Path, streams: int) -> None:
    """How late messages are at the recorded pace, and whether they drift."""
    recordings = [beating(folder / f"{who}.msgpack", who) for who in range(streams)]
    drifts: list[float] = []

    async def listen(port: int, who: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(upgrade(f"/stream/stream-{who:05}"))
        await reader.readuntil(b"\r\n\r\n")
        size = len(frame(word(0)))
        await reader.readexactly(size)
        first = time.monotonic()
        await reader.readexactly(size * (BEATS - 1))
        drifts.append(time.monotonic() - first - (BEATS - 1) * (BEAT + MS) / 1e9)
        writer.close()

    async with replay.serve(recordings, match="none") as server:
        await asyncio.gather(*(listen(server.port, who) for who in range(streams)))
    timing = server.report.timing
    drift = statistics.median(drifts)
    print(
        f"  {streams:>5} streams: {timing.steps:>6,} steps, late by {timing.median * 1e3:6.2f} ms in the median, "
        f"{timing.p99 * 1e3:7.2f} ms at the 99th percentile; drift in {BEATS} messages {drift * 1e3:+.2f} ms"
    )


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        await throughput(Path(folder))
    print(f"a message every {BEAT // MS} ms at the recorded pace; reader and replay share one process")
    for streams in STREAMS:
        with tempfile.TemporaryDirectory() as folder:
            await schedule(Path(folder), streams)


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else 8192, hard))
    run(main())
