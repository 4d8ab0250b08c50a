"""Events to scripts.

Strategy: one pass. When a step is made it notes how far the other side has come; what counts there is counted when it became whole.

Pings and pongs are half automatic in every implementation. A pong that answered a ping is not a step: the live ping is answered. A ping
of the other side is not waited for, since its clock decides when it comes; a pong to a ping of ours is.

Cost: the recording in memory, twice where it is compressed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import RecordingError
from ..recording.events import Event, Gap, Marker, Open
from ..recording.messages import Assembler, Message
from ..recording.reader import Ending, Recording
from ..wire.events import (
    C2S,
    OP_CLOSE,
    OP_PING,
    OP_PONG,
    S2C,
    Body,
    Dir,
    End,
    Frame,
    Opaque,
    Part,
    Redacted,
    Request,
    Response,
)
from .mentions import mention
from .script import Act, Exchange, Need, Scenario, Script, Step

CONNECTIONS_LIMIT = 5_000  # of a recording: each remembers which had ended before it, 100 MB for so many


def read_scenario(recording: Recording) -> Scenario:
    """Read a recording as scripts.

    Raises:
        RecordingError: there is nothing in it that can be played.
    """
    reader = _Reader(recording.header.stream_id)
    for number, event in enumerate(recording.events(), 1):
        reader.feed(number, event)
        if reader.connections > CONNECTIONS_LIMIT:
            raise RecordingError(
                f"{recording.path}: more than {CONNECTIONS_LIMIT:,} connections: too many to be played"
            )
    scripts = reader.finish()
    name = str(recording.path)
    notes = [*reader.notes, *_ending_notes(recording.ending)]
    playable = [script for script in scripts if script.playable]
    foreign = sum(script.foreign for script in scripts)
    if foreign:
        notes.append(f"{foreign} of its connections carried neither HTTP nor WebSocket there: that is not played")
    if not playable:
        why = notes[0] if notes else "no request was recorded"
        raise RecordingError(f"{name}: nothing to play ({why}); 'wsproxy show {name}' shows what is in it")
    scenario = Scenario(name, recording.header.stream_id, None, playable, reader.markers, notes)
    scenario.id = _mentioned(scenario)
    return scenario


def _mentioned(scenario: Scenario) -> str | None:
    """The stream id, if any request mentions it."""
    if not scenario.stream_id:
        return None
    word = mention(scenario.stream_id)
    found = (word.search(one.request.raw) or word.search(one.request_body) for one in scenario.exchanges)
    return scenario.stream_id if any(found) else None


def _ending_notes(ending: Ending | None) -> Iterator[str]:
    words = {
        "open": "it is still being recorded: what is there now is played",
        "unfinished": "it was cut off (no trailer): what is there is played",
        "torn": "it is cut off inside its last event: what is whole is played",
        "damaged": "it is damaged: what stands before the damage is played",
    }
    if ending is not None and ending.state in words:
        yield words[ending.state]


@dataclass(slots=True)
class _Side:
    """What one direction has come to while its connection is read."""

    need: Need = field(default_factory=Need)
    moved: int = 0  # the time of what `need` counts
    last: int = 0  # the time of this side's last step
    open: Step | None = None  # a frame whose payload is not whole
    parts: list[bytes] = field(default_factory=list)
    data: list[Step] = field(default_factory=list)  # the frames of the message that is open
    control: Step | None = None  # the last control frame
    pings: deque[bytes] = field(default_factory=deque)  # not answered yet


class _Line:
    """One connection while it is read."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.sides: dict[Dir, _Side] = {C2S: _Side(last=script.opened), S2C: _Side(last=script.opened)}
        self.by_number: dict[int, Exchange] = {}
        self.heard = script.opened  # when the last HTTP came, in either direction
        self.gone: set[int] = set()  # steps (by id) that are not to be played

    def step(self, act: Act) -> Step:
        own, other = self.sides[act.dir], self.sides[S2C if act.dir == C2S else C2S]
        step = Step(act.dir, act, other.need, max(act.t - max(other.moved, own.last), 0))
        own.last = max(own.last, act.t)
        self.script.steps.append(step)
        return step


