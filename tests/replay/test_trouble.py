"""Peers that are absent, silent, early or something else, recordings that are not whole: a clear line and an exit status."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

import wsproxy
from tests.cli.command import SAMPLES, Done, assert_trouble
from tests.cli.command import wsproxy as command
from tests.relay.raw import ACCEPTED, RESET, frame, upgrade
from wsproxy import replay
from wsproxy.replay.connection import Connection
from wsproxy.wire.events import S2C, Request

from .made import CLIENT, SERVER, changed, spoken, write

GOOD = SAMPLES / "blocked-delivered.msgpack"
HELLO = [
    (CLIENT, upgrade("/stream/s1")),
    (SERVER, ACCEPTED),
    (CLIENT, frame(b"hello", mask=b"abcd")),
    (SERVER, frame(b"world")),
    (CLIENT, frame(b"\x03\xe8", 8, mask=b"abcd")),
    (SERVER, frame(b"\x03\xe8", 8)),
    (SERVER, "fin"),
    (CLIENT, "fin"),
]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def peer(talk: Talk) -> AsyncIterator[str]:
    """A TCP server that does with each connection what the test wants; its URL."""

    talking: list[asyncio.Task[None] | None] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talking.append(asyncio.current_task())
        try:
            await talk(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*(task for task in talking if task is not None))


async def to(url: str, recording: Path, tmp_path: Path, *options: str) -> Done:
    """`wsproxy replay RECORDING --to URL`, in a process."""
    return await asyncio.to_thread(command, "replay", recording, "--to", url, "--record", tmp_path / "new", *options)


# --- peers -------------------------------------------------------------------------------------------------------------


async def test_an_absent_server_is_trouble(tmp_path: Path) -> None:
    done = await to("ws://127.0.0.1:1", GOOD, tmp_path)
    assert_trouble(done, "ws://127.0.0.1:1", "connection refused", "--to")


async def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    recording = spoken(tmp_path / "r.msgpack", HELLO)
    async with peer(hang) as url:
        done = await to(url, recording.path, tmp_path, "--timeout", "0.3")
    assert done.status == 1
    assert "the server's handshake" in done.out and "nothing for 0.3 s" in done.out


async def test_a_server_that_goes_silent_later_is_given_up(tmp_path: Path) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        await reader.read()

    recording = spoken(tmp_path / "r.msgpack", HELLO)
    async with peer(hang) as url:
        done = await to(url, recording.path, tmp_path, "--timeout", "0.3")
    assert done.status == 1
    assert "the server's message 1 (event 4): type: expected text, got nothing for 0.3 s" in done.out


async def test_a_server_that_answers_plain_http_has_diverged(tmp_path: Path) -> None:
    async def ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    recording = spoken(tmp_path / "r.msgpack", HELLO)
    async with peer(ok) as url:
        done = await to(url, recording.path, tmp_path)
    assert done.status == 1
    assert "status: expected 101 Switching Protocols, got 200 OK" in done.out


async def test_a_server_of_another_protocol_is_trouble(tmp_path: Path) -> None:
    async def ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        await reader.read(1)

    recording = spoken(tmp_path / "r.msgpack", HELLO)
    async with peer(ssh) as url:
        done = await to(url, recording.path, tmp_path)
    assert_trouble(done, "does not speak HTTP", "SSH-2.0")


@pytest.mark.parametrize("close", [True, False])
async def test_a_server_that_closes_early_is_told(tmp_path: Path, close: bool) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        if close:
            writer.write(frame(b"\x03\xf3", 8))
            await reader.read()

    recording = spoken(tmp_path / "r.msgpack", HELLO)
    async with peer(leave) as url:
        done = await to(url, recording.path, tmp_path, "--timeout", "2")
    assert done.status == 1
    assert ("close 1011" if close else "the end of the connection") in done.out or "was due" in done.out


async def test_a_server_that_lies_about_the_key_is_told(tmp_path: Path) -> None:
    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ACCEPTED)
        await reader.read()

    recording = spoken(tmp_path / "r.msgpack", HELLO)
    async with peer(lie) as url:
        done = await to(url, recording.path, tmp_path, "--timeout", "2")
    assert done.status == 1
    assert "sec-websocket-accept" in done.out


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A right handshake."""
    from wsproxy.replay.handshake import accept_for, field

    key = field(await reader.readuntil(b"\r\n\r\n"), "sec-websocket-key")
    assert key is not None
    writer.write(ACCEPTED.replace(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accept_for(key).encode()))


