"""Both ends of a long recording say what all of it says, or that they do not suffice."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsproxy.analysis.outcome import outcome, outcome_of_ends
from wsproxy.recording.ends import WHOLE, ends
from wsproxy.recording.events import DirTotals, Event, Marker, Open, Totals, Trailer
from wsproxy.recording.format import pack_event, pack_header
from wsproxy.recording.reader import Recording
from wsproxy.wire.events import C2S, OP_CLOSE, S2C, Body, Dir, End, Frame, Request, Response

from .samples import BASE, HEADER

NOTHING = DirTotals(0, 0, "")
OPENING: list[Event] = [
    Open(1, 0, "c:1", "u:2"),
    Request(1, C2S, 1, 1, "GET", "/stream/s1", b"GET /stream/s1 HTTP/1.1\r\n\r\n"),
    Response(1, S2C, 2, 1, 101, "Switching Protocols", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
]


def frame(dir: Dir, t: int, payload: bytes, opcode: int = 2) -> Frame:
    return Frame(1, dir, t, 0x80 | opcode, None, len(payload), 7 if len(payload) < 126 else 16, payload)


def talk(count: int = 200, size: int = 1000) -> list[Event]:
    return [frame(C2S if n % 3 else S2C, 10 + n, bytes([n % 251]) * size) for n in range(count)]


def closing(t: int = 10_000) -> list[Event]:
    return [
        frame(S2C, t, b"\x03\xe8", OP_CLOSE),
        frame(C2S, t + 1, b"\x03\xe8", OP_CLOSE),
        End(1, S2C, t + 2, "fin"),
        End(1, C2S, t + 3, "fin"),
    ]


def finish(events: list[Event]) -> list[Event]:
    """The events with the totals and the trailer that a relay would add."""
    frames = [event for event in events if isinstance(event, Frame)]
    up, down = (DirTotals(0, sum(one.dir == dir for one in frames), "") for dir in (C2S, S2C))
    markers = sum(isinstance(event, Marker) for event in events)
    conns = sum(isinstance(event, Open) for event in events)
    t = 20_000
    return [*events, Totals(1, t, up, down), Trailer(t, len(events) + 1, markers, 0, conns, up, down)]


def write(path: Path, events: list[Event], *, rest: bytes = b"") -> Path:
    data = pack_header(HEADER) + b"".join(pack_event(event._replace(t=event.t + BASE), BASE) for event in events)  # type: ignore[union-attr]
    path.write_bytes(data + rest)
    assert path.stat().st_size > WHOLE
    return path


def test_a_long_finished_recording_is_told_by_its_ends(tmp_path: Path) -> None:
    markers: list[Event] = [Marker(300 + n, "a.b", n, None, None, 0) for n in range(30)]
    path = write(tmp_path / "r.msgpack", finish([*OPENING, *talk(), *markers, *closing()]))
    found = ends(path)
    assert found is not None
    assert outcome_of_ends(found) == outcome(Recording(path).events())
    assert len(found.first) + len(found.last) < 100
    assert found.header == Recording(path).header


@pytest.mark.parametrize("what", ["no trailer", "torn", "something behind the trailer", "an empty file", "rubbish"])
def test_what_has_no_trailer_last_is_not_told_by_its_ends(tmp_path: Path, what: str) -> None:
    events = [*OPENING, *talk(), *closing()]
    path = tmp_path / "r.msgpack"
    if what == "no trailer":
        write(path, events)
    elif what == "torn":
        write(path, finish(events))
        path.write_bytes(path.read_bytes()[:-1])
    elif what == "something behind the trailer":
        write(path, finish(events), rest=pack_event(Marker(BASE, "late", None, None, None, 0), BASE))
    else:
        path.write_bytes(b"" if what == "an empty file" else b"\xa4kind\xa7trailer" * 10_000)
    assert ends(path) is None


@pytest.mark.parametrize("what", ["a second connection", "one close frame far back", "no handshake"])
def test_what_the_ends_cannot_know_is_left_to_the_whole(tmp_path: Path, what: str) -> None:
    events: list[Event] = [*OPENING, *talk(), *closing()]
    if what == "a second connection":
        events.insert(100, Open(2, 50, "c:3", "u:2"))
    elif what == "one close frame far back":
        events = [*OPENING, closing()[0], *talk(), *closing()[1:]]
    else:
        events = [OPENING[0], *talk(), *closing()]
    found = ends(write(tmp_path / "r.msgpack", finish(events)))
    assert found is not None
    assert outcome_of_ends(found) is None


def hook(conn: int, t: int, exchanges: int = 1) -> list[Event]:
    """A hook's exchanges on a connection of its own."""
    head = b"POST /api/hooks/h HTTP/1.1\r\nContent-Length: 2\r\n\r\n"
    events: list[Event] = [Open(conn, t, f"c:{conn}", "u:2")]
    for n in range(1, exchanges + 1):
        events += [
            Request(conn, C2S, t, n, "POST", "/api/hooks/h", head),
            Body(conn, C2S, t, n, b"{}", True),
            Response(conn, S2C, t + 1, n, 200, "OK", b"HTTP/1.1 200 OK\r\n\r\n"),
        ]
    return [*events, Totals(conn, t + 2, DirTotals(exchanges * (len(head) + 2), 0, ""), NOTHING)]


