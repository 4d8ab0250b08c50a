"""What a recording gives besides its events: frames, messages, markers, the wire; and whether somebody writes it."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.errors import RecordingError
from wsproxy.recording.events import Event, Gap, Marker
from wsproxy.recording.folder import file_name, open_recording
from wsproxy.recording.reader import Recording, join_frames
from wsproxy.wire.events import C2S, S2C, End, Frame, Opaque, Part, Piece, Request, rebuild
from wsproxy.wire.frames import FrameStream

from .samples import NAMES, capture, write


@pytest.mark.parametrize("name", NAMES)
def test_the_wire_of_a_capture_is_that_of_its_events(tmp_path: Path, name: str) -> None:
    events = capture(name)
    recording = Recording(write(tmp_path / "r.msgpack", events))
    for dir in (C2S, S2C):
        for conn in (1, 2):
            own = [event for event in events if getattr(event, "conn", 0) == conn and getattr(event, "dir", "") == dir]
            assert b"".join(recording.wire(dir, conn=conn)) == rebuild(own)  # type: ignore[arg-type]
        assert list(recording.wire(dir)) == list(recording.wire(dir, conn=2))  # the WebSocket's


@pytest.mark.parametrize("name", NAMES)
def test_the_messages_of_a_capture_carry_the_bytes_of_its_frames(tmp_path: Path, name: str) -> None:
    recording = Recording(write(tmp_path / "r.msgpack", capture(name)))
    messages, frames = list(recording.messages()), list(recording.frames())
    assert sum(message.wire for message in messages) == sum(len(frame.payload) for frame in frames) > 0
    assert [message.error for message in messages] == [None] * len(messages)


def test_where_no_websocket_ran_the_wire_is_the_first_connections(tmp_path: Path) -> None:
    events = [Opaque(3, C2S, 1, b"first"), Opaque(4, C2S, 2, b"second"), Piece(3, C2S, 3, 0, b" and a piece")]
    recording = Recording(write(tmp_path / "r.msgpack", events))
    assert b"".join(recording.wire(C2S)) == b"first and a piece"
    assert list(recording.wire(S2C)) == []


def test_the_wire_is_told_as_it_came_and_as_it_was_forwarded(tmp_path: Path) -> None:
    raw = b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n"
    recording = Recording(write(tmp_path / "r.msgpack", [Request(1, C2S, 0, 1, "GET", "/", raw, "upstream", "00")]))
    assert list(recording.wire(C2S)) == [raw]
    assert list(recording.wire(C2S, forwarded=True)) == [raw.replace(b"relay", b"upstream")]


def test_markers_come_in_the_order_in_which_they_arrived(tmp_path: Path) -> None:
    markers = [Marker(t, "a.b", t, None, None, 0) for t in (5, 1, 3)]
    events: list[Event] = [markers[0], Opaque(1, C2S, 2, b"x"), *markers[1:]]
    assert list(Recording(write(tmp_path / "r.msgpack", events)).markers()) == markers


@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 40))
def test_frames_are_whole_again_however_they_were_read(payloads: list[bytes], step: int) -> None:
    raw = b"".join(b"\x82\x7e" + len(payload).to_bytes(2, "big") + payload for payload in payloads)
    stream = FrameStream(1, C2S)
    events = [event for at in range(0, len(raw), step) for event in stream.feed(raw[at : at + step], at)]
    assert [frame.payload for frame in join_frames(events)] == payloads


def test_a_frame_that_never_became_whole_is_as_long_as_it_came() -> None:
    def begun(b0: int, payload: bytes) -> Frame:
        return Frame(1, C2S, 0, b0, None, 10, 7, payload)

    events: list[Event] = [
        Part(1, C2S, 0, 4, b"of a frame that fell into a gap"),
        *(begun(0x82, b"ab"), Part(1, C2S, 1, 2, b"cd"), Gap(1, 1, 1, 9, "full")),
        *(begun(0x81, b"e"), End(1, C2S, 2, "reset")),
        *(Frame(1, S2C, 3, 0x89, None, 3, 7, b"xy"), Part(1, S2C, 4, 2, b"z")),
        begun(0x82, b"last"),
    ]
    assert [frame.payload for frame in join_frames(events)] == [b"abcd", b"e", b"xyz", b"last"]


def test_who_holds_the_lock_is_writing_and_a_file_that_is_gone_is_not_written(tmp_path: Path) -> None:
    path = write(tmp_path / "r.msgpack", [Opaque(1, C2S, 1, b"x")])
    recording = Recording(path)
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert recording.is_open()
    assert not recording.is_open()
    path.unlink()
    assert not recording.is_open()


def test_what_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="is a directory"):
        Recording(tmp_path)
    with pytest.raises(RecordingError, match=r"^/proc/self/mem: input/output error$"):
        Recording("/proc/self/mem")


def test_a_recording_is_opened_by_what_it_is_called(tmp_path: Path) -> None:
    path = write(tmp_path / file_name("s1", 10**18), [Opaque(1, C2S, 1, b"x")])
    assert open_recording("@last", tmp_path).path == open_recording("s1", tmp_path).path == path


def test_whoever_asks_is_told_how_far_a_recording_was_read(tmp_path: Path) -> None:
    recording = Recording(write(tmp_path / "r.msgpack", [Opaque(1, C2S, n, bytes(9000)) for n in range(20)]))
    told: list[int] = []
    recording.on_read = told.append
    assert len(list(recording.events())) == 20
    assert told == sorted(set(told)) and len(told) > 1
    assert told[-1] == (tmp_path / "r.msgpack").stat().st_size
