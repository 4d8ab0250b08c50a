"""Events in, a journey out: one pass, in memory that depends on the number of chunks and not on their size.

Strategy: frames go through the message assembler; each message and each marker becomes a point or a sighting of its attempt. Markers
come batched and in any order, so they are kept aside, sorted by time, and given to the attempt in whose time they fall.
Nothing here judges; nothing here raises on what a stranger wrote.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias

from ... import stages
from ...recording.events import Event, Gap, Header, Late, Marker, Open, Totals, Trailer
from ...recording.messages import Assembler, Message
from ...recording.reader import Ending
from ...wire.events import C2S, S2C, Dir, End, Frame, Part, Request, Response
from ...wire.http1 import head_fields
from ..pipeline import TYPES
from .attempt import (
    DOWN,
    UP,
    WIRE_DOWN,
    WIRE_UP,
    Attempt,
    Close,
    Dial,
    Ended,
    Journey,
    Note,
    Silence,
)
from .chunks import AFTER_CLOSE, UNKNOWN, identify, unwrap
from .sightings import Point, Sightings

Item: TypeAlias = "Message | Event"

_decoder = json.JSONDecoder()
LIMIT = 16 << 20  # bytes of a message: the control plane's own limit
_KEPT = 64  # gaps, foreign messages, and notes of one stage
_KEPT_DIALS = 1000  # changes between upstreams that took a connection and did not
_TEXT = 300  # characters of one text of a marker
_CHUNKS = frozenset((*UP, *DOWN, stages.CLIENT_REJECTED)) - {WIRE_UP, WIRE_DOWN}


class Source(Protocol):
    """What is analysed: a `Recording`, or anything that can be read again and again like one."""

    @property
    def header(self) -> Header: ...
    @property
    def ending(self) -> Ending | None: ...
    def events(self) -> Iterator[Event]: ...


def read(recording: Source) -> Journey:
    """The journey that a recording tells of."""
    reader = _Reader()
    number = 0
    for number, event in enumerate(recording.events(), 1):
        reader.feed(number, event)
    for message in reader.assembler.finish():
        reader.message(message)
    attempts = reader.attempts()
    return Journey(
        stream=recording.header.stream_id or "",
        attempts=attempts,
        exchanges=reader.exchanges,
        markers=reader.markers,
        dropped=reader.dropped,
        events=number,
        gaps=reader.gaps,
        behind=reader.behind,
        ending=recording.ending,
        error_ns=reader.error_ns,
        refusals=reader.refusals,
        last_t=reader.last_t,
        dials=reader.dials,
    )


class _Reader:
    """Collects."""

    def __init__(self) -> None:
        self.assembler = Assembler(LIMIT)
        self.exchanges = self.markers = self.dropped = self.error_ns = self.last_t = 0
        self.gaps: list[Gap] = []
        self.behind: int | None = None
        self.refusals: list[tuple[Point, int]] = []
        self.dials: list[Dial] = []
        self._conns: dict[int, Attempt] = {}
        self._upgrades: dict[int, int] = {}  # exchange number of the upgrade request, by connection
        self._said: dict[int, tuple[Point, Dir]] = {}  # the last message, by connection
        self._sightings: dict[str, Sightings] = {}
        self._notes: list[Note] = []
        self._noted: Counter[str] = Counter()
        self._ws: dict[str | None, dict[str, Sightings]] = {}
        self._servers: set[str | None] = set()  # sources that received a START: the control plane's side

    def feed(self, number: int, event: Event) -> None:
        t = getattr(event, "t", 0)
        if t > self.last_t and not isinstance(event, Trailer | Totals):
            self.last_t = t
        if isinstance(event, Marker):
            self._marker(number, event)
        elif isinstance(event, Frame | Part):
            for message in self.assembler.feed(number, event):
                self.message(message)
        elif isinstance(event, Gap):
            if len(self.gaps) < _KEPT:
                self.gaps.append(event)
            self._assemble(number, event)
        elif isinstance(event, Late):
            self.behind = event.t if event.until is None else None
        elif isinstance(event, Open):
            attempt = self._attempt(event.conn)
            attempt.opened, attempt.refused = Point(t, number), event.error
            self._dialled(event)
        elif isinstance(event, Request):
            self._request(number, event)
        elif isinstance(event, Response):
            self._assemble(number, event)
            attempt = self._attempt(event.conn)
            attempt.heard[event.dir] = Point(t, number)
            if attempt.asked is not None and event.exchange == self._upgrades.get(event.conn, event.exchange):
                attempt.answered, attempt.status = Point(t, number), event.status
                attempt.by_relay = event.by == "relay"
            elif event.status >= 400 and len(self.refusals) < _KEPT:
                self.refusals.append((Point(t, number), event.status))
        elif isinstance(event, End):
            self._assemble(number, event)
            self._attempt(event.conn).ended.setdefault(
                event.dir, Ended(t, number, event.how[:_TEXT], event.undelivered)
            )
        else:
            if isinstance(event, Totals):
                links = self._attempt(event.conn).links
                links |= {dir: link for dir, link in ((C2S, event.client), (S2C, event.server)) if link is not None}
            self._assemble(number, event)

    def _dialled(self, event: Open) -> None:
        before = self.dials[-1] if self.dials else None
        if before is not None and before.upstream == event.upstream and (before.error is None) == (event.error is None):
            before.last = max(before.last, event.t)
            before.count += 1
        elif event.upstream and len(self.dials) < _KEPT_DIALS:
            self.dials.append(Dial(event.upstream, event.error and event.error[:_TEXT], event.t, event.t))

    def _assemble(self, number: int, event: Event) -> None:
        for message in self.assembler.feed(number, event):
            self.message(message)

    def _attempt(self, conn: int) -> Attempt:
        found = self._conns.get(conn)
        if found is None:
            found = self._conns[conn] = Attempt(conn)
        return found

    def _request(self, number: int, event: Request) -> None:
        fields = head_fields(event.raw)
        if any(name.lower() == "upgrade" and "websocket" in value.lower() for name, value in fields):
            attempt = self._attempt(event.conn)
            attempt.asked = attempt.heard[event.dir] = Point(event.t, number)
            self._upgrades[event.conn] = event.exchange
        else:
            self.exchanges += 1

    # --- the wire ---------------------------------------------------------------------------------------------------

    def message(self, message: Message) -> None:
        """A message, or a control frame, of any connection."""
        attempt = self._attempt(message.conn)
        point, dir = Point(message.t_end, message.number), message.dir
        attempt.heard[dir] = point
        if message.opcode > 2:
            code = message.close_code
            if code is not None and message.error is None:
                self._silence(attempt, point, dir)
                attempt.closes.setdefault(dir, Close(*point, code, message.close_reason[:_TEXT]))
            return
        self._silence(attempt, point, dir)
        value = _json(message.data) if message.opcode == 1 and message.error is None else None
        type_ = value.get("type") if isinstance(value, dict) else None
        if type_ not in TYPES:
            type_ = ""
            attempt.strange += 1
            attempt.unreadable += message.error is not None
            if len(attempt.foreign) < _KEPT:
                why = message.error or (
                    "a binary message" if message.opcode == 2 else "not JSON" if value is None else "JSON"
                )
                attempt.foreign.append((point, dir, why[:_TEXT]))
        else:
            attempt.messages += 1
        if dir == C2S and attempt.first is None:
            attempt.first = (type_, point)
        if not isinstance(value, dict):
            return
        if type_ == "CHUNK":
            identity = identify(value.get("data"))
            stage = WIRE_UP if dir == C2S else WIRE_DOWN
            _of(attempt.seen, stage).add(*point, *identity)
        elif type_ == "START" and dir == C2S:
            attempt.start = attempt.start or point
        elif type_ == "END":
            attempt.ends.setdefault(dir, point)
        elif type_ == "ERROR":
            attempt.errors.setdefault(dir, (point, _text(value.get("error"))))

    def _silence(self, attempt: Attempt, point: Point, dir: Dir) -> None:
        assert attempt.conn is not None
        said = self._said.get(attempt.conn)
        if said is not None and not attempt.closes:
            ns = point.t - said[0].t
            if attempt.silence is None or ns > attempt.silence.ns:
                attempt.silence = Silence(ns, *said, point)
        self._said[attempt.conn] = (point, dir)

    # --- markers ----------------------------------------------------------------------------------------------------

    def _marker(self, number: int, event: Marker) -> None:
        self.markers += 1
        stage, data = event.stage, event.data
        if event.error_ns > self.error_ns:
            self.error_ns = event.error_ns
        type_ = data.get("type") if isinstance(data, dict) else None
        if stage in _CHUNKS and (type_ not in TYPES or type_ == "CHUNK"):
            chunk = unwrap(data)
            identity = UNKNOWN if chunk is None else identify(chunk)
            if type(data) is dict and data.get("after_close"):
                identity = identity._replace(flags=identity.flags | AFTER_CLOSE)
            by_library = stage in (stages.WS_SENT, stages.WS_RECEIVED)
            kept = self._ws.setdefault(event.source, {}) if by_library else self._sightings
            _of(kept, stage).add(event.t, number, *identity, event.index, event.error_ns)
            if stage != stages.CLIENT_REJECTED:
                return
        if stage == stages.WS_RECEIVED and type_ == "START":
            self._servers.add(event.source)
        if stage == stages.HOOKS_DROPPED:
            count = data.get("count") if isinstance(data, dict) else None
            self.dropped += count if type(count) is int and count > 0 else 1
        self._noted[stage] += 1
        if self._noted[stage] <= _KEPT:
            self._notes.append(Note(event.t, number, stage, _small(data)))

    def attempts(self) -> list[Attempt]:
        """The attempts in order, each with its markers."""
        found = [a for a in self._conns.values() if a.asked or a.refused or a.first or a.closes or a.seen]
        streams = [a for a in found if a.asked or a.first or a.closes or a.seen]
        # A connection that was refused before it asked for anything counts only where nothing else does: it may have been a hook's.
        found = streams or [a for a in found if not self.exchanges]
        found.sort(key=lambda a: a.opened.t if a.opened else a.asked.t if a.asked else 0)
        if not found and (self._sightings or self._ws or self._marked()):
            found = [Attempt()]
        if found:
            self._give_markers(found)
        return found

    def _marked(self) -> bool:
        """Whether markers that are no chunks tell of a stream, and not only of hooks that were called and returned a result."""
        notes = [note for note in self._notes if note.stage in stages.KNOWN]
        invoked = [note for note in notes if note.stage == stages.CALLBACK_INVOKED]
        returned = [note for note in notes if note.stage == stages.CALLBACK_COMPLETED and "result" in note.data]
        return len(invoked) > len(returned) or len(notes) > len(invoked) + len(returned)

    def _give_markers(self, attempts: list[Attempt]) -> None:
        for source, by_stage in self._ws.items():
            server = source in self._servers and len(self._ws) > 1
            for stage, sightings in by_stage.items():
                other = stage
                if server:  # the other side's library: its "received" is the endpoint's reading
                    other = stages.ENDPOINT_CHUNK_IN if stage == stages.WS_RECEIVED else stages.ENDPOINT_CHUNK_OUT
                if other not in self._sightings:
                    self._sightings[other] = sightings
                elif not server:
                    self._sightings[other].extend(sightings)
        starts = self._boundaries(attempts)
        for stage, sightings in self._sightings.items():
            ordered = sightings.in_time_order()
            begin = 0
            for number, attempt in enumerate(attempts):
                end = bisect_left(ordered.t, starts[number + 1]) if number + 1 < len(starts) else len(ordered)
                if begin < end:
                    attempt.seen[stage] = ordered.take(range(begin, end))
                    attempt.marks[stage] += end - begin
                begin = max(begin, end)
        for note in sorted(self._notes, key=lambda note: (note.t, note.number)):
            attempt = attempts[max(bisect_right(starts, note.t) - 1, 0)]
            attempt.notes.setdefault(note.stage, []).append(note)
            attempt.marks[note.stage] += 1

    def _boundaries(self, attempts: list[Attempt]) -> list[int]:
        """When each attempt begins: with the callback's invocation before it, if there is one, else with its connection."""
        invoked = sorted(note.t for note in self._notes if note.stage == stages.CALLBACK_INVOKED)
        starts: list[int] = []
        over: int | None = None  # when the attempt before had ended
        for attempt in attempts:
            t = attempt.opened.t if attempt.opened else attempt.asked.t if attempt.asked else 0
            before = bisect_right(invoked, t) - 1
            if before >= 0 and over is not None and invoked[before] > over:
                t = invoked[before]
            starts.append(t)
            over = max((end.t for end in attempt.ended.values()), default=None)
        return starts


