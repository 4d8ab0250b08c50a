"""One attempt laid out: which chunk was where when, and what the policy made of them.

Strategy: two chains of stages with the policy between them. A chain has a row per chunk and a column per stage; each stage is aligned with the
one before it. A stage has a column where chunks were seen at it, and also where its hook is known to be installed and nothing came: that is
how "not seen" and "not looked at" are told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from ... import stages
from ...wire.events import C2S, S2C
from .attempt import DOWN, UP, WIRE_DOWN, WIRE_UP, Attempt, Ended, Note, Point, Sighting
from .chunks import BLOCKED, CONTENT, FINISH
from .matching import Turn, align, out_of_order, turns

RACE_NS = 1_000_000  # closer than this, what two processes say about "before" and "after" is not to be trusted


class Stop(NamedTuple):
    """The client listens no more: since when, and what tells it (`number` 0: no event of its own)."""

    t: int
    number: int
    how: str  # "close", "fin", "reset", "end" (of the callback, by its markers)


@dataclass(slots=True)
class Chain:
    """Rows of sightings, one column per stage. `extra` maps rows that began later than the first stage to their column."""

    stages: tuple[str, ...]
    columns: dict[str, int]
    rows: list[list[Sighting | None]] = field(default_factory=list)
    extra: dict[int, int] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)  # of the extra rows: the row of the same content
    moved: dict[int, list[int]] = field(default_factory=dict)  # by column: rows that overtook others there
    order: dict[str, list[int]] = field(default_factory=dict)  # by stage: the rows in the order in which they came

    def at(self, row: int, stage: str) -> Sighting | None:
        column = self.columns.get(stage)
        return None if column is None else self.rows[row][column]

    def first(self, row: int) -> Sighting:
        for sighting in self.rows[row]:
            if sighting is not None:
                return sighting
        raise AssertionError("a row begins with a sighting")

    def last_column(self, row: int) -> int:
        sightings = self.rows[row]
        column = len(sightings) - 1
        while sightings[column] is None:
            column -= 1
        return column


def chain(names: Sequence[str], seen: dict[str, list[Sighting]]) -> Chain:
    """Align the stages, each with what came before it."""
    result = Chain(tuple(names), {name: column for column, name in enumerate(names)})
    width = len(result.stages)
    previous: list[int] = []  # rows in the order of the stage before
    for column, stage in enumerate(result.stages):
        sightings = seen.get(stage, [])
        order: list[int] = []
        matched = align([result.first(row).essence for row in previous], [s.essence for s in sightings])
        for sighting, i in zip(sightings, matched, strict=True):
            if i >= 0:
                row = previous[i]
            else:
                row = len(result.rows)
                result.rows.append([None] * width)
                if column:
                    result.extra[row] = column
            result.rows[row][column] = sighting
            order.append(row)
        if column:
            moved = out_of_order(matched)
            if moved:
                result.moved[column] = [order[j] for j in moved]
            first = {result.first(row).essence: row for row in reversed(previous)}
            for row in (row for row, at in result.extra.items() if at == column):
                essence = result.rows[row][column].essence  # type: ignore[union-attr]  # it began in this column
                if essence and essence in first:
                    result.copies[row] = first[essence]
            gone = set(previous).difference(order)
            order = _merged(previous, order, gone) if gone else order
        result.order[stage] = order
        previous = order
    return result


def _merged(previous: list[int], order: list[int], gone: set[int]) -> list[int]:
    """The rows of this stage, with those that were not seen here kept where they stood: a marker may be missing."""
    place = {row: n for n, row in enumerate(previous)}
    result: list[int] = []
    lost = [row for row in previous if row in gone]
    at = 0
    for row in order:
        while at < len(lost) and place.get(row, -1) > place[lost[at]]:
            result.append(lost[at])
            at += 1
        result.append(row)
    return result + lost[at:]


class Course:
    """An attempt's chunks from the backend to the client."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        seen = attempt.seen
        down = _columns(DOWN, attempt, anything_later=False)
        self.down = chain(down, seen)
        self.up = chain(_columns(UP, attempt, anything_later=any(seen.get(stage) for stage in DOWN)), seen)
        self.in_rows = [row for row in range(len(self.up.rows)) if self.up.rows[row][-1] is not None]
        self.in_rows.sort(key=lambda row: self.consumed(row)[:2])
        self.out_rows = [row for row in range(len(self.down.rows)) if row not in self.down.extra]
        self.out_rows.sort(key=lambda row: self.down.first(row)[:2])
        made = turns([self.consumed(row) for row in self.in_rows], [self.down.first(row) for row in self.out_rows])
        self.turn_of: dict[int, Turn] = dict(zip(self.out_rows, made, strict=True))
        self.answer_of = {self.in_rows[i]: row for row, turn in self.turn_of.items() for i in turn.inputs}
        """Of each up row that was answered, the down row."""

    def consumed(self, row: int) -> Sighting:
        """An up row at the last place before the policy's output that is known."""
        sighting = self.up.rows[row][-1]
        assert sighting is not None
        return sighting

    def inputs(self, row: int) -> list[int]:
        """The up rows that an output stands for."""
        turn = self.turn_of.get(row)
        return [self.in_rows[i] for i in turn.inputs] if turn else []

    @property
    def wired(self) -> bool:
        """Whether the stream ran through the relay."""
        return self.attempt.conn is not None

    @cached_property
    def stop(self) -> Stop | None:
        """Since when the client listens no more; None while it does."""
        attempt = self.attempt
        if attempt.conn is not None:
            if C2S in attempt.closes:
                return Stop(*attempt.closes[C2S][:2], "close")
            end = attempt.ended.get(C2S)
            return Stop(end.t, end.number, end.how) if end and end.how in ("fin", "reset") else None
        ends = [note for note in attempt.notes.get(stages.WS_SENT, ()) if note.data.get("type") == "END"]
        ends += self.returned
        return Stop(ends[0].t, ends[0].number, "end") if ends else None

    @cached_property
    def returned(self) -> list[Note]:
        """The markers that say that the callback's generator is over."""
        notes = self.attempt.notes
        found = [*notes.get(stages.CALLBACK_COMPLETED, ()), *notes.get(stages.CALLBACK_FAILED, ())]
        return sorted((note for note in found if "yielded" in note.data), key=lambda note: note.t)

    @cached_property
    def over(self) -> Point | None:
        """When the control plane's side ended by itself: END, ERROR, its close frame, or markers of these."""
        attempt = self.attempt
        points = [attempt.ends.get(S2C), attempt.errors[S2C][0] if S2C in attempt.errors else None]
        if S2C in attempt.closes and not self.client_closed_first:
            points.append(Point(*attempt.closes[S2C][:2]))
        for stage in (stages.POLICY_END, stages.ENDPOINT_END, stages.ENDPOINT_ERROR):
            note = attempt.note(stage)
            points.append(Point(note.t, note.number) if note else None)
        return min((point for point in points if point), default=None)

    @cached_property
    def broke(self) -> Ended | None:
        """When the control plane's side went away without a word."""
        ended = self.attempt.ended.get(S2C)
        return ended if ended is not None and self.over is None and ended.how not in ("aborted", "stopped") else None

    @cached_property
    def client_closed_first(self) -> bool:
        """Whether the client's close frame was the first, or it went without any."""
        closes = self.attempt.closes
        if C2S in closes and S2C in closes:
            return closes[C2S].t < closes[S2C].t
        if closes or not self.wired:
            return S2C not in closes and self.stop is not None
        ours, theirs = self.attempt.ended.get(C2S), self.attempt.ended.get(S2C)
        return self.stop is not None and ours is not None and (theirs is None or ours.t <= theirs.t)

    @cached_property
    def ended_by_itself(self) -> bool:
        """Whether the control plane's side was over before the client had said END or closed."""
        said = [point.t for point in (self.attempt.ends.get(C2S), self.stop) if point is not None]
        return self.over is not None and (not said or self.over.t < min(said))

    @cached_property
    def last_up(self) -> Sighting | None:
        """The last chunk that went up before the client stopped: on the wire, or where it was seen next to it."""
        for stage in (WIRE_UP, stages.WS_SENT, stages.CALLBACK_BACKEND_CHUNK, *UP):
            seen = self.attempt.seen.get(stage, ())
            for sighting in reversed(seen):
                if self.stop is None or sighting.t <= self.stop.t:
                    return sighting
        return None

    def number_of(self, event: int) -> int | None:
        """The number of the upstream chunk that an event shows."""
        for row in range(len(self.up.rows) - 1, -1, -1):
            if any(s is not None and s.number == event for s in self.up.rows[row]):
                return row
        return None

    @cached_property
    def client_left(self) -> bool:
        """Whether the client went in the middle: its consumer wanted no more, or it closed with neither finish nor END."""
        seen = self.attempt.seen
        if any(note.data.get("closed_early") for note in self.returned):
            given = seen.get(stages.CALLBACK_YIELDED) or seen.get(stages.CLIENT_TO_CLIENT) or ()
            return not any(s.flags & FINISH for s in given)
        if self.stop is None or not self.wired or not self.client_closed_first or self.over is not None:
            return False
        return C2S not in self.attempt.ends and not any(s.flags & FINISH for s in seen.get(WIRE_UP, ()))

    @cached_property
    def blocked(self) -> int | None:
        """The first output whose text starts with BLOCKED: its row."""
        return next((row for row in self.out_rows if self.down.first(row).flags & BLOCKED), None)

    @cached_property
    def owed(self) -> list[int]:
        """The up rows after the last answered one, in order; none where only empty chunks (usage) wait."""
        answered = max((n for n, row in enumerate(self.in_rows) if row in self.answer_of), default=-1)
        tail = self.in_rows[answered + 1 :]
        wanted = any(self.consumed(row).flags & CONTENT or not self.consumed(row).essence for row in tail)
        return tail if wanted else []

    @cached_property
    def passed_over(self) -> list[int]:
        """The up rows that the policy consumed and gave no answer to, though it answered later ones."""
        last = max((n for n, row in enumerate(self.in_rows) if row in self.answer_of), default=-1)
        return [row for row in self.in_rows[: last + 1] if row not in self.answer_of]

    @cached_property
    def held(self) -> tuple[int, int]:
        """How many chunks the policy held back while it took later ones, and for how long at most (nanoseconds)."""
        count = longest = 0
        for row, following in pairwise(self.in_rows):
            answer = self.answer_of.get(row)
            if answer is not None and self.consumed(following).t < self.down.first(answer).t:
                count += 1
                longest = max(longest, self.down.first(answer).t - self.consumed(row).t)
        return count, longest

    @cached_property
    def unread_end(self) -> Point | None:
        """The control plane's END, where the client sent its own later: it does not once it has read the other."""
        theirs, ours = self.attempt.ends.get(S2C), self.attempt.ends.get(C2S)
        return theirs if theirs and ours and ours.t > theirs.t + RACE_NS else None

    @cached_property
    def rejected(self) -> dict[int, Note]:
        """The down rows that failed the client's validation, with the marker that says why."""
        found: dict[int, Note] = {}
        notes = self.attempt.notes.get(stages.CLIENT_REJECTED, ())
        by_number = {s.number: s for s in self.attempt.seen.get(stages.CLIENT_REJECTED, ())}
        ok = {stages.CLIENT_NORMALIZED, stages.CLIENT_TO_CLIENT, stages.CALLBACK_YIELDED} & set(self.down.stages)
        free = [row for row in range(len(self.down.rows)) if not any(self.down.at(row, stage) for stage in ok)]
        for note in notes:
            sighting = by_number.get(note.number)
            essence = sighting.essence if sighting else 0
            before = [row for row in free if row not in found and self._arrived(row) <= note.t + RACE_NS]
            same = [row for row in before if essence and self.down.first(row).essence == essence]
            if same or before:
                found[same[0] if same else max(before, key=self._arrived)] = note
        return found

    def _arrived(self, row: int) -> int:
        seen = [s for s in self.down.rows[row] if s is not None]
        return seen[-1].t


def _columns(names: Sequence[str], attempt: Attempt, *, anything_later: bool) -> list[str]:
    """The stages that get a column: those with chunks, and behind the last of them those where one would have been seen."""
    seen = [n for n, name in enumerate(names) if attempt.seen.get(name)]
    last = max(seen, default=-1)
    return [
        name
        for n, name in enumerate(names)
        if attempt.seen.get(name) or (n > last and not anything_later and _is_watched(name, attempt))
    ]


def _is_watched(stage: str, attempt: Attempt) -> bool:
    """Whether a chunk would have been seen at a stage at which none was."""
    if stage in (WIRE_UP, WIRE_DOWN):
        return attempt.conn is not None and attempt.status in (0, 101)
    if stage == stages.CALLBACK_YIELDED:
        return any("yielded" in note.data for note in attempt.notes.get(stages.CALLBACK_COMPLETED, ()))
    if stage in (stages.CALLBACK_BACKEND_CHUNK, stages.CLIENT_NORMALIZED):
        return False
    family = stage.partition(".")[0]
    return attempt.has(family)
