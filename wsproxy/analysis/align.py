"""Which item of one long sequence is which item of another: the longest common order of their keys, or nearly.

Strategy: what cannot pair is taken away first, then the rest is cut into blocks small enough to be solved exactly.
1. Keys become small integers. What both have at the start and at the end is paired; keys that only one side has are dropped.
   This alone settles equal sequences, single edits, and sequences that have nothing in common.
2. A block of up to 2**26 cells (8,000 x 8,000 keys) is solved exactly, in 40 ms at most, see `subsequences`.
3. A larger one is cut at *anchors*, as patience diff does: keys that are unique on both sides, thinned to the most that
   are in the same order. Where single keys repeat (tokens, a small alphabet), runs of 4, 16 and 64 keys stand for them.
4. Where there are no anchors, a window is solved exactly and moves along the path that it found. That answer is *coarse*:
   such sequences may have more in common than was found. The budget decides how wide the windows are.
5. Of equally good places for what was inserted or dropped the last one is taken, see `sliding`.

Both orders of the arguments are brought into one order first, so that the answer from the other side is the mirrored one.

Cost: O(n log n) for sequences that are alike, however long; the budget for those that are not. Memory: O(n) and 16 MiB.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from .sliding import runs_of, slid
from .subsequences import increasing, longest_common, steps

DEFAULT_BUDGET = 12_000_000  # steps of 100 ns
EXACT_CELLS = 1 << 26  # a block that is solved exactly: its rows are stored, 8 MiB
# 4 tokens of a language, 16 letters of an alphabet of four and 64 of two are hardly ever the same by chance.
RUNS = (1, 4, 16, 64)
ANCHORING = 10  # steps per key to look for anchors
WIDEST = 8192  # keys of a window: as many as a block has that is solved exactly
NARROWEST = 64  # when the budget is nearly spent


class Alignment(NamedTuple):
    """Which index of `a` is which index of `b`."""

    pairs: list[tuple[int, int]]  # indexes of equal keys, strictly increasing in both
    coarse: bool  # no anchors, or no budget: some of what is not paired may have had a partner


def align(a: Sequence[Hashable], b: Sequence[Hashable], *, budget: int = DEFAULT_BUDGET) -> Alignment:
    """Pair the equal keys of two sequences, in order, as many as there are (or nearly, see the module).

    Args:
        a: keys of the one side; what is equal and hashes equally is the same key.
        b: keys of the other side. `align(b, a)` gives the same pairs, mirrored.
        budget: inner steps that may be spent beyond the first, linear pass.

    Returns:
        The pairs, and whether they are the coarser answer.
    """
    forward = in_order(a, b)
    numbers: dict[Hashable, int] = {}
    x = [numbers.setdefault(key, len(numbers)) for key in (a if forward else b)]
    y = [numbers.setdefault(key, len(numbers)) for key in (b if forward else a)]
    del numbers
    search = _Search(x, y, budget)
    search.run()
    pairs: list[tuple[int, int]] = []
    for i, j, length in slid(x, y, runs_of(search.partner)):
        pairs += zip(range(i, i + length), range(j, j + length), strict=True)
    if not forward:
        pairs = [(j, i) for i, j in pairs]
    return Alignment(pairs, search.coarse)


def in_order(a: Sequence[Hashable], b: Sequence[Hashable]) -> bool:
    """Whether `a` comes before `b` in an order of sequences that is good for one thing: a decision that is the same from both sides.

    The shorter one is first, else the one with the lesser key where they first differ: by `<` where that says anything, else by
    type and text. For sequences that are the same it makes no difference.
    """
    if len(a) != len(b):
        return len(a) < len(b)
    for one, other in zip(a, b, strict=True):
        if one is other or one == other:
            continue
        try:
            less, more = bool(one < other), bool(other < one)  # type: ignore[operator]
        except TypeError:
            less = more = False
        if less != more:
            return less
        left, right = (type(one).__qualname__, repr(one)), (type(other).__qualname__, repr(other))
        if left != right:
            return left < right
        return (hash(one), id(one)) < (hash(other), id(other))
    return True


class _Block(NamedTuple):
    """A part that is still to pair: where its keys stand in the whole, on both sides."""

    left: Sequence[int]
    right: Sequence[int]


class _Search:
    """One call of `align`: what is paired so far, and what may still be spent."""

    def __init__(self, x: list[int], y: list[int], budget: int) -> None:
        self.x, self.y = x, y
        self.partner = [-1] * len(x)
        self.budget = budget + ANCHORING * (len(x) + len(y))  # the first pass is free
        self.coarse = False

    def run(self) -> None:
        stack = [_Block(range(len(self.x)), range(len(self.y)))]
        while stack:
            block = self._trimmed(stack.pop())
            if not block.left or not block.right:
                continue
            cost = steps(len(block.left), len(block.right))
            if len(block.left) * len(block.right) <= EXACT_CELLS and cost <= self.budget:
                self.budget -= cost
                self._pair(block, longest_common(*self._keys(block)))
                continue
            self.budget -= ANCHORING * (len(block.left) + len(block.right))
            anchors = _anchors(*self._keys(block)) if self.budget > 0 else []
            if anchors:
                self._pair(block, anchors)
                stack += _between(block, anchors)
            else:
                self._along(block)

    def _keys(self, block: _Block) -> tuple[list[int], list[int]]:
        x, y = self.x, self.y
        return [x[i] for i in block.left], [y[j] for j in block.right]

    def _pair(self, block: _Block, pairs: list[tuple[int, int]]) -> None:
        left, right = block
        for i, j in pairs:
            self.partner[left[i]] = right[j]

    def _trimmed(self, block: _Block) -> _Block:
        """Pair what both have at the start and at the end, drop what only one has, and once more."""
        left, right = self._ends(*block)
        if not left or not right:
            return _Block(left, right)
        x, y = self.x, self.y
        known = {x[i] for i in left}
        known &= {y[j] for j in right}
        kept = [i for i in left if x[i] in known], [j for j in right if y[j] in known]
        return _Block(*self._ends(*kept))

    def _ends(self, left: Sequence[int], right: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
        x, y, partner = self.x, self.y, self.partner
        head = 0
        for i, j in zip(left, right, strict=False):
            if x[i] != y[j]:
                break
            partner[i] = j
            head += 1
        left, right = left[head:], right[head:]
        tail = 0
        for i, j in zip(reversed(left), reversed(right), strict=False):
            if x[i] != y[j]:
                break
            partner[i] = j
            tail += 1
        return left[: len(left) - tail], right[: len(right) - tail]

    def _along(self, block: _Block) -> None:
        """Solve a window, keep the first three quarters of its path, go on from there."""
        self.coarse = True
        left, right = block
        longer = max(len(left), len(right))
        width = WIDEST
        while width > NARROWEST and 2 * (longer // width + 1) * steps(width, width) > self.budget:
            width //= 2
        rows, columns = max(NARROWEST, width * len(left) // longer), max(NARROWEST, width * len(right) // longer)
        i = j = 0
        while i < len(left) and j < len(right) and self.budget > 0:
            if self.x[left[i]] == self.y[right[j]]:
                self.partner[left[i]] = right[j]
                i, j = i + 1, j + 1
                continue
            window = _Block(left[i : i + rows], right[j : j + columns])
            self.budget -= steps(len(window.left), len(window.right))
            pairs = longest_common(*self._keys(window))
            if i + rows >= len(left) and j + columns >= len(right):
                self._pair(window, pairs)
                return
            kept = bisect_left(pairs, rows * columns * 3 // 2, key=lambda pair: pair[0] * columns + pair[1] * rows)
            self._pair(window, pairs[:kept])
            if kept < len(pairs):
                p, q = pairs[kept]
            else:
                p, q = (pairs[-1][0] + 1, pairs[-1][1] + 1) if pairs else (0, 0)
                p, q = max(p, rows // 2), max(q, columns // 2)
            i, j = i + p, j + q


def _anchors(x: list[int], y: list[int]) -> list[tuple[int, int]]:
    """Pairs that cut a block into small ones; none where there are too few that can be trusted."""
    enough = min(len(x), len(y)) // 256 + 1
    for before, run in pairwise((0, *RUNS)):
        if before:
            x, y = _runs(x, y, run // before, before)
        once = {key for key, count in Counter(x).items() if count == 1}
        once &= {key for key, count in Counter(y).items() if count == 1}
        if len(once) < enough:
            continue
        where = {key: j for j, key in enumerate(y) if key in once}
        pairs = increasing([(i, where[key]) for i, key in enumerate(x) if key in once])
        if run == 1 and len(once) == len(x) == len(y):
            return pairs  # one is the other in another order: that is the best answer
        # By chance about 2 * sqrt(n) of n are in order. Where most keys are unique there is nothing better than those.
        if len(pairs) >= enough and (
            len(pairs) * 8 >= len(once) or (run == 1 and len(once) * 2 >= min(len(x), len(y)))
        ):
            return pairs
    return []


def _runs(x: list[int], y: list[int], times: int, step: int) -> tuple[list[int], list[int]]:
    """A number for each run of `times` keys that stand `step` apart: equal runs, equal numbers."""
    numbers: dict[tuple[int, ...], int] = {}
    found = []
    for keys in (x, y):
        parts = [keys[step * n :] for n in range(times)]
        found.append([numbers.setdefault(run, len(numbers)) for run in zip(*parts, strict=False)])
    return found[0], found[1]


def _between(block: _Block, anchors: list[tuple[int, int]]) -> Iterator[_Block]:
    left, right = block
    i = j = 0
    for p, q in (*anchors, (len(left), len(right))):
        if p > i and q > j:
            yield _Block(left[i:p], right[j:q])
        i, j = p + 1, q + 1