# --- serving -----------------------------------------------------------------------------------------------------------


async def test_a_port_in_use_is_trouble(tmp_path: Path) -> None:
    async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peer(nothing) as url:
        port = url.rpartition(":")[2]
        done = await asyncio.to_thread(command, "replay", GOOD, "--serve", f":{port}")
    assert_trouble(done, f"127.0.0.1:{port}", "in use", "--serve")


async def test_an_unknown_path_gets_404_and_what_is_served() -> None:
    async with replay.serve(GOOD) as server:
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"{server.url}/elsewhere"):
                pass
    response = refused.value.response
    assert response.status_code == 404
    assert response.body is not None
    assert b'"/stream/<id>"' in response.body and b'"asked": "GET /elsewhere"' in response.body
    assert [mismatch.field for mismatch in server.report.mismatches] == ["path"]


async def test_a_played_path_is_refused_unless_it_repeats() -> None:
    for repeat in (False, True):
        async with replay.serve(GOOD, repeat=repeat, match="none", pace=replay.at_once) as server:
            async with connect(f"{server.url}/stream/one"):
                pass
            await server.idle()
            if repeat:
                async with connect(f"{server.url}/stream/two"):
                    pass
            else:
                with pytest.raises(InvalidStatus) as refused:
                    async with connect(f"{server.url}/stream/two"):
                        pass
                assert b"--repeat" in (refused.value.response.body or b"")


async def test_garbage_from_a_client_ends_that_connection_alone() -> None:
    async with replay.serve(GOOD) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert await reader.read() == b""
        writer.close()
        async with connect(f"{server.url}/stream/one"):
            pass
    assert any("not HTTP" in note for note in server.report.notes)


async def test_a_client_that_resets_is_no_more_than_a_difference() -> None:
    async with replay.serve(GOOD) as server:
        async with connect(f"{server.url}/stream/one") as client:
            client.transport.abort()
        await server.idle()
    assert server.report.exit_status == 1


async def test_a_peer_that_resets_just_before_our_own_end_leaves_no_connection_open() -> None:
    made: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
    accept = partial(Connection, S2C, None, opened=made.set_result)
    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    client = socket.create_connection(server.sockets[0].getsockname())
    connection = await made
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()
    connection.close("")  # before the loop has heard of it
    assert connection.gone
    server.close()


# --- recordings --------------------------------------------------------------------------------------------------------


def test_no_such_recording_is_trouble(tmp_path: Path) -> None:
    assert_trouble(command("replay", tmp_path / "none.msgpack", "--to", "ws://127.0.0.1:1"), "no such file")


def test_a_recording_of_nothing_is_trouble(tmp_path: Path) -> None:
    path = write(tmp_path / "empty.msgpack", []).path
    assert_trouble(command("replay", path, "--to", "ws://127.0.0.1:1"), "nothing to play", "wsproxy show")


