"""A course at a glance: one way per chunk through the lanes, the times between stages, what the policy did.

Strategy: a chunk that passes the policy unchanged or rewritten is one way from the first lane to the last; one that the policy merged, dropped or
made up ends or begins there. Many ways in a row that went alike are folded, so that a stream of any length fits a screen and what
is odd stays visible.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import groupby, islice
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from ... import stages
from ...wire.events import C2S, S2C
from .attempt import DOWN, UP, WIRE_DOWN, WIRE_UP
from .chain import Chain
from .course import Course
from .fates import Fate, fates_down, fates_up
from .matching import INVENT, MERGE, PASS, REPEAT, REWRITE, Turn
from .sightings import Sighting

BACKEND, CALLBACK, ENDPOINT, POLICY, CLIENT = "backend", "callback", "endpoint", "policy", "client"
WIRE_UP_LANE, WIRE_DOWN_LANE = "wire ↑", "wire ↓"
LANES = (BACKEND, CALLBACK, WIRE_UP_LANE, ENDPOINT, POLICY, WIRE_DOWN_LANE, CLIENT)
_UP_LANES = {
    BACKEND: stages.CALLBACK_BACKEND_CHUNK,
    CALLBACK: stages.WS_SENT,
    WIRE_UP_LANE: WIRE_UP,
    ENDPOINT: stages.ENDPOINT_CHUNK_IN,
    POLICY: stages.POLICY_CHUNK_IN,
}
_CLIENT = DOWN[3:]
_DOWN_LANES = (
    (POLICY, (stages.POLICY_CHUNK_OUT, stages.ENDPOINT_CHUNK_OUT)),
    (WIRE_DOWN_LANE, (WIRE_DOWN,)),
    (CLIENT, _CLIENT[::-1]),
)
_Order: TypeAlias = tuple[int, bool, int]

DROPPED, OWED, ENDED = "drop", "owed", "end"  # kinds of ways that end before the client, beside those of matching

_FOLD = 9  # ways that went alike and stand together; of more only the ends are shown
_ENDS = 3
_MOST = 80  # entries of a glance


class Way(NamedTuple):
    """A chunk through the lanes: where it was when.

    `chunk` is the number of the upstream chunk, or None for an output that no single chunk became; `out` the row of the output; `kind` what
    the policy did with it; `inputs` how many chunks an output stands for.
    """

    t: int
    number: int
    chunk: int | None
    out: int | None
    kind: str
    lanes: dict[str, Sighting]
    fate: Fate | None
    inputs: int = 1


class Mark(NamedTuple):
    """What happened between the chunks: START, END, ERROR, a close frame."""

    t: int
    number: int
    lane: str
    words: str


class Fold(NamedTuple):
    """Ways that are not shown because they went like those around them."""

    hidden: int


class Hop(NamedTuple):
    """The time from one stage to the next, over all chunks that were seen at both; in milliseconds."""

    before: str
    after: str
    chunks: int
    p50: float
    p95: float
    max: float


@dataclass(frozen=True, slots=True)
class PolicyWork:
    """What the policy did: counts of its inputs and outputs by what became of them, and how long it held chunks back."""

    consumed: int
    put_out: int
    kinds: dict[str, int]
    dropped: int
    owed: int
    held: int
    held_ms: float


def lanes(course: Course) -> tuple[str, ...]:
    """The lanes for which there is evidence; the policy's always, because that is where chunks join and end."""
    seen = course.attempt.seen
    found = {lane for lane, stage in _UP_LANES.items() if seen.get(stage)} | {POLICY}
    found |= {WIRE_UP_LANE, WIRE_DOWN_LANE} if course.wired else set()
    found |= {ENDPOINT} if seen.get(stages.ENDPOINT_CHUNK_OUT) else set()
    found |= {CLIENT} if any(seen.get(stage) for stage in _CLIENT) else set()
    return tuple(lane for lane in LANES if lane in found)


