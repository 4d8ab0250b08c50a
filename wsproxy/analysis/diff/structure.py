"""What changed between two JSON values: the shortest list of places that a person would name.

Strategy: objects are compared key by key. Arrays are aligned: equal elements first, by a key of each element's content; what
is left between two of those is paired by likeness, in order, and compared in turn, so that one field of one element that changed is one
change. Leaves that differ are put to `equal`, which may hold them to be the same.

Equal is what JSON calls equal: 1 and 1.0, not 1 and true; NaN is itself; the order of keys says nothing.

The changes are in one canonical order (keys sorted; in an array what was removed, then added, then what stands behind), and
where an index of A is in B follows from what was removed and added beside it. So the list is the same from the other side, mirrored,
and `apply` and `mirrored` need nothing but the list.

Below `DEPTH` levels a part that differs is one change: a stranger's JSON may be nested deeper than Python's stack.

Cost: O(size) for values that are alike, plus what `align` spends on arrays that are not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from ..align import align
from .elements import Elements, could_change, pair_alike
from .paths import Path, PathPattern, path_text

__all__ = ["Change", "Path", "PathPattern", "apply", "compare", "mirrored", "path_text"]

DEPTH = 100  # levels that are looked into

Equal = Callable[[Path, Any, Any], bool]


class Change(NamedTuple):
    """One difference of two JSON values."""

    op: Literal["changed", "added", "removed"]
    path: Path  # indexes of arrays: A's for changed and removed, B's for added
    a: Any  # None for added
    b: Any  # None for removed


def _never(path: Path, a: Any, b: Any) -> bool:
    return False


def compare(a: Any, b: Any, *, equal: Equal = _never) -> list[Change]:
    """What makes `b` of `a`.

    Args:
        a: any JSON value, as `json.loads` gives it.
        b: the other one.
        equal: asked for two leaves (strings, numbers, booleans, null) that differ, with the path in A: are they held equal?

    Returns:
        The changes, in canonical order. None when the values are equal.
    """
    return list(_Comparison(equal).values((), (), a, b))


class _Comparison:
    def __init__(self, equal: Equal) -> None:
        self.equal = equal
        self.elements = Elements()

    def values(self, path: Path, other: Path, a: Any, b: Any) -> Iterator[Change]:
        """`path` is where this is in A, `other` where it is in B."""
        if a is b:
            return
        deep = len(path) >= DEPTH
        if isinstance(a, dict) and isinstance(b, dict) and not deep:
            yield from self._objects(path, other, a, b)
        elif isinstance(a, list) and isinstance(b, list) and not deep:
            yield from self._arrays(path, other, a, b)
        elif self.elements.key(a) != self.elements.key(b):
            leaves = not isinstance(a, dict | list) and not isinstance(b, dict | list)
            if not (leaves and self.equal(path, a, b)):
                yield Change("changed", path, a, b)

    def _objects(self, path: Path, other: Path, a: dict[str, Any], b: dict[str, Any]) -> Iterator[Change]:
        for key in sorted(a.keys() | b.keys()):
            if key not in b:
                yield Change("removed", (*path, key), a[key], None)
            elif key not in a:
                yield Change("added", (*other, key), None, b[key])
            else:
                yield from self.values((*path, key), (*other, key), a[key], b[key])

    def _arrays(self, path: Path, other: Path, a: list[Any], b: list[Any]) -> Iterator[Change]:
        if len(a) == len(b) == 1 and could_change(a[0], b[0]):
            yield from self.values(
                (*path, 0), (*other, 0), a[0], b[0]
            )  # as `choices` nearly always is: no need to align
            return
        one, two = self.elements.keys(a), self.elements.keys(b)
        i = j = 0
        for p, q in (*align(one, two).pairs, (len(a), len(b))):
            if p > i or q > j:
                yield from self._gap(path, other, a, b, range(i, p), range(j, q))
            i, j = p + 1, q + 1

    def _gap(self, path: Path, other: Path, a: list[Any], b: list[Any], left: range, right: range) -> Iterator[Change]:
        """What stands between two equal elements: some of it is the same, changed."""
        alike = pair_alike(a[left.start : left.stop], b[right.start : right.stop], self.elements)
        i, j = left.start, right.start
        for p, q in (*alike, (len(left), len(right))):
            p, q = left.start + p, right.start + q
            yield from (Change("removed", (*path, n), a[n], None) for n in range(i, p))
            yield from (Change("added", (*other, n), None, b[n]) for n in range(j, q))
            if p < left.stop and q < right.stop:
                yield from self.values((*path, p), (*other, q), a[p], b[q])
            i, j = p + 1, q + 1


class _Here(NamedTuple):
    """Changes of one object or array, by the member that they are in."""

    removed: dict[str | int, Change]
    added: dict[str | int, Change]
    inside: dict[str | int, list[Change]]  # by A's key or index

    @classmethod
    def of(cls, changes: Iterable[Change], depth: int) -> _Here:
        here = cls({}, {}, {})
        deeper: dict[str | int, list[Change]] = {}  # by B's index
        for change in changes:
            step = change.path[depth]
            last = len(change.path) == depth + 1
            if last and change.op == "removed":
                here.removed[step] = change
            elif last and change.op == "added":
                here.added[step] = change
            elif change.op == "added":
                deeper.setdefault(step, []).append(change)
            else:
                here.inside.setdefault(step, []).append(change)
        if deeper:
            back = _Places(here.added, here.removed)
            for step, found in deeper.items():
                here.inside.setdefault(back.across(step), []).extend(found)
        return here


class _Places:
    """Which index of the one side is which of the other, from what only one of them has."""

    def __init__(self, mine: Iterable[str | int], theirs: Iterable[str | int]) -> None:
        self._mine = sorted(step for step in mine if isinstance(step, int))
        # The k-th of them is skipped by every index that has at least this many others before it.
        skipped = sorted(step for step in theirs if isinstance(step, int))
        self._theirs = [step - k for k, step in enumerate(skipped)]

    def rank(self, index: int) -> int:
        """How many elements that both have stand before."""
        return index - bisect_right(self._mine, index - 1)

    def across(self, step: str | int) -> str | int:
        """The same member on the other side."""
        if isinstance(step, str):
            return step
        rank = self.rank(step)
        return rank + bisect_right(self._theirs, rank)


def apply(value: Any, changes: Iterable[Change]) -> Any:
    """Make B of A.

    Args:
        value: A. It is not changed; what did not change is shared with the result.
        changes: what `compare(A, B)` gave.

    Returns:
        B, up to the leaves that were held equal.
    """
    return _applied(value, list(changes), 0)


def _applied(value: Any, changes: Sequence[Change], depth: int) -> Any:
    if not changes:
        return value
    if len(changes) == 1 and len(changes[0].path) == depth:
        return changes[0].b
    here = _Here.of(changes, depth)
    if isinstance(value, dict):
        made = {
            key: _applied(member, here.inside.get(key, ()), depth + 1)
            for key, member in value.items()
            if key not in here.removed
        }
        return made | {key: change.b for key, change in here.added.items()}
    kept = iter(
        [_applied(member, here.inside.get(n, ()), depth + 1) for n, member in enumerate(value) if n not in here.removed]
    )
    length = len(value) - len(here.removed) + len(here.added)
    return [here.added[n].b if n in here.added else next(kept) for n in range(length)]


def mirrored(changes: Iterable[Change]) -> list[Change]:
    """What `compare(B, A)` gives, from what `compare(A, B)` gave."""
    return list(_mirrored(list(changes), 0, ()))


def _mirrored(changes: Sequence[Change], depth: int, other: Path) -> Iterator[Change]:
    """`other` is where this is in B."""
    if not changes:
        return
    if len(changes) == 1 and len(changes[0].path) == depth:
        yield Change("changed", other, changes[0].b, changes[0].a)
        return
    here = _Here.of(changes, depth)
    mine, theirs = _Places(here.removed, here.added), _Places(here.added, here.removed)
    members: list[tuple[int | str, int, int, str | int]] = []
    for step in here.added:
        members.append(
            (theirs.rank(step) if isinstance(step, int) else step, 0, step if isinstance(step, int) else 0, step)
        )
    for step in here.removed:
        members.append(
            (mine.rank(step) if isinstance(step, int) else step, 1, step if isinstance(step, int) else 0, step)
        )
    for step in here.inside:
        members.append((mine.rank(step) if isinstance(step, int) else step, 2, 0, step))
    for _, turn, _, step in sorted(members):
        if turn == 0:
            yield Change("removed", here.added[step].path, here.added[step].b, None)
        elif turn == 1:
            yield Change("added", here.removed[step].path, None, here.removed[step].a)
        else:
            yield from _mirrored(here.inside[step], depth + 1, (*other, mine.across(step)))
