"""What a diff is made of and what it says: data, no behaviour.

Strategy: each recording becomes a *side* of entries, each entry one thing that a person would count as one: a message, a control frame, the head or
the body of an HTTP message, the end of a direction. The diff is a list of rows; a row pairs entries of both sides, or has entries of one. Contents
are kept with the rows that differ and with those around them.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from ...wire.events import Dir
from .structure import Change

_UNREAD, _NOTHING = object(), object()
_JSON_STARTS = frozenset(bytes((byte,)) for byte in b'{["-0123456789tfnNI \t\r\n')

Op: TypeAlias = Literal["same", "changed", "removed", "added", "moved", "rechunked"]


@dataclass(frozen=True, slots=True)
class Options:
    """What counts as a difference.

    `ignore` and `only` are paths as of `structure.PathPattern`; `exact` compares volatile values too; `frames` compares frames as they stood on the
    wire in place of messages; `dirs` are the directions that are looked at; `tolerance` is the time in nanoseconds by which gaps may differ, and
    `strict_time` says whether a gap that differs by more is a difference or a remark; `context` is how many rows around each difference are kept
    with their contents.
    """

    ignore: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    exact: bool = False
    frames: bool = False
    dirs: tuple[Dir, ...] = ("c2s", "s2c")
    tolerance: int = 50_000_000
    strict_time: bool = False
    context: int = 3


class Entry(NamedTuple):
    """One thing in a recording that can be paired with one in another.

    `number` and `t` are those that `wsproxy show` prints; `conn` counts the recording's connections from 0, in the order of their first event;
    `label` is the word that a person reads (START, text, close, POST …); `exact` is a key of the content as it stands,
    `identity` of label and content.
    """

    number: int
    conn: int
    dir: Dir
    t: int
    kind: str  # message, control, close, request, response, body, end, frame or opaque
    label: str
    exact: int
    size: int

    @property
    def identity(self) -> int:
        return hash((self.label, self.exact))


class Content:
    """What an entry holds.

    Args:
        data: its bytes.
        value: what they mean, for what is no JSON by itself: of a head its start line and headers, of a close its code and reason.
    """

    __slots__ = ("_value", "data")

    def __init__(self, data: bytes, value: Any = None) -> None:
        self.data = data
        self._value = _UNREAD if value is None else value

    @property
    def value(self) -> Any:
        """The JSON value; None where there is none (or where it is the JSON `null`)."""
        return self._read() if self.is_json else None

    @property
    def is_json(self) -> bool:
        return self._read() is not _NOTHING

    def _read(self) -> Any:
        """The value, parsed when it is first asked for: most contents are only passed on."""
        if self._value is _UNREAD:
            self._value = _NOTHING
            if self.data[:1] in _JSON_STARTS:
                try:
                    self._value = json.loads(self.data)
                except (ValueError, RecursionError):
                    pass
        return self._value


@dataclass(slots=True)
class Row:
    """A place in the diff.

    `a` and `b` are single entries but for "rechunked", where the same text came in other pieces; `changes` are what differs in a pair; `renames`
    how many of its values are only renamed; `shift` is how much later B's entry came than A's, counted from the first pair, in nanoseconds, and
    `gap` how much longer B waited before it than A did, where that is beyond the tolerance. `reordered` tells that the row came before another
    direction's entry in one recording and after it in the other.
    """

    op: Op
    a: tuple[Entry, ...]
    b: tuple[Entry, ...]
    changes: tuple[Change, ...] = ()
    renames: int = 0
    shift: int | None = None
    gap: int | None = None
    reordered: bool = False

    @property
    def differs(self) -> bool:
        return self.op != "same" or self.reordered

    @property
    def remarkable(self) -> bool:
        """Whether it is to be seen: it differs, or came after another time."""
        return self.differs or self.gap is not None

    @property
    def entry(self) -> Entry:
        """Of A if there is one, else of B."""
        return (self.a or self.b)[0]


class Spelled(NamedTuple):
    """What the deltas of one direction spell, on both sides: `channel` is "text" or "tool[0]" …, with the choice where it is not the first."""

    dir: Dir
    channel: str
    a: str
    b: str
    a_chunks: int
    b_chunks: int

    @property
    def same(self) -> bool:
        return self.a == self.b


class Count(NamedTuple):
    """How often something was seen on each side: a stage of markers."""

    name: str
    a: int
    b: int


class HopTime(NamedTuple):
    """The median time of a hop between two places of the pipeline, in milliseconds, on each side."""

    before: str
    after: str
    a: float
    b: float


@dataclass(slots=True)
class Side:
    """One of the two recordings in figures."""

    path: str
    stream: str
    started_ns: int
    unit: Literal["message", "frame"] = "message"
    up: int = 0  # of the unit, data alone
    down: int = 0
    markers: int = 0
    duration: int = 0  # nanoseconds from the first to the last entry
    closes: dict[Dir, tuple[int, int, str]] = field(default_factory=dict)  # time, code, reason; of the last WebSocket
    state: str = ""  # as of Ending: finished, torn …
    lost: int = 0  # events that its recorder could not write
    verdict: str | None = None  # of diagnose; None where it was not asked
    answer: str = ""

    @property
    def closer(self) -> Dir | None:
        """Whose close frame came first."""
        return min(self.closes, key=lambda dir: self.closes[dir][0], default=None)


@dataclass(slots=True)
class Diff:
    """What two recordings differ in; rows are in A's order, what only B has stands behind what it followed there."""

    a: Side
    b: Side
    options: Options
    rows: list[Row]
    contents_a: dict[int, Content] = field(repr=False)  # by entry number, of rows in hunks
    contents_b: dict[int, Content] = field(repr=False)
    spelled: list[Spelled]
    stages: list[Count]
    hops: list[HopTime]
    renamed: list[tuple[Any, Any]]
    coarse: bool
    notes: list[str]
    essence: str = ""

    @property
    def differences(self) -> list[Row]:
        return [row for row in self.rows if row.differs]

    @property
    def same(self) -> bool:
        """Whether nothing differs that was to be compared."""
        late = self.options.strict_time and any(row.gap is not None for row in self.rows)
        return not (late or self.stages or any(row.differs for row in self.rows))

    @property
    def exit_status(self) -> int:
        """As of diff(1): 0 for the same, 1 where something differs."""
        return 0 if self.same else 1

    def __str__(self) -> str:
        """What `wsproxy diff` prints, without colours."""
        # Looked up when somebody prints: analysis runs without a terminal and imports nothing of one.
        return str(importlib.import_module("wsproxy.render.diff.page").plain(self))

    def to_json(self) -> list[dict[str, Any]]:
        """What `wsproxy diff --json` prints: times in seconds, shifts and gaps in milliseconds; masked."""
        return list(importlib.import_module("wsproxy.render.diff.jsonl").diff_objects(self))