def test_no_recording_at_all_is_trouble(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_trouble(command("replay", tmp_path / "empty", "--serve", ":0"), "no recording")
    (tmp_path / "text.msgpack").write_text("hello")
    assert_trouble(command("replay", tmp_path / "text.msgpack", "--serve", ":0"), "text.msgpack")


async def test_a_recording_without_frames_is_a_handshake(tmp_path: Path) -> None:
    recording = spoken(tmp_path / "r.msgpack", HELLO[:2])
    async with replay.serve(recording) as server:
        report = await replay.play(recording, server.url)
        await server.idle()
    assert report.exit_status == server.report.exit_status == 0


@pytest.mark.parametrize("lost", [1, 40, 300])
async def test_of_a_torn_recording_what_is_whole_is_played(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "torn.msgpack"
    path.write_bytes(GOOD.read_bytes()[: -700 - lost])
    kept = [frame for frame in wsproxy.open(path).frames() if len(frame.payload) == frame.length]
    async with replay.serve(path) as server:
        report = await replay.play(path, server.url)
        await server.idle()
    assert report.mismatches == server.report.mismatches == []
    assert report.sent.frames + server.report.sent.frames == len(kept)
    assert any("cut off" in note for note in report.notes)
    assert any("cut off" in note for note in server.report.notes)


async def test_a_recording_that_stops_in_a_message_does_not_play_half_of_it(tmp_path: Path) -> None:
    parts = [*HELLO[:4], (SERVER, frame(b"hal", fin=False))]
    recording = spoken(tmp_path / "r.msgpack", parts)
    async with replay.serve(recording) as server:
        async with connect(f"{server.url}/stream/s1") as client:
            await client.send("hello")
            assert await client.recv() == "world"
        await server.idle()
    assert server.report.sent.messages == 1


# --- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--delay", "grep:NOTHING LIKE IT=+3ms"], ["grep:NOTHING LIKE IT", "changed"]),
        (["--delay", "CHUNKS=+3ms"], ["'CHUNKS'", "type:CHUNK"]),
        (["--delay", "last=3ms"], ["SELECTOR=+TIME"]),
        (["--delay", "client last=+3ms"], ["server", "leave 'client' out"]),
        (["--drop", "grep:("], ["grep:(", "regular expression"]),
        (["--drop", "5-2"], ["places count from 1"]),
        (["--set", "data..x=1"], ["data..x", "JSONPATH"]),
        (["--set", "data.nowhere=1"], ["data.nowhere"]),
        (["--set", "data"], ["JSONPATH=VALUE"]),
        (["--var", "WSPROXY_TEST_NOT_SET"], ["WSPROXY_TEST_NOT_SET", "export"]),
        (["--close-with", "1011"], ["--after"]),
        (["--truncate-after", "99"], ["--truncate-after 99"]),
        (["--speed", "0"], ["speed"]),
        (["--max-idle", "-1"], ["0 or more"]),
        (["--pace", "max", "--speed", "2"], ["--pace max"]),
        (["--timeout", "nan"], ["--timeout"]),
        (["--fresh-ids"], ["--to"]),
        (["--to", "ws://127.0.0.1:1"], ["--to URL", "--serve"]),
    ],
)
def test_a_wrong_option_is_trouble(options: list[str], words: list[str]) -> None:
    assert_trouble(command("replay", GOOD, "--serve", ":0", *options), *words)


@pytest.mark.parametrize("url", ["ftp://x", "ws://", "ws://h:99999", "ws://h:x"])
def test_a_wrong_url_is_trouble(url: str) -> None:
    assert_trouble(command("replay", GOOD, "--to", url), "--to")


def test_a_file_in_place_of_a_folder_is_trouble(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert_trouble(command("replay", GOOD, "--to", "ws://127.0.0.1:1", "--record", tmp_path / "x"), "--record")


# --- masked headers ----------------------------------------------------------------------------------------------------


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """A recording whose authorization was masked."""

    def mask(event: object) -> object:
        if isinstance(event, Request):
            return event._replace(raw=event.raw[:-2] + "Authorization: Bearer abcd…masked\r\n\r\n".encode())
        return event

    recording = changed(tmp_path / "masked.msgpack", spoken(tmp_path / "r.msgpack", HELLO), mask)  # type: ignore[arg-type]
    return recording.path


def test_a_masked_header_must_be_given(masked: Path) -> None:
    done = command("replay", masked, "--to", "ws://127.0.0.1:1")
    assert_trouble(done, "Authorization", "masked", "--header", "--var")


@pytest.mark.parametrize("by", ["value", "variable"])
async def test_a_given_header_is_sent_in_its_place(masked: Path, tmp_path: Path, by: str) -> None:
    options = ["--header", "authorization: Bearer right"]
    if by == "variable":
        options = ["--var", "TEST_TOKEN", "--header", "authorization: Bearer ${TEST_TOKEN}"]
    heads: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))

    async with peer(listen) as url:
        done = await asyncio.to_thread(
            command, "replay", masked, "--to", url, "--record", tmp_path / "new", *options, TEST_TOKEN="right"
        )
    assert done.status == 1  # the peer hangs up
    assert heads[0].count(b"uthorization") + heads[0].count(b"authorization") >= 1
    assert b"Bearer right\r\n" in heads[0] and b"masked" not in heads[0]
