"""What goes over the wire: odd frames as they were, ends as they were, and another compression where the peer wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

import wsproxy
from tests.cli.command import SAMPLES
from tests.relay.raw import ACCEPTED, Peer, RawServer, close_frame, frame, upgrade
from wsproxy import replay
from wsproxy.replay.handshake import accept_for, field
from wsproxy.wire.events import Frame
from wsproxy.wire.frames import FrameStream

from .conversations import only, said
from .made import CLIENT, SERVER, spoken

OPENED = [(CLIENT, upgrade("/stream/s1")), (SERVER, ACCEPTED)]
ODD = [
    frame(b"reserved bits", rsv=7),
    frame(b"reserved opcode", 3),
    frame(b"long form", form=16),
    frame(b"longest form", form=64),
    frame(b"\xff\xfe not UTF-8"),
    frame(b"a continuation of nothing", 0),
    frame(b"begun", fin=False),
    frame(b"p" * 125, 9),
    frame(b"", 0, fin=False),
    frame(b"ended", 0),
    frame(b"unasked", 10),
    frame(b"x" * 70_000, 2),
    frame(b"\x03", 8),
]


async def raw_client(server: replay.Server, use: Callable[[Peer], None]) -> None:
    """Connect, shake hands, and use the blocking end in a thread."""

    def talk() -> None:
        import socket

        peer = Peer(socket.create_connection(("127.0.0.1", server.port)))
        peer.send(upgrade("/stream/s1"))
        peer.read(len(ACCEPTED))
        use(peer)
        peer.close()

    await asyncio.to_thread(talk)
    await server.idle()


async def test_odd_frames_of_a_server_are_the_recorded_bytes(tmp_path: Path) -> None:
    wire = b"".join(ODD)
    recording = spoken(tmp_path / "r.msgpack", [*OPENED, (SERVER, wire), (SERVER, "fin"), (CLIENT, "fin")])
    got: list[bytes] = []
    async with replay.serve(recording, match="none") as server:
        await raw_client(server, lambda peer: got.append(peer.read_to_fin()))
    assert got == [wire]


async def test_odd_frames_of_a_client_differ_in_their_masks_alone(tmp_path: Path) -> None:
    masked = [
        frame(b"reserved bits", rsv=7, mask=b"abcd"),
        frame(b"long form", form=64, mask=b"\0\0\0\0"),
        frame(b"bare"),
    ]
    recording = spoken(tmp_path / "r.msgpack", [*OPENED, (CLIENT, b"".join(masked)), (CLIENT, "fin"), (SERVER, "fin")])
    got = await from_client(recording, lambda peer: peer.read_to_fin())
    frames = [event for event in FrameStream(1, "c2s").feed(got, 0) if isinstance(event, Frame)]
    before = list(recording.frames())
    assert [one._replace(t=0, mask=None) for one in frames] == [one._replace(t=0, mask=None) for one in before]
    assert [one.mask is None for one in frames] == [False, False, True]
    assert frames[1].mask != b"\0\0\0\0"


async def from_client(recording: wsproxy.Recording, use: Callable[[Peer], bytes], **options: object) -> bytes:
    """What a raw server reads of the played client, after the handshake."""
    listener = RawServer()

    def talk() -> bytes:
        peer = listener.accept()
        key = field(peer.read_head(), "sec-websocket-key")
        assert key is not None
        peer.send(ACCEPTED.replace(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accept_for(key).encode()))
        try:
            return use(peer)
        finally:
            peer.close()

    serving = asyncio.create_task(asyncio.to_thread(talk))
    await replay.play(recording, f"ws://127.0.0.1:{listener.port}", match="none", **options)  # type: ignore[arg-type]
    got = await serving
    listener.close()
    return got


async def test_a_reset_of_the_server_is_a_reset(tmp_path: Path) -> None:
    recording = spoken(
        tmp_path / "r.msgpack", [*OPENED, (SERVER, frame(b"last")), (SERVER, "reset"), (CLIENT, "aborted")]
    )
    got: list[bytes] = []
    async with replay.serve(recording) as server:
        await raw_client(server, lambda peer: got.append(peer.read_to_reset()))
    assert got[0] in (frame(b"last"), b"")  # a reset may overtake what was sent before it
    assert server.report.mismatches == []


async def test_a_reset_of_the_client_is_a_reset(tmp_path: Path) -> None:
    recording = spoken(
        tmp_path / "r.msgpack", [*OPENED, (SERVER, frame(b"go")), (CLIENT, "reset"), (SERVER, "aborted")]
    )

    def use(peer: Peer) -> bytes:
        peer.send(frame(b"go"))
        return peer.read_to_reset()

    assert await from_client(recording, use) == b""


async def test_half_a_frame_goes_out_before_the_end_that_cut_it(tmp_path: Path) -> None:
    half = frame(b"announced", length=1000)
    recording = spoken(tmp_path / "r.msgpack", [*OPENED, (SERVER, half), (SERVER, "fin"), (CLIENT, "fin")])
    header = spoken(tmp_path / "h.msgpack", [*OPENED, (SERVER, b"\x81"), (SERVER, "fin"), (CLIENT, "fin")])
    for one, wire in ((recording, half), (header, b"\x81")):
        got: list[bytes] = []
        async with replay.serve(one) as server:
            await raw_client(server, lambda peer, got=got: got.append(peer.read_to_fin()))  # type: ignore[misc]
        assert got == [wire]


async def test_data_after_the_peers_close_frame_is_still_said(tmp_path: Path) -> None:
    words = [
        (CLIENT, close_frame(1000, mask=b"abcd")),
        (SERVER, frame(b"one more thing")),
        (SERVER, close_frame(1000)),
        (SERVER, "fin"),
        (CLIENT, "fin"),
    ]
    got: list[bytes] = []

    def use(peer: Peer) -> None:
        peer.send(close_frame(1000, mask=b"abcd"))
        got.append(peer.read_to_fin())

    async with replay.serve(spoken(tmp_path / "r.msgpack", [*OPENED, *words])) as server:  # type: ignore[list-item]
        await raw_client(server, use)
    assert got == [frame(b"one more thing") + close_frame(1000)]
    assert server.report.mismatches == []


async def test_a_client_without_compression_reads_a_compressed_recording() -> None:
    recording = wsproxy.open(SAMPLES / "long-compressed.msgpack")
    up, down = ([m.text for m in recording.messages() if m.dir == dir and m.opcode == 1] for dir in ("c2s", "s2c"))
    async with (
        replay.serve(recording, pace=replay.at_once, match="strict") as server,
        connect(f"{server.url}/stream/{recording.header.stream_id}", compression=None) as client,
    ):
        for text in up:
            await client.send(text)
        assert [await client.recv() for _ in down] == down
    assert any("other compression" in note for note in server.report.notes)


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_a_server_that_agrees_to_other_compression_reads_the_client(
    tmp_path: Path, compression: str | None
) -> None:
    recording = wsproxy.open(SAMPLES / "long-compressed.msgpack")
    up, down = ([m.text for m in recording.messages() if m.dir == dir and m.opcode == 1] for dir in ("c2s", "s2c"))
    got: list[str] = []

    async def talk(connection: ServerConnection) -> None:
        for text in down:
            await connection.send(text)
        got.extend([str(await connection.recv()) for _ in up])

    async with serve(talk, "127.0.0.1", 0, compression=compression) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        only_websocket = replay.play(recording, url, pace=replay.at_once, match="none", record=tmp_path)
        report = await only_websocket
    assert got == up
    compressed = {one.compressed for one in said(only(report), "c2s") if one.opcode == 1}
    assert compressed == {compression is not None}


async def test_frames_that_come_with_the_upgrade_are_heard(tmp_path: Path) -> None:
    words = [(CLIENT, frame(b"go", mask=b"abcd")), (SERVER, frame(b"gone")), (SERVER, "fin"), (CLIENT, "fin")]
    recording = spoken(tmp_path / "r.msgpack", [*OPENED, *words])  # type: ignore[list-item]
    async with replay.serve(recording, record=tmp_path / "new") as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(upgrade("/stream/s1") + frame(b"go", mask=b"abcd"))
        assert (await reader.read()).endswith(frame(b"gone"))
        writer.close()
        await server.idle()
    assert server.report.mismatches == []
    only(server.report)
