"""Of several places where something could have been inserted or dropped, the one that reads best.

Strategy: an alignment is a list of *runs* of pairs, with gaps between. Repeated keys let a gap slide: `x [x]` and `[x] x` say
the same. As in git, every gap ends up as far towards the end as it can, and gaps that meet become one.
First a run that could as well stand behind the gap after it goes there, if that makes one gap of two: a block that was inserted
is one block, even if a part of it looks like what it stands beside. Then every gap slides.

Where something was also replaced, only a plain repetition of one key slides, so that no change is torn in two.

Cost: O(n); sliding ends after 4 n steps, which only gaps of different periods in one long repetition come near to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Run(NamedTuple):
    """`length` pairs in a row: `(i, j), (i + 1, j + 1)` and so on."""

    i: int
    j: int
    length: int


_START = Run(0, 0, 0)


def runs_of(partner: Sequence[int]) -> list[Run]:
    """The runs of an alignment, given by the partner of each index or -1."""
    runs: list[Run] = []
    start = size = 0
    for i, j in enumerate(partner):
        if size and j == partner[i - 1] + 1:
            size += 1
            continue
        if size:
            runs.append(Run(start, partner[start], size))
        start, size = i, int(j >= 0)
    if size:
        runs.append(Run(start, partner[start], size))
    return runs


def slid(x: Sequence[int], y: Sequence[int], runs: Sequence[Run]) -> list[Run]:
    """The same number of pairs, each gap at its best place.

    Args:
        x: keys of the one side.
        y: keys of the other side.
        runs: an alignment, in order.
    """
    return _towards_end(x, y, _gathered(x, y, runs))


def _gap(before: Run, after: Run) -> tuple[int, int]:
    """How many keys stand between two runs, on each side."""
    return after.i - before.i - before.length, after.j - before.j - before.length


def _gathered(x: Sequence[int], y: Sequence[int], runs: Sequence[Run]) -> list[Run]:
    done: list[Run] = []
    for run in runs:
        while done:
            last = done[-1]
            left, right = _gap(last, run)
            earlier, later = _gap(done[-2] if len(done) > 1 else _START, last)
            one_side = (not left and not earlier and later) or (not right and not later and earlier)
            keys, at, old = (x, run.i, last.i) if left else (y, run.j, last.j)
            if not one_side or keys[at - last.length : at] != keys[old : old + last.length]:
                break
            done.pop()
            run = Run(run.i - last.length, run.j - last.length, run.length + last.length)
        done.append(run)
    return done


def _towards_end(x: Sequence[int], y: Sequence[int], runs: Sequence[Run]) -> list[Run]:
    limit = 4 * (len(x) + len(y))
    done: list[Run] = []  # last first
    for run in (*reversed(runs), _START):
        while done and limit > 0:
            after = done[-1]
            length = _free(x, y, run, after)
            limit -= length + 1
            if not length:
                break
            done.pop()
            if length < after.length:
                done.append(Run(after.i + length, after.j + length, after.length - length))
            left, right = _gap(run, after)
            moved = Run(after.i - max(0, left - right), after.j - max(0, right - left), length)
            if left and right:
                done.append(moved)
                break
            run = Run(run.i, run.j, run.length + length)
        if run.length:
            done.append(run)
    done.reverse()
    return done


def _free(x: Sequence[int], y: Sequence[int], before: Run, after: Run) -> int:
    """How many pairs at the start of `after` could as well stand in front of what one side has too many between the two runs."""
    left, right = _gap(before, after)
    keys, at = (y, after.j) if right > left else (x, after.i)
    width = abs(right - left)
    if not width or (left and right and len(set(keys[at - width : at])) > 1):
        return 0
    length = 0
    while length < after.length and keys[at - width + length] == keys[at + length]:
        length += 1
    return length
