"""One attempt laid out: which chunk was where when, and what the policy made of them.

Strategy: two chains of stages (`chain`) with the policy between them. A stage has a column where chunks were seen at it, and also where its hook
is known to be installed and nothing came: that is how "not seen" and "not looked at" are told apart.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from ... import stages
from ...wire.events import C2S, S2C
from .attempt import DOWN, UP, WIRE_DOWN, WIRE_UP, Attempt, Ended, Note
from .chain import Chain
from .chunks import BLOCKED, CONTENT, FINISH
from .matching import Turn, Turns, turns
from .sightings import Point, Sighting

RACE_NS = 1_000_000  # closer than this, what two processes say about "before" and "after" is not to be trusted


class Stop(NamedTuple):
    """The client listens no more: since when, and what tells it (`number` 0: no event of its own)."""

    t: int
    number: int
    how: str  # "close", "fin", "reset", "end" (of the callback, by its markers)


class Course:
    """An attempt's chunks from the backend to the client."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        seen = attempt.seen
        down = _columns(DOWN, attempt, anything_later=False)
        self.down = Chain(down, seen)
        self.up = Chain(_columns(UP, attempt, anything_later=any(seen.get(stage) for stage in DOWN)), seen)
        self.in_rows, ins = self.up.by_last()
        self.out_rows, outs = self.down.by_first()
        self.turn_of = TurnOf(self.out_rows, turns(ins, outs), len(self.down))
        self.answer_of = ByRow(len(self.up))
        """Of each up row that was answered, the down row."""
        for row, turn in self.turn_of.pairs():
            for i in turn.inputs:
                self.answer_of.set(self.in_rows[i], row)

    def consumed(self, row: int) -> Sighting:
        """An up row at the last place before the policy's output that is known."""
        sighting = self.up.cell(row, -1)
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
        return next((row for row in range(len(self.up) - 1, -1, -1) if self.up.number_in(row, event)), None)

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
        return list(tail) if wanted else []

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
            if answer is not None and self.up.ended(following) < self.down.point(answer).t:
                count += 1
                longest = max(longest, self.down.point(answer).t - self.up.ended(row))
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
        if not notes:
            return found
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


class ByRow(Mapping[int, int]):
    """A number for some of the rows, four bytes for each row."""

    def __init__(self, rows: int) -> None:
        self._numbers = array("i", [-1]) * rows
        self._known = 0

    def set(self, row: int, number: int) -> None:
        """Note a row's number, which is not negative."""
        self._known += self._numbers[row] < 0
        self._numbers[row] = number

    def __getitem__(self, row: int) -> int:
        number = self._numbers[row] if 0 <= row < len(self._numbers) else -1
        if number < 0:
            raise KeyError(row)
        return number

    def __len__(self) -> int:
        return self._known

    def __iter__(self) -> Iterator[int]:
        return (row for row, number in enumerate(self._numbers) if number >= 0)


class TurnOf(Mapping[int, Turn]):
    """Of each output's row, what the policy did to make it; in the order of the outputs."""

    def __init__(self, out_rows: Sequence[int], made: Turns, rows: int) -> None:
        self._rows = out_rows
        self._made = made
        self._places = ByRow(rows)
        for place, row in enumerate(out_rows):
            self._places.set(row, place)

    def __getitem__(self, row: int) -> Turn:
        return self._made[self._places[row]]

    def pairs(self) -> Iterator[tuple[int, Turn]]:
        """What `items` gives, without a search for each."""
        return zip(self._rows, self._made, strict=True)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)


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
