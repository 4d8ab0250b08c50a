"""Recordings that end early or were changed: whole events, then a word about the ending; never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsproxy.analysis.exactness import check
from wsproxy.errors import RecordingError
from wsproxy.recording.events import Event
from wsproxy.recording.format import pack_event, pack_header
from wsproxy.recording.reader import Recording
from wsproxy.recording.view import in_time_order, items
from wsproxy.render.jsonl import dump, item_object
from wsproxy.render.timeline import Timeline

from .samples import HEADER, any_event, capture, packed, write

few = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def read(path: Path) -> tuple[list[Event], str, int, int]:
    recording = Recording(path)
    events = list(recording.events())
    assert recording.ending is not None
    return events, recording.ending.state, recording.ending.offset, recording.ending.left


def test_a_recording_cut_at_every_byte_gives_its_whole_events_and_says_torn(tmp_path: Path) -> None:
    events = capture("text-passes")
    small = [event for event in events if len(pack_event(event, 0)) < 900][:12] + events[-2:]
    raw = packed(small)
    ends = [len(pack_header(HEADER))]
    for event in small:
        ends.append(ends[-1] + len(pack_event(event, 0)))
    path = tmp_path / "r.msgpack"
    for size in range(len(raw) + 1):
        path.write_bytes(raw[:size])
        if size < ends[0]:
            with pytest.raises(RecordingError, match="cut off inside its header"):
                Recording(path)
            continue
        whole = sum(end <= size for end in ends) - 1
        got, state, offset, left = read(path)
        assert got == small[:whole]
        assert (offset, left) == (ends[whole], size - ends[whole])
        assert state == ("torn" if left else "finished" if whole == len(small) else "unfinished")


@few
@given(st.lists(any_event, max_size=6), st.data())
def test_random_damage_ends_a_recording_but_never_raises(
    tmp_path: Path, events: list[Event], data: st.DataObject
) -> None:
    raw = bytearray(packed(events))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    path = tmp_path / "r.msgpack"
    path.write_bytes(raw)
    try:
        got, state, offset, left = read(path)
    except RecordingError:
        return
    assert state in ("finished", "unfinished", "torn", "damaged")
    assert offset + left == len(raw)
    assert len(got) <= len(raw)


@few
@given(st.binary(max_size=300))
def test_a_file_of_anything_is_refused_in_a_sentence(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "r.msgpack"
    path.write_bytes(raw)
    with pytest.raises(RecordingError, match=r"r\.msgpack: "):
        Recording(path)


@few
@given(st.lists(any_event, max_size=6))
def test_events_in_an_order_that_no_relay_writes_can_be_viewed_and_verified(events: list[Event]) -> None:
    """A stranger's recording may hold any run of events; nothing that shows or checks it may raise."""
    result = check(events)
    assert result.events <= len(events)
    for frames in (False, True):
        timeline = Timeline(80, full=True)
        for number, item in in_time_order(items(events, frames=frames, limit=1 << 16)):
            assert list(timeline.lines(number, item)) is not None


def test_a_digest_that_is_no_text_does_not_stop_verify(tmp_path: Path) -> None:
    raw = packed(capture("text-passes"))
    at = raw.rindex(b"digest", 0, raw.rindex(b"trailer")) + 10
    (tmp_path / "r.msgpack").write_bytes(raw[:at] + b"\xff" + raw[at + 1 :])
    check(Recording(tmp_path / "r.msgpack").events())


@pytest.mark.parametrize("data", [{"a": b"\xff"}, {b"key": 1}, [b"x"]])
def test_a_marker_with_data_that_is_no_json_can_be_shown_as_json(tmp_path: Path, data: object) -> None:
    from wsproxy.recording.events import Marker

    recording = Recording(write(tmp_path / "r.msgpack", [Marker(1, "ws.sent", None, data, None, 0)]))
    (marker,) = recording.events()
    dump(item_object(1, marker))


def test_bytes_after_the_damage_are_counted(tmp_path: Path) -> None:
    raw = packed(capture("text-passes")[:3])
    (tmp_path / "r.msgpack").write_bytes(raw + b"\xc1" + b"rest")
    events, state, offset, left = read(tmp_path / "r.msgpack")
    assert (len(events), state, offset, left) == (3, "damaged", len(raw), 5)


def test_a_missing_file_and_a_folder_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        Recording(tmp_path / "none.msgpack")
    with pytest.raises(RecordingError, match="directory"):
        Recording(tmp_path)
