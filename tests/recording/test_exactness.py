"""`verify` finds what it must find: whatever byte of the wire, event or order was changed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wsproxy.analysis.exactness import check
from wsproxy.recording.events import Event, Gap, Late, Marker
from wsproxy.recording.reader import Recording
from wsproxy.wire.events import C2S, S2C, Body, Frame, Opaque, Part, Piece, Request, Response

from .samples import NAMES, capture, finished

OLD = Path(__file__).with_name("format-1.2.msgpack")  # as a relay of that time wrote it, but for its boot_id

WHOLE = {name: capture(name) for name in NAMES}
WHOLE["in parts"] = finished(
    {
        1: [
            (1, C2S, b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgra"),
            (2, C2S, b"de: websocket\r\n\r\n"),
            (3, S2C, b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
            (4, C2S, b"\x82\x8aabcd12"),
            (5, C2S, b"345"),
            (6, C2S, b"67890\x89"),
            (7, C2S, b"\x80abcd"),
            (8, S2C, b"\x81\x02ok\x81"),
        ],
        2: [(9, C2S, b"\x16\x03\x01"), (10, S2C, b"garbage"), (11, C2S, b"more")],
    }
)
recordings = st.sampled_from(sorted(WHOLE)).map(WHOLE.__getitem__)
few = settings(max_examples=150, deadline=None)
_WIRE = (Request, Response, Body, Frame, Part, Opaque)


def test_a_whole_recording_is_exact() -> None:
    for events in WHOLE.values():
        result = check(events)
        assert (result.problems, result.notes, result.finished) == ([], [], True)
        assert all(stretch.exact for stretch in result.stretches)


def _bytes_of(event: Any) -> str:
    return "payload" if isinstance(event, Frame | Part) else "raw"


@few
@given(recordings, st.data())
def test_any_changed_byte_is_found(events: list[Event], data: st.DataObject) -> None:
    at = data.draw(st.sampled_from([n for n, event in enumerate(events) if isinstance(event, _WIRE)]))
    name = _bytes_of(events[at])
    raw = bytearray(getattr(events[at], name))
    assume(raw)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    changed: Any = events[at]._replace(**{name: bytes(raw)})  # type: ignore[union-attr]
    assert check([*events[:at], changed, *events[at + 1 :]]).problems


@few
@given(recordings, st.data())
def test_a_changed_frame_header_is_found(events: list[Event], data: st.DataObject) -> None:
    at = data.draw(st.sampled_from([n for n, event in enumerate(events) if isinstance(event, Frame)] or [-1]))
    assume(at >= 0)
    frame: Any = events[at]
    changed = data.draw(
        st.one_of(
            st.integers(0, 255).map(lambda b0: frame._replace(b0=b0)),
            st.binary(min_size=4, max_size=4).map(lambda mask: frame._replace(mask=mask)),
            st.just(frame._replace(form=64)),
        )
    )
    assume(changed != frame)
    assert check([*events[:at], changed, *events[at + 1 :]]).problems


@few
@given(recordings, st.data())
def test_a_dropped_or_doubled_event_is_found(events: list[Event], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(events) - 2))
    assert check(events[:at] + events[at + 1 :]).problems
    assert check(events[: at + 1] + events[at:]).problems


@few
@given(recordings, st.data())
def test_two_swapped_events_of_a_direction_are_found(events: list[Event], data: st.DataObject) -> None:
    places: dict[object, list[int]] = {}
    for at, event in enumerate(events):
        if isinstance(event, _WIRE):
            places.setdefault((event.conn, event.dir), []).append(at)
    ones = data.draw(st.sampled_from([found for found in places.values() if len(found) > 1]))
    a, b = data.draw(st.lists(st.sampled_from(ones), min_size=2, max_size=2, unique=True))
    first: Any = events[a]
    second: Any = events[b]
    assume(first._replace(t=0) != second._replace(t=0))
    swapped = list(events)
    swapped[a], swapped[b] = second, first
    assert check(swapped).problems


def test_without_a_trailer_or_a_close_nothing_is_claimed() -> None:
    events = WHOLE["text-passes"]
    result = check([event for event in events[:-1] if type(event).__name__ != "Totals"])
    assert not result.finished and not result.problems
    assert {stretch.exact for stretch in result.stretches} == {None}
    assert all("no digest" in note for note in result.notes)


def test_a_gap_is_a_problem_and_what_it_swallowed_is_counted() -> None:
    events = list(WHOLE["text-passes"])
    at = next(n for n, event in enumerate(events) if isinstance(event, Frame) and not event.payload.startswith(b"\x03"))
    lost: Any = events[at]
    events[at] = Gap(lost.t, lost.t, 1, len(lost.payload) + 8, "no space left on device")
    result = check(events)
    assert len(result.problems) == 1 and "no space left on device" in result.problems[0]
    assert any("fell into gaps" in note for note in result.notes)


def test_events_that_were_written_late_are_said_and_no_problem() -> None:
    events = WHOLE["text-passes"]
    trailer: Any = events[-1]
    late = [Late(400_000_000), Late(400_000_000, 2_900_000_000, 312, 2_100_000_000)]
    result = check([*events[:-1], *late, trailer._replace(events=trailer.events + 2)])
    assert result.problems == []
    assert result.notes[0].startswith("0.4–2.9 s: 312 events were written up to 2.1 s after they were forwarded")


def test_a_recording_that_ends_while_it_was_written_late_says_that_its_end_may_be_missing() -> None:
    events = WHOLE["text-passes"]
    result = check([*events[:-1], Late(400_000_000)])
    assert result.problems == []
    assert any("from 0.4 s on" in note and "may be missing" in note for note in result.notes)


def test_a_marker_that_is_missing_is_found() -> None:
    events = list(WHOLE["text-passes"])
    trailer: Any = events[-1]
    marker = Marker(5, "ws.sent", 1, None, None, 0)
    whole = [*events[:-1], marker, trailer._replace(events=trailer.events + 1, markers=1)]
    assert not check(whole).problems
    assert check([event for event in whole if event != marker]).problems


def test_pieces_alone_prove_the_last_bytes() -> None:
    events = finished({1: [(1, C2S, b"GET / HT")]})
    assert [type(event) for event in events[1:2]] == [Piece]
    assert not check(events).problems
    assert check([event._replace(raw=b"GET / HX") if isinstance(event, Piece) else event for event in events]).problems


def test_a_rewritten_host_that_is_not_the_one_that_was_forwarded_is_found() -> None:
    events = WHOLE["in parts"]
    at, request = next((n, event) for n, event in enumerate(events) if isinstance(event, Request))
    raw = request.raw.replace(b"\r\n\r\n", b"\r\nHost: a\r\n\r\n")
    sent = hashlib.sha256(raw.replace(b"Host: a", b"Host: b.example")).hexdigest()
    for host, found in (("b.example", False), ("c.example", True)):
        forwarded = request._replace(raw=raw, host=host, sent=sent)
        problems = check([*events[:at], forwarded, *events[at + 1 :]]).problems
        assert any("not the one that was forwarded" in problem for problem in problems) == found


def test_a_recording_of_format_1_is_proved_by_its_own_digests() -> None:
    old = Recording(OLD)
    assert (old.header.version, old.header.digest) == ((1, 2), "sha256")
    result = check(old.events(), old.header.digest)
    assert (result.problems, result.notes, result.finished) == ([], [], True)
    assert [stretch.exact for stretch in result.stretches] == [True, True]
    events = list(old.events())
    at = next(n for n, event in enumerate(events) if isinstance(event, Frame))
    events[at] = events[at]._replace(mask=b"zzzz")  # type: ignore[union-attr, call-arg]
    assert check(events, old.header.digest).problems
