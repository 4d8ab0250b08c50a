"""`record --redact`: no secret ever reaches the disk, at any instant, not in pieces either; all else is recorded as ever.

Strategy: what a file held at some instant is what a kill at that instant would leave. So the file is looked at after every read, and the real
relay is killed in the midst of a secret.
"""

from __future__ import annotations

import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

import wsproxy
from wsproxy.analysis.exactness import check
from wsproxy.recording.reader import Recording
from wsproxy.relay.recorder import ConnectionRecorder
from wsproxy.relay.rules import StreamRule
from wsproxy.relay.streams import Streams
from wsproxy.secrets.masking import Masker
from wsproxy.wire.events import Body, Dir, Redacted

from ..secrets.conversations import Planted, conversations
from ..secrets.forms import leaks, leaks_in_file
from ..secrets.test_copies import copied
from ..wire.strategies import interleavings
from .raw import RawServer
from .relay_process import RelayProcess
from .test_markers import post

KEY = "sk-planted-0123456789abcdefABCDEF"
PASSWORD = "hunter2-hunter2-hunter2"
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


def recorded(
    folder: str, said: list[tuple[int, int, Dir, bytes | None]], secrets: set[str], keep_body: int = 1 << 20
) -> list[Recording]:
    """What a relay records of these reads; every file is looked at after each of them."""
    masker = Masker(numbered=True)
    streams = Streams(folder, upstream="ws://h:2", relay="wsproxy", masker=masker, keep_body=keep_body)
    faults: list[Exception] = []
    recorders: dict[int, ConnectionRecorder] = {}
    base = time.monotonic_ns()
    for conn, t, dir, data in said:
        recorder = recorders.get(conn)
        if recorder is None:
            opened = base + t
            recorder = ConnectionRecorder(streams, StreamRule(), conn, "c", "h:2", opened, on_fault=faults.append)
            recorders[conn] = recorder
        if data is None:
            recorder.end(dir, "fin", base + t)
        else:
            recorder.take(dir, data, base + t)
        for path in Path(folder).iterdir():
            assert leaks(path.read_bytes(), secrets) == []
    for recorder in recorders.values():
        recorder.close(base + 1000)
    streams.finish(base + 1001)
    assert faults == []
    return [Recording(path) for path in Path(folder).iterdir()]


