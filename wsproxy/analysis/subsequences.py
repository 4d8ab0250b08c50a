"""The two classic puzzles of order: the longest common and the longest increasing subsequence.

Strategy: *common* by whole rows at a time. Python's long integers are the fastest vector unit that the standard library has: one bit per
column, a row is four operations (Hyyrö 2004, "Bit-parallel LCS-length computation revisited"). The rows are kept and walked
back for the pairs. 8,000 x 8,000 keys take 40 ms and 8 MiB, the table of the textbook some 10 s; Myers' greedy search is quick only where little
differs. *Increasing* by patience: piles and bisection.

Cost: common O(n * m / 30) in time, n * m / 8 bytes; increasing O(n log n).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from itertools import pairwise


def longest_common(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[tuple[int, int]]:
    """A longest common subsequence, the one whose pairs come earliest: index pairs in order.

    A bit per column: 0 where the common length grows by one there. A row is four operations on integers as long as the columns;
    `state + here` carries each growth to the next column that has the row's key.
    """
    if len(a) > len(b):
        return [(i, j) for j, i in longest_common(b, a)]
    rows, columns = a, b
    wanted = set(rows)
    masks: dict[Hashable, bytearray] = {}
    for at, key in enumerate(columns):
        if key in wanted:
            mask = masks.get(key)
            if mask is None:
                mask = masks[key] = bytearray(len(columns) + 7 >> 3)
            mask[at >> 3] |= 1 << (at & 7)
    places = {key: int.from_bytes(mask, "little") for key, mask in masks.items()}
    full = (1 << len(columns)) - 1
    state = full
    states = []
    for key in rows:
        here = state & places.get(key, 0)
        state = (state + here | state ^ here) & full
        states.append(state)
    pairs: list[tuple[int, int]] = []
    column = len(columns)
    for row in range(len(rows) - 1, -1, -1):
        column = (~states[row] & (1 << column) - 1).bit_length()  # nothing grows between there and here
        if not column:
            break
        if row and not states[row - 1] >> column - 1 & 1:
            continue  # it grew there without this row
        column -= 1
        pairs.append((row, column))
    pairs.reverse()
    return pairs


def steps(n: int, m: int) -> int:
    """What `longest_common` costs for that many keys, in steps of about 100 ns: a row takes ten, and one more for each 400 columns."""
    rows, columns = sorted((n, m))
    return rows * (10 + columns // 400) + 2 * columns


def increasing(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The most of `pairs`, which are in order of their first number, whose second numbers increase too. O(n log n)."""
    if all(one[1] < other[1] for one, other in pairwise(pairs)):
        return pairs
    ends: list[int] = []  # the least last number of an increasing run of each length
    last: list[int] = []  # its index in `pairs`
    previous: list[int] = []
    for n, (_, j) in enumerate(pairs):
        length = bisect_left(ends, j) if ends and ends[-1] >= j else len(ends)
        previous.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [j]
        last[length : length + 1] = [n]
    kept = []
    n = last[-1]
    while n >= 0:
        kept.append(pairs[n])
        n = previous[n]
    kept.reverse()
    return kept