class _Reader:
    """Turns events into scripts."""

    def __init__(self, stream_id: str | None) -> None:
        self.notes: list[str] = []
        self.markers: list[Marker] = []
        self._stream_id = stream_id
        self._assembler = Assembler()
        self._lines: dict[int, _Line] = {}
        self._redacted: set[tuple[int, Dir]] = set()  # directions whose next event does not hold what went by

    def feed(self, number: int, event: Event) -> None:
        if isinstance(event, Marker):
            self.markers.append(event)
        elif isinstance(event, Open):
            self._line(event.conn, event.t)
        elif isinstance(event, Gap):
            self.notes.append(f"the recorder lost {event.events:,} events in it ({event.reason}): they are not played")
        elif isinstance(event, Request | Response | Body):
            self._http(self._line(event.conn, event.t), number, event)
        elif isinstance(event, Frame | Part):
            self._frame(self._line(event.conn, event.t), event)
        elif isinstance(event, Opaque | End):
            self._rest(self._line(event.conn, event.t), event)
        if isinstance(event, Redacted):
            self._redacted.add((event.conn, event.dir))
        else:
            self._redacted.discard((getattr(event, "conn", 0), getattr(event, "dir", C2S)))
        for message in self._assembler.feed(number, event):
            self._message(self._lines[message.conn], message)

    @property
    def connections(self) -> int:
        return len(self._lines)

    def finish(self) -> list[Script]:
        """The scripts, in the order in which their connections were opened."""
        for message in self._assembler.finish():  # the recording stops inside these, or their direction was cut
            line = self._lines[message.conn]
            if not message.is_control and line.script.end_of(message.dir) is None:
                line.gone |= {id(step) for step in line.sides[message.dir].data}
        for line in self._lines.values():
            line.script.steps = [step for step in line.script.steps if id(step) not in line.gone]
        scripts = sorted(
            (line.script for line in self._lines.values()), key=lambda script: (script.opened, script.conn)
        )
        before: list[Script] = []
        for script in scripts:
            done = [one for one in before if one.ended is not None and one.ended <= script.opened]
            script.after = tuple(one.conn for one in done)
            since = max([one.ended or 0 for one in done] + [one.opened for one in before[-1:]], default=script.opened)
            script.delay = max(script.opened - since, 0)
            before.append(script)
        return scripts

    def _line(self, conn: int, t: int) -> _Line:
        line = self._lines.get(conn)
        if line is None:
            line = self._lines[conn] = _Line(Script(conn, self._stream_id, t))
        return line

    def _http(self, line: _Line, number: int, event: Request | Response | Body) -> None:
        heard, line.heard = line.heard, event.t
        if isinstance(event, Request):
            exchange = Exchange(number, event, pause=max(event.t - heard, 0), asked=event.t)
            line.by_number[event.exchange] = exchange
            line.script.exchanges.append(exchange)
            return
        found = line.by_number.get(event.exchange)
        if found is None:
            return
        if isinstance(event, Response):
            if event.status >= 200 or event.status == 101:
                found.response, found.delay = event, max(event.t - found.asked, 0)
            if event.status == 101 and event.by is None:
                line.script.exchanges = [one for one in line.script.exchanges if one is not found]
                line.script.upgrade = found
                for side in line.sides.values():
                    side.last = event.t
        else:
            if (event.conn, event.dir) in self._redacted:
                found.redacted |= {event.dir}
            if event.dir == C2S:
                found.request_body += event.raw
                found.asked = event.t
            else:
                found.response_body += event.raw
                found.omitted |= bool(event.omitted)

    def _frame(self, line: _Line, event: Frame | Part) -> None:
        side = line.sides[event.dir]
        if isinstance(event, Part):
            if side.open is not None and isinstance(side.open.act, Frame):
                side.parts.append(event.payload)
                if event.offset + len(event.payload) >= side.open.act.length:
                    self._join(side)
            return
        self._join(side)
        step = line.step(event)
        if event.opcode < 8:
            step.part = len(side.data)
            side.data.append(step)
        else:
            side.control = step
        if len(event.payload) < event.length:
            side.open, side.parts = step, [event.payload]

    @staticmethod
    def _join(side: _Side) -> None:
        if side.open is not None and isinstance(side.open.act, Frame):
            side.open.act = side.open.act._replace(payload=b"".join(side.parts))
        side.open, side.parts = None, []

    def _message(self, line: _Line, message: Message) -> None:
        side = line.sides[message.dir]
        other = line.sides[S2C if message.dir == C2S else C2S]
        line.script.messages.append(message)
        if message.is_control:
            own = side.control
            if own is not None:
                own.message = message
            if message.opcode == OP_PING:
                side.pings.append(message.data)
            elif message.opcode == OP_PONG and message.data in other.pings:
                while other.pings.popleft() != message.data:
                    pass
                if own is not None:
                    line.gone.add(id(own))
                side.need, side.moved = side.need._replace(pongs=side.need.pongs + 1), message.t_end
            elif message.opcode == OP_CLOSE:
                side.need, side.moved = side.need._replace(close=True), message.t_end
            return
        self._join(side)
        sizes = tuple(len(step.act.payload) for step in side.data if isinstance(step.act, Frame))
        for step in side.data:
            step.message, step.sizes = message, sizes
        side.data = []
        side.need, side.moved = side.need._replace(messages=side.need.messages + 1), message.t_end

    def _rest(self, line: _Line, event: Opaque | End) -> None:
        if isinstance(event, Opaque):
            if not event.raw:
                return
            if line.script.upgrade is None:
                line.script.foreign = True
                return
        side = line.sides[event.dir]
        self._join(side)
        line.step(event)
        if isinstance(event, End):
            side.need, side.moved = side.need._replace(end=True), event.t
            if all(one.need.end for one in line.sides.values()):
                line.script.ended = event.t