def ways(course: Course) -> Iterator[Way]:
    """All ways, by the time at which they began; each is made when it is asked for."""
    lost_up, lost_down = fates_up(course), fates_down(course)
    passed_over = set(course.passed_over)
    up = _columns(course.up, [(lane, (stage,)) for lane, stage in _UP_LANES.items()])
    down = _columns(course.down, _DOWN_LANES)

    def from_above(row: int) -> Way:
        places = _places(course.up, row, up)
        first = course.up.point(row)
        answer = course.answer_of.get(row)
        turn = course.turn_of[answer] if answer is not None else None
        chunk = row if row not in course.up.extra else None
        if answer is not None and turn is not None and turn.kind in (PASS, REWRITE):
            places |= _places(course.down, answer, down)
            return Way(first.t, first.number, chunk, answer, turn.kind, places, lost_down.get(answer))
        kind = MERGE if turn else DROPPED if row in passed_over else OWED if course.up.cell(row, -1) else ENDED
        return Way(first.t, first.number, chunk, answer, kind, places, lost_up.get(row))

    def from_policy(row: int) -> Way:
        own = course.turn_of.get(row)
        first = course.down.point(row)
        kind, count = (own.kind, len(own.inputs)) if own else (REPEAT, 0)
        places = _places(course.down, row, down)
        return Way(first.t, first.number, None, row, kind, places, lost_down.get(row), count)

    def begins_above(row: int) -> _Order:
        first = course.up.point(row)
        return first.t, row in course.up.extra, first.number

    def begins_there(row: int) -> _Order:
        first = course.down.point(row)
        return first.t, True, first.number

    apart = [row for row in range(len(course.down)) if not _passes(course.turn_of.get(row))]
    return merge(
        map(from_above, _ordered(range(len(course.up)), begins_above)),
        map(from_policy, _ordered(apart, begins_there)),
        key=lambda way: (way.t, way.chunk is None, way.number),
    )


def _passes(turn: Turn | None) -> bool:
    return turn is not None and turn.kind in (PASS, REWRITE)


def _ordered(rows: Sequence[int], key: Callable[[int], _Order]) -> Sequence[int]:
    """Sorted; without a key for each, where they are already."""
    before: _Order | None = None
    for row in rows:
        this = key(row)
        if before is not None and this < before:
            return sorted(rows, key=key)
        before = this
    return rows


def _columns(chain: Chain, wanted: Iterable[tuple[str, tuple[str, ...]]]) -> list[tuple[str, list[int]]]:
    """Of each lane, the columns of a chain that can tell of it, the best first."""
    return [(lane, [chain.columns[name] for name in names if name in chain.columns]) for lane, names in wanted]


def _places(chain: Chain, row: int, lanes: list[tuple[str, list[int]]]) -> dict[str, Sighting]:
    places = {}
    for lane, columns in lanes:
        for column in columns:
            sighting = chain.cell(row, column)
            if sighting is not None:
                places[lane] = sighting
                break
    return places


def marks(course: Course) -> Iterator[Mark]:
    """START, END, ERROR and the close frames."""
    attempt = course.attempt
    if attempt.start:
        yield Mark(*attempt.start, WIRE_UP_LANE, "START")
    for dir, lane in ((C2S, WIRE_UP_LANE), (S2C, WIRE_DOWN_LANE)):
        if dir in attempt.ends:
            yield Mark(*attempt.ends[dir], lane, "END")
        if dir in attempt.errors:
            point, text = attempt.errors[dir]
            yield Mark(*point, lane, f"ERROR {text}")
        if dir in attempt.closes:
            close = attempt.closes[dir]
            yield Mark(close.t, close.number, lane, f"close {close.code}")
        elif not attempt.closes and dir in attempt.ended:
            end = attempt.ended[dir]
            yield Mark(end.t, end.number, lane, end.how)
    end_note = attempt.note(stages.POLICY_END)
    if end_note:
        yield Mark(end_note.t, end_note.number, POLICY, "raised" if end_note.data.get("error") else "end")
    for note in course.returned[:1]:
        yield Mark(note.t, note.number, CLIENT, "callback ends")


