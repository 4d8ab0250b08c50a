"""What was seen of one stream: one attempt per WebSocket that tried to carry it.

Strategy: data, no behaviour. Of a chunk only its time, event number and identity are kept, never its content: 41 bytes for each place where it
was seen, whatever it weighs (`sightings`). Who wants to show content reads the recording again for the few events that it names (`reading.pick`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ... import stages
from ...recording.events import Gap, Link
from ...recording.reader import Ending
from ...wire.events import Dir
from .sightings import Point, Sightings

WIRE_UP, WIRE_DOWN = "wire.c2s", "wire.s2c"

UP = (
    *(stages.CALLBACK_BACKEND_CHUNK, stages.WS_SENT, WIRE_UP),
    *(stages.ENDPOINT_CHUNK_IN, stages.POLICY_CHUNK_IN),
)
"""Where a chunk of the backend passes, in this order, until the policy has it."""
DOWN = (
    *(stages.POLICY_CHUNK_OUT, stages.ENDPOINT_CHUNK_OUT, WIRE_DOWN, stages.WS_RECEIVED),
    *(stages.CLIENT_CONTROL_IN, stages.CLIENT_NORMALIZED, stages.CLIENT_TO_CLIENT, stages.CALLBACK_YIELDED),
)
"""Where a chunk of the policy passes, in this order, until the client has it."""

STEPS = {
    stages.CALLBACK_BACKEND_CHUNK: 1, stages.WS_SENT: 2, WIRE_UP: 2, stages.ENDPOINT_CHUNK_IN: 3,
    stages.POLICY_CHUNK_IN: 4, stages.POLICY_CHUNK_OUT: 4, stages.ENDPOINT_CHUNK_OUT: 3, WIRE_DOWN: 5,
    stages.WS_RECEIVED: 5, stages.CLIENT_CONTROL_IN: 6, stages.CLIENT_NORMALIZED: 6, stages.CLIENT_REJECTED: 6,
    stages.CLIENT_TO_CLIENT: 6, stages.CALLBACK_YIELDED: 6,
}  # fmt: skip
"""The step of the pipeline (1 to 6) that a stage belongs to."""


class Close(NamedTuple):
    """A close frame."""

    t: int
    number: int
    code: int
    reason: str


class Ended(NamedTuple):
    """The end of one direction: fields as of the event."""

    t: int
    number: int
    how: str
    undelivered: int


class Note(NamedTuple):
    """A marker that is no chunk: its stage, and of its data what is small."""

    t: int
    number: int
    stage: str
    data: dict[str, Any]


class Silence(NamedTuple):
    """The longest time in which the wire carried no message: after what, in which direction, until what."""

    ns: int
    since: Point
    dir: Dir
    until: Point


@dataclass(slots=True)
class Attempt:
    """One WebSocket of a stream; or, with `conn` None, what markers tell of a stream that had none here."""

    conn: int | None = None
    opened: Point | None = None
    refused: str | None = None  # why the relay could not reach the upstream
    asked: Point | None = None  # the upgrade request
    answered: Point | None = None
    status: int = 0
    by_relay: bool = False
    first: tuple[str, Point] | None = None  # the type of the first message up ("" for one that is no pipeline message)
    start: Point | None = None
    ends: dict[Dir, Point] = field(default_factory=dict)
    errors: dict[Dir, tuple[Point, str]] = field(default_factory=dict)
    closes: dict[Dir, Close] = field(default_factory=dict)
    ended: dict[Dir, Ended] = field(default_factory=dict)
    heard: dict[Dir, Point] = field(default_factory=dict)  # the last head, message or control frame of each side
    foreign: list[tuple[Point, Dir, str]] = field(
        default_factory=list
    )  # the first messages that are not the pipeline's
    messages: int = 0  # of the pipeline
    strange: int = 0  # not of the pipeline, or not readable
    unreadable: int = 0
    seen: dict[str, Sightings] = field(default_factory=dict)
    notes: dict[str, list[Note]] = field(default_factory=dict)
    marks: Counter[str] = field(default_factory=Counter)  # markers by stage
    silence: Silence | None = None
    links: dict[Dir, Link] = field(
        default_factory=dict
    )  # the way to the client ("c2s") and to the server ("s2c"), at the end

    def note(self, stage: str) -> Note | None:
        """The first marker of a stage that is no chunk."""
        found = self.notes.get(stage)
        return found[0] if found else None

    def has(self, *families: str) -> bool:
        """Whether any marker of these families (`policy`, `client` …) was made: then its hook is installed."""
        return any(stage.partition(".")[0] in families for stage in self.marks)


@dataclass(slots=True)
class Dial:
    """Connections, one after the other, that an upstream took (`error` None) or did not; `first` and `last` are when."""

    upstream: str
    error: str | None
    first: int
    last: int
    count: int = 1


@dataclass(slots=True)
class Journey:
    """A recording as analysis sees it."""

    stream: str
    attempts: list[Attempt]
    exchanges: int  # HTTP, upgrades not counted
    markers: int
    dropped: int  # markers that hooks made and could not deliver
    events: int
    gaps: list[Gap]
    ending: Ending | None
    error_ns: int  # the largest error bound of a marker's time
    refusals: list[tuple[Point, int]] = field(
        default_factory=list
    )  # HTTP answers of 400 and above, upgrades not counted
    last_t: int = 0
    behind: int | None = (
        None  # since when events may have been forwarded before they were written, where the end does not tell
    )
    dials: list[Dial] = field(default_factory=list)

    @property
    def cut(self) -> str | None:
        """Why the recording may lack its end, or None."""
        if self.ending is None or self.ending.state == "finished":
            return None
        return self.ending.state