def test_hooks_before_and_behind_the_stream_are_in_its_ends(tmp_path: Path) -> None:
    events = [*hook(2, 0, 2), *OPENING, *talk(), *closing(), *hook(3, 15_000)]
    path = write(tmp_path / "r.msgpack", finish(events))
    found = ends(path)
    assert found is not None
    result = outcome_of_ends(found)
    assert result == outcome(Recording(path).events())
    assert result is not None and (result.exchanges, result.connections) == (4, 3)


def test_an_exchange_in_between_is_not_overlooked(tmp_path: Path) -> None:
    """Its connection opens within the first block, and asks again where nobody looks."""
    asked = hook(2, 0, 2)
    events = [*asked[:4], *OPENING, *talk(), *asked[4:-1], *talk(), asked[-1], *closing()]
    found = ends(write(tmp_path / "r.msgpack", finish(events)))
    assert found is not None
    assert outcome_of_ends(found) is None


def test_a_payload_that_looks_like_events_does_not_shift_the_tail(tmp_path: Path) -> None:
    """Closed by the client, as a server says within a message; but it was the server."""
    fake = b"".join(
        pack_event(event, BASE) for event in (frame(C2S, BASE, b"\x03\xe9", OP_CLOSE), End(1, C2S, 1, "reset"))
    )
    events: list[Event] = [*OPENING, *talk(), frame(S2C, 9000, fake * 3), *closing()]
    path = write(tmp_path / "r.msgpack", finish(events))
    found = ends(path)
    assert found is not None
    assert outcome_of_ends(found) == outcome(Recording(path).events())


def test_a_tail_that_starts_within_what_looks_like_events_is_read_from_the_first_that_is_one(tmp_path: Path) -> None:
    bait = (b"?\xa4kind" + b"\x82\xa4kind") * 2_000
    path = write(tmp_path / "r.msgpack", finish([*OPENING, *talk(), frame(C2S, 500, bait), *closing()]))
    found = ends(path)
    assert found is not None and outcome_of_ends(found) == outcome(Recording(path).events())


def test_a_trailer_behind_a_payload_that_fills_the_tail_is_told_without_last_events(tmp_path: Path) -> None:
    whole = finish([*OPENING, *talk()])
    path = write(tmp_path / "r.msgpack", [*whole[:-2], frame(C2S, 500, b"x" * 60_000)._replace(form=16), whole[-1]])
    found = ends(path)
    assert found is not None and found.last == [] and found.trailer.markers == 0


@pytest.mark.parametrize("first", [b"\xc1", b"\x81\xa4kind\xa5frame", b"\x81\xa4kind\xa6header"])
def test_a_head_that_is_none_is_not_told_by_its_ends(tmp_path: Path, first: bytes) -> None:
    path = write(tmp_path / "r.msgpack", finish([*OPENING, *talk(), *closing()]))
    path.write_bytes(first + path.read_bytes())
    assert ends(path) is None


def test_what_only_looks_like_a_trailer_is_none(tmp_path: Path) -> None:
    twice = b"\x82\xa4kind\xa7trailer\xa4kind\xa5other"
    assert ends(write(tmp_path / "r.msgpack", [*OPENING, *talk()], rest=twice)) is None