def glance(course: Course, all_ways: Iterable[Way]) -> list[Way | Mark | Fold]:
    """Ways and marks in the order of time, with what went alike folded; `all_ways` as `ways` gives them."""
    by_number = attrgetter("number")
    in_order = (way for _, together in groupby(all_ways, attrgetter("t")) for way in sorted(together, key=by_number))
    by_time = attrgetter("t", "number")
    return _middle_folded(_alike_folded(merge(in_order, sorted(marks(course), key=by_time), key=by_time)))


def _alike_folded(entries: Iterable[Way | Mark]) -> Iterator[Way | Mark | Fold]:
    """Of more than `_FOLD` that went alike in a row, the ends."""
    for like, run in groupby(entries, _alike):
        if like is None:
            yield from run
            continue
        rest = iter(run)
        first = list(islice(rest, _FOLD))
        last: deque[Way | Mark] = deque(first[-_ENDS:], _ENDS)
        more = 0
        for entry in rest:
            last.append(entry)
            more += 1
        yield from [*first[:_ENDS], Fold(len(first) + more - 2 * _ENDS), *last] if more else first


def _middle_folded(entries: Iterable[Way | Mark | Fold]) -> list[Way | Mark | Fold]:
    """At most `_MOST`, and a fold for those in the middle."""
    entries = iter(entries)
    first = list(islice(entries, _MOST // 2))
    last: deque[Way | Mark | Fold] = deque()
    hidden = 0
    for entry in entries:
        last.append(entry)
        if len(last) > _MOST // 2:
            out = last.popleft()
            hidden += out.hidden if isinstance(out, Fold) else 1
    return [*first, Fold(hidden), *last] if hidden else [*first, *last]


def _alike(entry: Way | Mark) -> tuple[object, ...] | None:
    if isinstance(entry, Mark):
        return None
    return entry.kind, entry.fate.code if entry.fate else None, entry.chunk is None, tuple(entry.lanes)


def hops(course: Course) -> list[Hop]:
    """The times between neighbouring stages; through the policy, of chunks that it passed on or rewrote one for one."""
    found: list[tuple[str, str, list[int]]] = []
    for chain in (course.up, course.down):
        for column in range(1, len(chain.stages)):
            found.append((chain.stages[column - 1], chain.stages[column], chain.durations(column)))
        if chain is course.up and course.up.stages and course.down.stages:
            through = [
                course.down.point(row).t - course.up.ended(course.in_rows[turn.inputs[-1]])
                for row, turn in course.turn_of.pairs()
                if turn.inputs
            ]
            found.append((course.up.stages[-1], course.down.stages[0], through))
    return [_hop(before, after, sorted(times)) for before, after, times in found if times]


def _hop(before: str, after: str, times: list[int]) -> Hop:
    last = len(times) - 1
    p50, p95 = times[last // 2], times[min(round(last * 0.95), last)]
    return Hop(before, after, len(times), p50 / 1e6, p95 / 1e6, times[-1] / 1e6)


def policy_work(course: Course) -> PolicyWork:
    """The policy's balance."""
    kinds = Counter(turn.kind for _, turn in course.turn_of.pairs())
    count, longest = course.held
    ended = course.over is not None and (course.stop is None or course.over.t < course.stop.t)
    tail = len(course.in_rows) - len(course.answer_of) - len(course.passed_over)
    return PolicyWork(
        consumed=len(course.in_rows),
        put_out=len(course.out_rows),
        kinds={kind: kinds[kind] for kind in (PASS, REWRITE, MERGE, INVENT, REPEAT) if kinds[kind]},
        dropped=len(course.passed_over) + (tail if ended else 0),
        owed=0 if ended else tail,
        held=count,
        held_ms=longest / 1e6,
    )


def counts(course: Course) -> dict[str, int]:
    """Chunks by stage, in the order in which they pass."""
    seen = course.attempt.seen
    names = [*UP, *DOWN, stages.CLIENT_REJECTED]
    wired = {WIRE_UP, WIRE_DOWN} if course.wired else set()
    return {name: len(seen.get(name, ())) for name in names if seen.get(name) or name in wired}
