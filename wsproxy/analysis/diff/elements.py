"""The elements of a JSON array: which are equal, and which are alike.

Strategy: equal elements have equal *keys*. A leaf is its own key (booleans and NaN apart, which Python holds otherwise than JSON); an
object or array has a digest of its members' keys, built from the bottom up without recursion, because a stranger's JSON may be
nested deeper than Python's stack. Digests say nothing about the run or the process, so that orders made of them are stable.

Alike are elements that have most in common: few ones are paired so that the sum of their likeness is greatest, in order;
many ones by their shape, in order.

Cost: a key O(size), once for each value; pairing O(n * m) up to `FEW` pairs, else what `align` takes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any

from ..align import align, in_order

FEW = 4096  # pairs of elements that are weighed: some 10 ms

Key = Hashable


class Elements:
    """The keys of JSON values, remembered as long as they are compared (a key belongs to the identity of its value)."""

    def __init__(self) -> None:
        self._digests: dict[int, bytes] = {}

    def key(self, value: Any) -> Key:
        """What equal values share, and only they."""
        if isinstance(value, dict | list):
            return self._digest(value)
        if isinstance(value, bool):
            return (value,)
        if isinstance(value, float) and value != value:
            return (None,)
        return value  # type: ignore[no-any-return]

    def keys(self, values: Iterable[Any]) -> list[Key]:
        return [value if type(value) is str or type(value) is int else self.key(value) for value in values]

    def _digest(self, root: dict[str, Any] | list[Any]) -> bytes:
        digests = self._digests
        stack: list[dict[str, Any] | list[Any]] = [root]
        while stack:
            value = stack[-1]
            if id(value) in digests:
                stack.pop()
                continue
            members = value.values() if isinstance(value, dict) else value
            missing = [one for one in members if isinstance(one, dict | list) and id(one) not in digests]
            if missing:
                stack += missing
                continue
            stack.pop()
            digests[id(value)] = self._of_members(value)
        return digests[id(root)]

    def _of_members(self, value: dict[str, Any] | list[Any]) -> bytes:
        parts: list[bytes] = []
        if isinstance(value, dict):
            for name in sorted(value):
                parts += _text(name), self._written(value[name])
        else:
            parts += map(self._written, value)
        digest = blake2b(b"{" if isinstance(value, dict) else b"[", digest_size=16)
        digest.update(b"".join(b"%d:%b" % (len(part), part) for part in parts))
        return digest.digest()

    def _written(self, value: Any) -> bytes:
        match value:
            case str():
                return _text(value)
            case dict() | list():
                return b"#" + self._digests[id(value)]
            case bool() | None:
                return b"%a" % value
            case float() if not value.is_integer():
                return b"~%a" % value
            case int() | float():
                return b"=%x" % int(value)
            case _:
                return b"?%a" % value


def _text(value: str) -> bytes:
    return b'"' + value.encode("utf-8", "surrogatepass")


def could_change(a: Any, b: Any) -> bool:
    """Whether the one could have become the other: objects with nothing but other keys are two things."""
    return not isinstance(a, dict) or not isinstance(b, dict) or not a or not b or not a.keys().isdisjoint(b)


def pair_alike(a: Sequence[Any], b: Sequence[Any], elements: Elements) -> list[tuple[int, int]]:
    """Which element of `a` became which of `b`, none of them being equal: index pairs in order, the same from both sides."""
    if not a or not b:
        return []
    if len(a) * len(b) > FEW:
        return _by_shape(a, b)
    if in_order(elements.keys(a), elements.keys(b)):
        return _by_likeness([_Traits(one, elements) for one in a], [_Traits(one, elements) for one in b])
    mirrored = _by_likeness([_Traits(one, elements) for one in b], [_Traits(one, elements) for one in a])
    return [(i, j) for j, i in mirrored]


def _by_shape(a: Sequence[Any], b: Sequence[Any]) -> list[tuple[int, int]]:
    """Elements of the same shape, and between those whatever can be paired, one after the other."""
    pairs: list[tuple[int, int]] = []
    end = (len(a), len(b))
    for (i, j), (p, q) in pairwise([(-1, -1), *align(list(map(_shape, a)), list(map(_shape, b))).pairs, end]):
        for m, n in zip(range(i + 1, p), range(j + 1, q), strict=False):
            if could_change(a[m], b[n]):
                pairs.append((m, n))
        pairs.append((p, q))
    return pairs[:-1]


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + "\0".join(sorted(value))
    if isinstance(value, list):
        return "["
    return "number" if isinstance(value, float) else type(value).__name__


def _by_likeness(a: Sequence[_Traits], b: Sequence[_Traits]) -> list[tuple[int, int]]:
    """The pairs in order whose likeness has the greatest sum; of several such choices the one whose pairs come earliest."""
    weights = [[one.likeness(other) for other in b] for one in a]
    best = [[0] * (len(b) + 1)]
    for row in weights:
        above, here = best[-1], [0]
        for j, weight in enumerate(row):
            here.append(max(above[j + 1], here[j], above[j] + weight))
        best.append(here)
    pairs = []
    i, j = len(a), len(b)
    while i and j:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    pairs.reverse()
    return pairs


class _Traits:
    """What makes an element like another one."""

    def __init__(self, value: Any, elements: Elements) -> None:
        self.value = value
        self.parts: Counter[Any] = Counter()
        if isinstance(value, dict):
            self.parts.update((name, elements.key(member)) for name, member in value.items())
        elif isinstance(value, list):
            self.parts.update(elements.keys(value))

    def likeness(self, other: _Traits) -> int:
        """0 (nothing in common that could have changed) to 1000."""
        one, two = self.value, other.value
        if isinstance(one, dict) and isinstance(two, dict):
            if not could_change(one, two):
                return 0
            names, shared = len(one.keys() & two.keys()), (self.parts & other.parts).total()
            return 10 + (90 * names + 900 * shared) // max(len(one), len(two))
        if isinstance(one, list) and isinstance(two, list):
            return 10 + 900 * (self.parts & other.parts).total() // max(len(one), len(two))
        if isinstance(one, str) and isinstance(two, str):
            return 20 + 900 * _common_ends(one, two) // max(len(one), len(two))
        if (
            isinstance(one, bool) == isinstance(two, bool)
            and isinstance(one, int | float)
            and isinstance(two, int | float)
        ):
            return 20 if math.isfinite(one) == math.isfinite(two) else 10
        return 1


def _common_ends(one: str, two: str) -> int:
    """Characters that both have at their start and end; the first and last hundred say enough."""
    shorter = min(len(one), len(two), 100)
    head = next((n for n in range(shorter) if one[n] != two[n]), shorter)
    tail = next((n for n in range(shorter) if one[-1 - n] != two[-1 - n]), shorter)
    return min(head + tail, shorter)