@settings(max_examples=150, deadline=None)
@given(conversations(), st.sampled_from([0, 30, 1 << 20]))
def test_no_secret_is_on_the_disk_after_any_read(planted: Planted, keep_body: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recordings = recorded(folder, planted.said, planted.secrets, keep_body)
        for recording in recordings:
            assert recording.header.redacted
            assert leaks_in_file(recording.path, planted.secrets) == []
            assert check(recording.events()).problems == []
            assert recording.ending is not None and recording.ending.state == "finished"
            again = copied(recording.path, f"again-{recording.path.name}")
            assert check(Recording(again).events()).problems == []
        wire: dict[Dir, int] = {"c2s": 0, "s2c": 0}
        for _, _, dir, data in planted.said:
            wire[dir] += len(data or b"")
        stretches = [stretch for recording in recordings for stretch in check(recording.events()).stretches]
        assert {dir: sum(s.bytes + s.omitted for s in stretches if s.dir == dir) for dir in wire} == wire


@settings(max_examples=150, deadline=None)
@given(interleavings)
def test_whatever_goes_by_the_recording_is_whole_and_says_what_it_withholds(said: list[tuple[bool, bytes]]) -> None:
    reads: list[tuple[int, int, Dir, bytes | None]] = [
        (1, t, "c2s" if client else "s2c", data) for t, (client, data) in enumerate(said, 1)
    ]
    with tempfile.TemporaryDirectory() as folder:
        for recording in recorded(folder, [*reads, (1, 999, "c2s", None), (1, 999, "s2c", None)], set()):
            assert check(recording.events()).problems == []


class Deflated:
    """One direction of a compressed WebSocket."""

    def __init__(self) -> None:
        self._zlib = zlib.compressobj(wbits=-15)

    def frame(self, text: str, *, mask: bool) -> bytes:
        data = (self._zlib.compress(text.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH))[:-4]
        raw = Frame(Opcode.TEXT, data).serialize(mask=mask)
        return bytes([raw[0] | 0x40]) + raw[1:]


def messages(recording: wsproxy.Recording) -> list[tuple[str, Any, str | None]]:
    return [(m.dir, m.text, m.redacted) for m in recording.messages() if m.opcode == 1]


def test_a_message_with_a_secret_is_stored_masked_and_later_ones_stay_readable(
    upstream: RawServer, tmp_path: Path
) -> None:
    up, down = Deflated(), Deflated()
    with RelayProcess(upstream, tmp_path / "out", "--redact") as relay:
        client, server = relay.open_websocket("/stream/s1", f"Authorization: Bearer {KEY}", answer=ACCEPTED)
        start = '{"type": "START", "data": {"api_key": "KEY", "a": 1}}'
        first = up.frame(start.replace("KEY", PASSWORD), mask=True)
        for part in (first[:9], first[9:25], first[25:]):
            client.send(part)
            server.read(len(part))
        for text in ("two", "three"):
            frame = up.frame(text, mask=True)
            client.send(frame)
            server.read(len(frame))
        answer = down.frame("nothing secret", mask=False)
        server.send(answer)
        client.read(len(answer))
        client.close()
        server.close()
        relay.stop()
        recording = relay.recording("s1")
    assert messages(recording) == [
        ("c2s", '{"type": "START", "data": {"api_key": "hunt…masked", "a": 1}}', "masked"),
        ("c2s", "two", "decoded"),
        ("c2s", "three", "decoded"),
        ("s2c", "nothing secret", None),
    ]
    result = check(recording.events())
    assert result.problems == [] and result.redacted == {"masked": 2, "decoded": 2}
    exact = {stretch.dir: stretch.exact for stretch in result.stretches}
    assert exact == {"c2s": None, "s2c": True}
    assert leaks_in_file(recording.path, [KEY, PASSWORD]) == []
    assert recording.path.stat().st_mode & 0o777 == 0o600


def test_a_relay_that_is_killed_inside_a_secret_leaves_none_of_it(upstream: RawServer, tmp_path: Path) -> None:
    with RelayProcess(upstream, tmp_path / "out", "--redact") as relay:
        client, server = relay.open_websocket("/stream/s1")
        whole = Frame(Opcode.TEXT, f"key {KEY} end".encode()).serialize(mask=False)
        client.send(whole + whole[:-12])
        server.read(2 * len(whole) - 12)
        half = f"POST /x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {KEY[:-3]}".encode()
        other, other_server = relay.connect()
        other.send(half)
        other_server.read(len(half))
        relay.kill()
        recordings = relay.recordings()
    assert [m.text for m in relay.recording("s1").messages()] == ["key sk-p…masked end"]
    for recording in recordings:
        assert leaks_in_file(recording.path, [KEY, KEY[:-3], KEY[:-12]]) == []


def test_hooks_and_markers_are_masked_too(upstream: RawServer, tmp_path: Path) -> None:
    body = b'{"data": {"litellm_call_id": "s1", "secret_fields": {"raw_headers": {"authorization": "Bearer %s"}}}}'
    body %= PASSWORD.encode()
    head = (
        b"POST /api/hooks/x HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        % len(body)
    )
    with RelayProcess(upstream, tmp_path / "out", "--redact") as relay:
        client, server = relay.connect()
        client.send(head + body[:60])
        server.read(len(head) + 60)
        client.send(body[60:])
        server.read(len(body) - 60)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        server.send(answer)
        client.read(len(answer))
        marker = {"stream_id": "s1", "stage": "callback.invoked", "data": {"api_key": KEY, "n": 1}}
        assert post(relay, marker)[0] == post(relay, marker, packed=True)[0] == 202
        client.close()
        server.close()
        relay.stop()
        recording = relay.recording("s1")
    events = list(recording.events())
    assert [marker.data for marker in recording.markers()] == [{"api_key": "sk-p…masked", "n": 1}] * 2
    (kept,) = (event for event in events if isinstance(event, Body) and event.dir == "c2s")
    assert kept.raw == body.replace(PASSWORD.encode(), "hunt…masked".encode()) and kept.end
    assert [event.wire for event in events if isinstance(event, Redacted)] == [len(body)]
    assert check(recording.events()).problems == []
    assert leaks_in_file(recording.path, [KEY, PASSWORD]) == []


def test_a_folder_that_is_open_to_others_is_told_with_what_to_do(upstream: RawServer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o755)
    out.chmod(0o755)
    with RelayProcess(upstream, out) as relay:
        line = relay.said("open to others")
        assert "0755" in line and f"chmod 700 {out}" in line
        client, server = relay.open_websocket("/stream/s1")
        client.close()
        server.close()
        relay.stop()
        assert {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o600}


def test_a_new_folder_is_private_and_nothing_is_said(upstream: RawServer, tmp_path: Path) -> None:
    with RelayProcess(upstream, tmp_path / "a" / "out") as relay:
        relay.stop()
        assert relay.stderr == []
    assert (tmp_path / "a" / "out").stat().st_mode & 0o777 == 0o700
