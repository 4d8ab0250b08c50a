"""Recordings for tests: events of every kind, files of them, and the captures of the real pipeline as recordings."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from xxhash import xxh64

from wsproxy.recording.events import DirTotals, Event, Gap, Header, Late, Link, Marker, Open, Totals, Trailer
from wsproxy.recording.format import pack_event, pack_header
from wsproxy.wire.events import C2S, S2C, Body, Dir, End, Frame, Opaque, Part, Piece, Redacted, Request, Response
from wsproxy.wire.tap import Tap

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
NAMES = ("blocked-delivered", "blocked-lost", "text-passes")
HEADER = Header("s1", 1_700_000_000_000_000_000, 5_000, "boot", "wsproxy", "127.0.0.1:1", "ws://h:2")
BASE = HEADER.start_mono_ns

_u64 = st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1))
_conns = st.integers(0, 70_000)
_dirs: st.SearchStrategy[Dir] = st.sampled_from([C2S, S2C])
_times = st.integers(-(2**40), 2**50)
_raw = st.one_of(st.binary(max_size=40), st.sampled_from([b"x" * 255, b"y" * 256, b"z" * 65_535, b"w" * 65_536]))
_words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_some = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
_totals = st.builds(
    DirTotals, _u64, _u64, st.binary(max_size=4).map(lambda raw: xxh64(raw).hexdigest()), st.just(0) | _u64
)
data_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False),
        _words,
        st.binary(max_size=9),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_words, inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    payload = draw(_raw)
    length = len(payload) + draw(st.sampled_from([0, 0, 1, 70_000, 2**63]))
    form = draw(st.sampled_from([form for form in (7, 16, 64) if length < (126 if form == 7 else 1 << form)]))
    mask = draw(st.none() | st.binary(min_size=4, max_size=4))
    return Frame(draw(_conns), draw(_dirs), draw(_times), draw(st.integers(0, 255)), mask, length, form, payload)


_links = st.none() | st.builds(Link, _u64, _u64)

#: One strategy per event type of the format.
EVENTS: dict[type, st.SearchStrategy[Any]] = {
    Frame: frames(),
    Part: st.builds(Part, _conns, _dirs, _times, _u64, _raw),
    Piece: st.builds(Piece, _conns, _dirs, _times, _conns, _raw),
    Request: st.one_of(
        st.builds(Request, _conns, _dirs, _times, _conns, _words, _words, _raw, host=st.none(), sent=st.none()),
        st.builds(Request, _conns, _dirs, _times, _conns, _words, _words, _raw, host=_words, sent=_words),
    ),
    Response: st.builds(Response, _conns, _dirs, _times, _conns, st.integers(0, 999), _words, _raw, st.none() | _some),
    Body: st.builds(Body, _conns, _dirs, _times, _conns, _raw, st.booleans(), _u64),
    Opaque: st.builds(Opaque, _conns, _dirs, _times, _raw, st.none() | _some),
    End: st.builds(End, _conns, _dirs, _times, st.sampled_from(["fin", "reset", "aborted", "stopped"]), _u64),
    Redacted: st.builds(
        Redacted, _conns, _dirs, _times, st.sampled_from(["masked", "withheld"]), _u64, _u64, _u64, st.integers(0, 7)
    ),
    Open: st.builds(Open, _conns, _times, _words, _words, st.none() | _some),
    Marker: st.builds(
        Marker, _times, _words, st.none() | st.integers(0, 2**63), data_values, st.none() | _some, _conns
    ),
    Gap: st.builds(Gap, _times, _times, _u64, _u64, _words),
    Late: st.builds(Late, _times, _times, _u64, _u64) | st.builds(Late, _times, st.none(), st.just(0), st.just(0)),
    Totals: st.builds(Totals, _conns, _times, _totals, _totals, _links, _links),
    Trailer: st.builds(Trailer, _times, _u64, _u64, _u64, _u64, _totals, _totals),
}
any_event: st.SearchStrategy[Any] = st.one_of(list(EVENTS.values()))


def packed(events: Iterable[Event], header: Header = HEADER) -> bytes:
    """The file of these events; their times are relative to the header's start already."""
    return pack_header(header) + b"".join(pack_event(event, 0) for event in events)


def moved(event: Any, by: int) -> Any:
    """The event at another time; a gap with both its ends."""
    event = event._replace(t=event.t + by)
    return (
        event._replace(until=event.until + by) if isinstance(event, Gap | Late) and event.until is not None else event
    )


class Sums:
    """What the relay would count of the bytes that it reads."""

    def __init__(self) -> None:
        self.digest = {C2S: xxh64(), S2C: xxh64()}
        self.bytes = {C2S: 0, S2C: 0}
        self.frames = {C2S: 0, S2C: 0}

    def read(self, dir: Dir, data: bytes) -> None:
        self.digest[dir].update(data)
        self.bytes[dir] += len(data)

    def total(self, dir: Dir) -> DirTotals:
        return DirTotals(self.bytes[dir], self.frames[dir], self.digest[dir].hexdigest())


def finished(conversations: dict[int, list[tuple[int, Dir, bytes | None]]]) -> list[Event]:
    """A whole recording of what was read: {connection: [(t, direction, bytes, or None for its end)]}, with close events and trailer."""
    events: list[Event] = []
    all_sums: list[Sums] = []
    for conn, said in conversations.items():
        tap, sums = Tap(conn), Sums()
        events.append(Open(conn, said[0][0], "127.0.0.1:9", "h:2"))
        for t, dir, data in said:
            if data is None:
                events += tap.direction(dir).finish("fin", t)
            else:
                sums.read(dir, data)
                events += tap.direction(dir).feed(data, t)
        for dir in (C2S, S2C):
            sums.frames[dir] = sum(isinstance(e, Frame) and (e.conn, e.dir) == (conn, dir) for e in events)
        all_sums.append(sums)
        events.append(Totals(conn, said[-1][0], sums.total(C2S), sums.total(S2C)))
    totals = [
        DirTotals(
            sum(sums.bytes[dir] for sums in all_sums),
            sum(sums.frames[dir] for sums in all_sums),
            xxh64("".join(sums.digest[dir].hexdigest() for sums in all_sums).encode()).hexdigest(),
        )
        for dir in (C2S, S2C)
    ]
    events.append(Trailer(events[-1].t, len(events), 0, 0, len(all_sums), *totals))  # type: ignore[union-attr]
    return events


def capture(name: str) -> list[Event]:
    """A capture of the real pipeline as the events of a whole recording: connection 1 is the hook's post, 2 the WebSocket."""
    said: dict[int, list[tuple[int, Dir, bytes | None]]] = {}
    for line in (CAPTURES / f"{name}.jsonl").read_text().splitlines():
        row = json.loads(line)
        data = base64.b64decode(row["bytes"]) if "bytes" in row else None
        said.setdefault(row["conn"] + 1, []).append((round(row["t"] * 1e9), row["dir"], data))
    return finished(said)


def write(path: Path, events: Iterable[Event], header: Header = HEADER) -> Path:
    path.write_bytes(packed(events, header))
    return path
