"""Whether volatile values of A and B are the same things under other names.

Strategy: every pair of corresponding values votes. An id of A is the id of B that it meets most often, and no two share one; what votes
otherwise is inconsistent, and a difference. Times may all be others, but must keep their order, within a slack: the longest run of
pairs that does so is held equal, what falls out of it is inconsistent. Each direction has a clock of its own for that: of a replay, one side says
what time it is and the other what time it was. How long something took is never compared here: the wire's own times are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any

from ...wire.events import C2S, S2C, Dir
from ..subsequences import increasing
from .volatile import Volatile

_SLACK = 2.0  # seconds by which times may change places: what two clocks' ticks and two runs' paces make of them


class Renaming:
    """Collects pairs of volatile values, then says which of them are consistent. `meet` first, for all; then ask."""

    def __init__(self) -> None:
        self._ids: Counter[tuple[Hashable, Hashable]] = Counter()
        self._times: dict[Dir, dict[tuple[float, float], None]] = {C2S: {}, S2C: {}}
        self._consistent: set[tuple[str, Any, Any]] | None = None

    def meet(self, dir: Dir, a: Volatile, b: Volatile, times: int = 1) -> None:
        """These two stand at corresponding places of what was said in this direction."""
        self._consistent = None
        if a.kind != b.kind:
            return
        if a.kind in ("id", "secret"):
            self._ids[_typed(a), _typed(b)] += times
        elif a.kind == "time":
            self._times[dir][a.value, b.value] = None

    def holds(self, dir: Dir, a: Volatile, b: Volatile) -> bool:
        """Whether two values that have met are the same thing, by all that has met."""
        if a.kind != b.kind:
            return False
        if a.kind == "span":
            return True
        if self._consistent is None:
            self._consistent = {("id", *pair) for pair in _matching(self._ids)}
            for clock, pairs in self._times.items():
                self._consistent |= {(clock, *pair) for pair in _in_order(list(pairs))}
        if a.kind in ("id", "secret"):
            return ("id", _typed(a), _typed(b)) in self._consistent
        return (dir, a.value, b.value) in self._consistent

    @property
    def renamed(self) -> list[tuple[Any, Any]]:
        """The ids that have another name in B, the most frequent first; no secrets."""
        pairs = [(a, b) for a, b in _matching(self._ids) if a != b and a[0] == "id"]
        pairs.sort(key=lambda pair: (-self._ids[pair], repr(pair)))
        return [(a[2], b[2]) for a, b in pairs]


def _typed(volatile: Volatile) -> tuple[str, bool, Any]:
    """1 and "1" are two names."""
    return volatile.kind, isinstance(volatile.value, str), volatile.value


def _matching(votes: Counter[tuple[Any, Any]]) -> set[tuple[Any, Any]]:
    """Pairs such that each side is in one at most, the most frequent first. Ties do not depend on which side is A."""
    taken_a: set[Any] = set()
    taken_b: set[Any] = set()
    found: set[tuple[Any, Any]] = set()
    for (a, b), _ in sorted(votes.items(), key=lambda item: (-item[1], item[0][0] != item[0][1])):
        if a not in taken_a and b not in taken_b:
            taken_a.add(a)
            taken_b.add(b)
            found.add((a, b))
    return found


def _in_order(pairs: list[tuple[float, float]]) -> set[tuple[float, float]]:
    """The pairs that keep the order of times: the longest run that rises on both sides, within the slack; equal values always do."""
    pairs.sort()
    by_b = sorted(range(len(pairs)), key=lambda index: (pairs[index][1], index))
    ranks = {index: rank for rank, index in enumerate(by_b)}
    kept = [index for index, _ in increasing([(index, ranks[index]) for index in range(len(pairs))])]
    return {pairs[index] for index in kept} | {pair for pair in pairs if pair[0] == pair[1]} | _near(pairs, kept)


def _near(pairs: list[tuple[float, float]], kept: list[int]) -> set[tuple[float, float]]:
    """The pairs that fall out of the run by no more than the slack: their b lies between those of their neighbours in the run, or near."""
    found = set()
    position = 0
    for index, (a, b) in enumerate(pairs):
        while position < len(kept) and kept[position] < index:
            position += 1
        below = pairs[kept[position - 1]][1] if position else float("-inf")
        above = pairs[kept[position]][1] if position < len(kept) else float("inf")
        if below - _SLACK <= b <= above + _SLACK:
            found.add((a, b))
    return found
