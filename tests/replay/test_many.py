"""A hundred thousand frames, and a thousand streams at once: nothing is missing. Times are not looked at here."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

import wsproxy
from tests.relay.raw import ACCEPTED, close_frame, frame, upgrade
from wsproxy import replay

from .conversations import only
from .made import CLIENT, HEADER, SERVER, spoken

FRAMES = 100_000
STREAMS = 1_000


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Two thousand connections have four thousand ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * STREAMS + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"{hard} descriptors allowed, {wanted} needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def word(n: int) -> bytes:
    return b'{"type":"CHUNK","data":{"n":%d,"text":"%s"}}' % (n, b"x" * 200)


def long_recording(path: Path) -> wsproxy.Recording:
    """One word of the client, many of the server's."""
    many = b"".join(frame(word(n)) for n in range(FRAMES))
    words = [
        (CLIENT, upgrade("/stream/s1")),
        (SERVER, ACCEPTED),
        (CLIENT, frame(b"go", mask=b"abcd")),
        *((SERVER, many[at : at + 65_536]) for at in range(0, len(many), 65_536)),
        (SERVER, close_frame(1000)),
        (CLIENT, close_frame(1000, mask=b"abcd")),
        (SERVER, "fin"),
        (CLIENT, "fin"),
    ]
    return spoken(path, words)  # type: ignore[arg-type]


async def test_a_hundred_thousand_frames_pass_both_ways(tmp_path: Path) -> None:
    recording = long_recording(tmp_path / "long.msgpack")
    async with replay.serve(recording, pace=replay.at_once, record=tmp_path / "served") as server:
        report = await replay.play(
            recording, server.url, pace=replay.at_once, match="strict", record=tmp_path / "played"
        )
        await server.idle()
    assert report.mismatches == server.report.mismatches == []
    assert server.report.sent.messages == report.received.messages == FRAMES
    assert [m.data for m in only(report).messages() if m.dir == "s2c"][:-1] == [word(n) for n in range(FRAMES)]


async def test_a_slow_reader_slows_the_server_and_loses_nothing(tmp_path: Path) -> None:
    recording = long_recording(tmp_path / "long.msgpack")
    async with (
        replay.serve(recording, pace=replay.at_once) as server,
        connect(f"{server.url}/stream/s1", max_queue=4, compression=None) as client,
    ):
        await client.send("go")
        for n in range(FRAMES):
            assert await client.recv(decode=False) == word(n)
    assert server.report.mismatches == []


def streams(folder: Path) -> None:
    """Recordings of many streams, each with words of its own."""
    folder.mkdir()
    for who in range(STREAMS):
        words = [
            (CLIENT, upgrade(f"/stream/stream-{who:04}")),
            (SERVER, ACCEPTED),
            (CLIENT, frame(b"question %d" % who, mask=b"abcd")),
            (SERVER, frame(b"answer %d" % who)),
            (CLIENT, frame(b"thanks", mask=b"abcd")),
            (SERVER, close_frame(1000)),
            (CLIENT, close_frame(1000, mask=b"abcd")),
            (SERVER, "fin"),
            (CLIENT, "fin"),
        ]
        spoken(folder / f"{who:04}.msgpack", words, HEADER._replace(stream_id=f"stream-{who:04}"))  # type: ignore[arg-type]


async def test_a_thousand_clients_at_once_get_each_their_stream(tmp_path: Path, descriptors: None) -> None:
    streams(tmp_path / "recordings")
    all_here = asyncio.Event()
    here = 0

    async def talk(who: int) -> bytes | str:
        nonlocal here
        async with connect(f"{server.url}/stream/stream-{who:04}", open_timeout=60, compression=None) as client:
            here += 1
            if here == STREAMS:
                all_here.set()
            await all_here.wait()
            await client.send(f"question {who}")
            answer = await client.recv()
            await client.send("thanks")
            await client.wait_closed()
            return answer

    async with replay.serve(tmp_path / "recordings", match="strict") as server:
        answers = await asyncio.gather(*map(talk, range(STREAMS)))
        await server.idle()
    assert answers == [f"answer {who}" for who in range(STREAMS)]
    assert server.report.mismatches == []
    assert server.report.connections == STREAMS


async def test_a_thousand_clients_are_played_at_once(tmp_path: Path, descriptors: None) -> None:
    streams(tmp_path / "recordings")
    heard: dict[str, list[str]] = {}

    async def talk(connection: ServerConnection) -> None:
        assert connection.request is not None
        words = heard.setdefault(connection.request.path, [])
        words.append(str(await connection.recv()))
        await connection.send(f"answer {words[0].split()[1]}")
        words.append(str(await connection.recv()))

    async with serve(talk, "127.0.0.1", 0, backlog=STREAMS) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        paths = sorted((tmp_path / "recordings").iterdir())
        reports = await asyncio.gather(*(replay.play(path, url, match="strict", timeout=60) for path in paths))
    assert [report.mismatches for report in reports] == [[]] * STREAMS
    assert heard == {f"/stream/stream-{who:04}": [f"question {who}", "thanks"] for who in range(STREAMS)}
