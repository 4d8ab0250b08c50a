"""Which chunk of one stage is which chunk of the next.

Strategy: by essence, in order. What both have at the start and at the end is trimmed first, which settles every healthy stream and every
single fault in linear time. In the middle each chunk takes its next equal; what is left over is matched out of order;
what still has no equal, but stands in the same gap as equally many others, was changed on the way. Nothing matches twice, so a
second copy stays unmatched.

Through a policy causality comes in: an output stands for what the policy had consumed before it and not answered yet.

Cost: O(n log n); a chunk that repeats a thousand times costs no more than others.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import lt
from typing import NamedTuple, overload

from ..subsequences import increasing
from .chunks import CONTENT
from .sightings import Sightings

PASS, REWRITE, MERGE, INVENT, REPEAT = "pass", "rewrite", "merge", "invent", "repeat"


def align(before: Sequence[int], after: Sequence[int], *, changed: bool = True) -> array[int]:
    """For each essence of `after` the position in `before` that it continues, or -1. An essence of 0 fits anywhere in order.

    Args:
        changed: match also what has no equal but stands where equally many others are missing.
    """
    matched = array("i", [-1]) * len(after)
    shorter = min(len(before), len(after))
    head = 0
    while head < shorter and _fits(before[head], after[head]):
        matched[head] = head
        head += 1
    tail = 0
    while tail < shorter - head and _fits(before[-1 - tail], after[-1 - tail]):
        tail += 1
        matched[-tail] = len(before) - tail
    left, right = range(head, len(before) - tail), range(head, len(after) - tail)
    if left and right:
        free, known = _middle(before, after, left, right, matched)
        if changed:
            _pair_gaps(after, left, right, matched, free, known)
    return matched


def _fits(one: int, other: int) -> bool:
    return one == other or not one or not other


def _middle(
    before: Sequence[int], after: Sequence[int], left: range, right: range, matched: array[int]
) -> tuple[list[int], set[int]]:
    """Match by content; gives the positions that are left over on the left, and the contents that stand there."""
    places: dict[int, list[int]] = {}
    for i in left:
        places.setdefault(before[i], []).append(i)
    free = set(left)
    at = left.start
    for j in right:
        here = places.get(after[j], ()) if after[j] else ()
        found = bisect_left(here, at)
        if found < len(here):
            matched[j] = here[found]
            free.discard(here[found])
            at = here[found] + 1
    spare = {essence: iter([i for i in here if i in free]) for essence, here in places.items()}
    for j in right:
        if matched[j] < 0 and after[j] in spare and after[j]:
            found = next(spare[after[j]], -1)
            matched[j] = found
            free.discard(found)
    return sorted(free), set(places)


def _pair_gaps(
    after: Sequence[int], left: range, right: range, matched: array[int], free: list[int], known: set[int]
) -> None:
    """Changed chunks: equally many without an equal on both sides of a gap are the same ones, in order. A copy is none of them."""
    j = right.start
    while j < right.stop:
        if matched[j] >= 0:
            j += 1
            continue
        end = j
        while end < right.stop and matched[end] < 0:
            end += 1
        low = matched[j - 1] + 1 if j > right.start else left.start
        high = matched[end] if end < right.stop else left.stop
        gap = free[bisect_left(free, low) : bisect_left(free, high)] if low <= high else []
        changed = [k for k in range(j, end) if after[k] not in known]
        if len(gap) == len(changed):
            for i, k in zip(gap, changed, strict=True):
                matched[k] = i
        j = end


def out_of_order(matched: Sequence[int]) -> list[int]:
    """The fewest positions that must have moved: what is outside a longest increasing run of the matched ones."""
    if all(map(lt, matched, islice(matched, 1, None))) or not any(i >= 0 for i in matched):
        return []
    known = [(j, i) for j, i in enumerate(matched) if i >= 0]
    kept = {j for j, _ in increasing(known)}
    return [j for j, _ in known if j not in kept]


class Turn(NamedTuple):
    """What a policy did to make one output: the inputs it stands for, by position, and how it came of them."""

    kind: str
    inputs: tuple[int, ...]


class Turns(Sequence[Turn]):
    """A turn for each output; of most the input that passed is all that is kept."""

    def __init__(self, matched: array[int]) -> None:
        self._passed = matched
        self._others: dict[int, Turn] = {}

    def __len__(self) -> int:
        return len(self._passed)

    @overload
    def __getitem__(self, out: int) -> Turn: ...
    @overload
    def __getitem__(self, out: slice) -> list[Turn]: ...
    def __getitem__(self, out: int | slice) -> Turn | list[Turn]:
        if isinstance(out, slice):
            return [self[one] for one in range(*out.indices(len(self)))]
        i = self._passed[out]
        return Turn(PASS, (i,)) if i >= 0 else self._others.get(out, _INVENTED)

    def __setitem__(self, out: int, turn: Turn) -> None:
        """For an output that did not pass."""
        self._others[out] = turn

    def __iter__(self) -> Iterator[Turn]:
        for out, i in enumerate(self._passed):
            yield Turn(PASS, (i,)) if i >= 0 else self._others.get(out, _INVENTED)


_INVENTED = Turn(INVENT, ())


def turns(ins: Sightings, outs: Sightings) -> Turns:
    """A turn for each output, in order. Inputs that stand in none were dropped, or are owed."""
    matched = align(ins.essence, outs.essence, changed=False)
    for j, i in enumerate(matched):
        if i >= 0 and ins.t[i] - ins.error_ns[i] > outs.t[j] + outs.error_ns[j]:
            matched[j] = -1  # it was out before it was in: something else of the same content
    passed = bytearray(len(ins))
    for i in matched:
        if i >= 0:
            passed[i] = 1
    result = Turns(matched)
    if all(i >= 0 for i in matched):
        return result
    known = {ins.essence[i] for i in matched if i >= 0}
    waiting = [i for i in range(len(ins)) if not passed[i]]
    floor = -1
    j = 0
    while j < len(outs):
        if matched[j] >= 0:
            floor = max(floor, matched[j])
            j += 1
            continue
        end = j
        while end < len(outs) and matched[end] < 0:
            end += 1
        ceiling = matched[end] if end < len(outs) else len(ins)
        for k in range(j, end):
            if outs.essence[k] and outs.essence[k] in known and outs.flags[k] & CONTENT:
                result[k] = Turn(REPEAT, ())
        made = [k for k in range(j, end) if result[k].kind == INVENT]
        between = waiting[bisect_left(waiting, floor + 1) : bisect_left(waiting, ceiling)] if floor < ceiling else []
        _attribute(ins, outs, made, between, result)
        j = end
    return result


def _attribute(ins: Sightings, outs: Sightings, made: list[int], between: list[int], result: Turns) -> None:
    """Give the inputs between two passed chunks to the outputs that were made there."""
    if len(made) == len(between) and all(_before(ins, i, outs, k) for i, k in zip(between, made, strict=True)):
        for i, k in zip(between, made, strict=True):
            result[k] = Turn(REWRITE, (i,))
        return
    at = 0
    for k in made:
        first = at
        while at < len(between) and _before(ins, between[at], outs, k):
            at += 1
        taken = tuple(between[first:at])
        result[k] = Turn(INVENT if not taken else REWRITE if len(taken) == 1 else MERGE, taken)


def _before(ins: Sightings, i: int, outs: Sightings, k: int) -> bool:
    return ins.t[i] - ins.error_ns[i] <= outs.t[k] + outs.error_ns[k]
