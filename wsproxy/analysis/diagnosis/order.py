"""Chunks that came twice, or in another order.

Strategy: each chain says which rows moved and which are copies; the policy's turns say the same of the policy. A copy that only a hook saw
in passing is none: two hooks may stand at one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ..journey.attempt import WIRE_DOWN, WIRE_UP
from ..journey.chain import Chain
from ..journey.chunks import CONTENT
from ..journey.course import Course
from ..journey.matching import PASS, REPEAT
from .findings import Finding, chunks, finding, instant

_SHOWN = 3


def order(course: Course) -> Iterator[Finding]:
    """What came twice or overtook others, on the way up, through the policy, and on the way down."""
    yield from _moved(course.up, "up")
    yield from _copies(course.up)
    yield from _policy(course)
    yield from _moved(course.down, "down")
    yield from _copies(course.down)


def _moved(chain: Chain, way: str) -> Iterator[Finding]:
    for column, rows in chain.moved.items():
        stage = chain.stages[column]
        numbers = tuple(s.number for row in rows[:_SHOWN] if (s := chain.cell(row, column)))
        which = ", ".join(f"#{row}" for row in rows[:_SHOWN])
        sentence = f"{chunks(len(rows))} on the way {way} came in another order at {stage} ({which})"
        yield finding("reordered", sentence, stage=stage, chunk=rows[0] if way == "up" else None, evidence=numbers)


def _copies(chain: Chain) -> Iterator[Finding]:
    copies = [row for row in chain.copies if _is_one(chain, row)]
    if copies:
        first, of = chain.first(copies[0]), chain.copies[copies[0]]
        stage = chain.stages[chain.extra[copies[0]]]
        sentence = (
            f"{chunks(len(copies))} came twice at {stage}: event {first.number} ({instant(first.t)}) repeats "
            f"#{of} of the stage before"
        )
        yield finding("duplicated", sentence, stage=stage, chunk=of, evidence=(chain.first(of).number, first.number))


def _is_one(chain: Chain, row: int) -> bool:
    column, last = chain.extra[row], chain.last_column(row)
    real = chain.stages[column] in (WIRE_UP, WIRE_DOWN) or last > column or last == len(chain.stages) - 1
    return real and bool(chain.first(row).flags & CONTENT)


def _policy(course: Course) -> Iterator[Finding]:
    passed = ((row, turn.inputs[0]) for row, turn in course.turn_of.pairs() if turn.kind == PASS)
    moved = [later for earlier, later in pairwise(passed) if later[1] < earlier[1]]
    if moved:
        chunk = course.in_rows[moved[0][1]]
        out = course.down.first(moved[0][0])
        sentence = (
            f"the policy put chunks out in another order: #{chunk} came out at {instant(out.t)}, after later ones"
        )
        numbers = (course.consumed(chunk).number, *(course.down.first(row).number for row, _ in moved[:_SHOWN]))
        yield finding("reordered", sentence, stage="policy.chunk_out", chunk=chunk, evidence=numbers)
    repeats = [row for row, turn in course.turn_of.pairs() if turn.kind == REPEAT]
    if repeats:
        out = course.down.first(repeats[0])
        of = next(row for row in course.in_rows if course.consumed(row).essence == out.essence)
        sentence = (
            f"the policy put {chunks(len(repeats))} out twice: event {out.number} ({instant(out.t)}) repeats "
            f"chunk #{of}"
        )
        yield finding(
            "duplicated",
            sentence,
            stage="policy.chunk_out",
            chunk=of,
            evidence=(course.consumed(of).number, out.number),
        )
