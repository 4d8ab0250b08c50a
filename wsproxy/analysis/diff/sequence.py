"""The rows of a diff in the order in which they are read, with what their times tell.

Strategy: rows that A has stand in A's order; what only B has stands behind what it followed in B. Times are compared relative to the first pair: a
row's *shift* is how much later B was there, its *gap* how much longer B waited there than A. Two directions run at their own pace, so that an entry
before or after one of the other direction is a difference only where time beyond the tolerance stands behind it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from ..subsequences import increasing
from .model import Entry, Row


def in_order(rows: Sequence[Row], b: Sequence[Entry]) -> list[Row]:
    """Rows in reading order.

    Args:
        b: B's entries in the order of time.
    """
    placed = sorted((row for row in rows if row.a), key=lambda row: (row.a[0].t, row.a[0].number))
    place = array("q", [-1]) * (max((entry.number for entry in b), default=0) + 1)
    for k, row in enumerate(placed):
        if row.op != "moved":
            for entry in row.b:
                place[entry.number] = k
    added = {row.b[0].number: row for row in rows if not row.a}
    behind: dict[int, list[Row]] = {}
    at = -1
    for entry in b:
        if entry.number in added:
            behind.setdefault(at, []).append(added[entry.number])
        else:
            at = max(at, place[entry.number])
    out: list[Row] = []
    waiting = list(behind.get(-1, []))
    for k, row in enumerate(placed):
        if row.b:  # what only A has stands first, as in any diff
            out += waiting
            waiting.clear()
        out.append(row)
        waiting += behind.get(k, [])
    return out + waiting


def set_times(rows: Sequence[Row], tolerance: int, *, turned: bool) -> None:
    """Fill in `shift`, `gap` and `reordered`.

    Args:
        rows: in reading order.
        tolerance: nanoseconds.
        turned: decide ties between two orders as if A were B: what diff(A, B) and diff(B, A) decide alike.
    """
    pairs = [row for row in rows if row.a and row.b and row.op != "moved"]
    if not pairs:
        return
    zero = pairs[0].b[0].t - pairs[0].a[0].t
    for row in rows:
        if row.a and row.b:
            row.shift = row.b[0].t - row.a[0].t - zero
    marked: Row | None = None
    for before, row in pairwise(pairs):
        assert row.shift is not None and before.shift is not None
        late = row.shift - before.shift
        if abs(late) <= tolerance:
            continue
        if marked is before and before.gap is not None and abs(before.gap + late) <= tolerance:
            continue  # it alone was late: the next one is where it would have been
        row.gap, marked = late, row
    _set_reordered(pairs, tolerance, turned=turned)


def _set_reordered(pairs: Sequence[Row], tolerance: int, *, turned: bool) -> None:
    """Mark the fewest pairs that stand in another order in B, if more than the tolerance made them."""

    def of_a(row: Row) -> tuple[int, int]:
        return row.a[0].t, row.a[0].number

    def of_b(row: Row) -> tuple[int, int]:
        return row.b[0].t, row.b[0].number

    there, here = (of_b, of_a) if turned else (of_a, of_b)
    rows = sorted(pairs, key=there)
    if all(here(before) < here(row) for before, row in pairwise(rows)):
        return
    places = {row.entry.number: place for place, row in enumerate(sorted(pairs, key=here))}
    ranks = [places[row.entry.number] for row in rows]
    steady = increasing(list(enumerate(ranks)))
    kept = [index for index, _ in steady]
    kept_ranks = [rank for _, rank in steady]
    position = 0
    for index, row in enumerate(rows):
        if position < len(kept) and kept[position] == index:
            position += 1
            continue
        place = bisect_right(kept_ranks, ranks[index])
        furthest = rows[kept[place if place < position else place - 1]]  # of those that it stands on the other side of
        assert row.shift is not None and furthest.shift is not None
        row.reordered = abs(row.shift - furthest.shift) > tolerance