def _of(sightings: dict[str, Sightings], stage: str) -> Sightings:
    """Those of a stage, to add to."""
    found = sightings.get(stage)
    if found is None:
        found = sightings[stage] = Sightings()
    return found


def _json(data: bytes) -> Any:
    # What json.loads does, without its looks for an encoding and for spaces around: 0.6 µs less.
    try:
        text = data.decode()
        if text[:1] == "{":
            value, end = _decoder.raw_decode(text)
            if end == len(text):
                return value
        return _decoder.decode(text)
    except (ValueError, RecursionError):
        return None


def _small(data: Any) -> dict[str, Any]:
    """Of a marker's data what a sentence can use: plain values and short lists of words, cut."""
    if not isinstance(data, dict):
        return {} if data is None else {"text": _text(data)}
    out: dict[str, Any] = {}
    for key, value in list(data.items())[:32]:
        name = str(key)[:64]
        if isinstance(value, bool | int | float):
            out[name] = value
        elif isinstance(value, str):
            out[name] = value[:_TEXT]
        elif isinstance(value, list) and value and all(isinstance(item, str) for item in value[:16]):
            out[name] = [item[:64] for item in value[:16]]
    return out


def _text(value: Any) -> str:
    return value[:_TEXT] if isinstance(value, str) else repr(value)[:_TEXT]
