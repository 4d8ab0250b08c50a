"""Where a chunk was seen when; and all sightings at one stage, in columns.

Strategy: a long stream is seen a million times. In columns a sighting takes 41 bytes, as an object of its own 230; so they are kept in
columns, and made into objects one at a time, for whoever looks at one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import eq, lt
from typing import NamedTuple, overload


class Point(NamedTuple):
    """When, in nanoseconds since the recording's start, and in which event of the recording."""

    t: int
    number: int


class Sighting(NamedTuple):
    """A chunk at a stage. `essence` and `flags` are of its identity; `error_ns` bounds the error of `t`."""

    t: int
    number: int
    essence: int
    flags: int
    index: int | None = None  # type: ignore[assignment]  # shadows tuple.index, which nobody needs here
    error_ns: int = 0

    @property
    def point(self) -> Point:
        return Point(self.t, self.number)


_MOST = 2**63 - 1  # of what a column holds; a stranger may have written more
_NO_INDEX = -(2**63)


class Sightings(Sequence[Sighting]):
    """Sightings at one stage. The columns are there to be read; `index` holds a number also where there is no index.

    Attributes:
        t, number, essence, flags, error_ns: of each sighting, as in `Sighting`.
    """

    __slots__ = ("_index", "error_ns", "essence", "flags", "number", "t")

    def __init__(self, sightings: Iterable[Sighting] = ()) -> None:
        self.t, self.number, self.essence = array("q"), array("q"), array("q")
        self.flags = array("B")
        self._index, self.error_ns = array("q"), array("q")
        for sighting in sightings:
            self.add(*sighting)

    def add(self, t: int, number: int, essence: int, flags: int, index: int | None = None, error_ns: int = 0) -> None:
        """Add a sighting. Times and indices that fit into no 64 bits become the largest that do."""
        if index is None:
            index = _NO_INDEX
        elif not -_MOST <= index <= _MOST:
            index = _fitting(index)
        if not (-_MOST <= t <= _MOST and -_MOST <= error_ns <= _MOST):
            t, error_ns = _fitting(t), _fitting(error_ns)
        self.t.append(t)
        self.number.append(number)
        self.essence.append(essence)
        self.flags.append(flags)
        self._index.append(index)
        self.error_ns.append(error_ns)

    def extend(self, others: Sightings) -> None:
        """Add all of these."""
        for mine, theirs in zip(self._columns(), others._columns(), strict=True):
            mine.extend(theirs)

    def take(self, places: Sequence[int]) -> Sightings:
        """These ones, in this order; the same object where that is all as it is."""
        if len(places) == len(self) and all(map(eq, places, range(len(self)))):
            return self
        taken = Sightings()
        for mine, column in zip(self._columns(), taken._columns(), strict=True):
            column.extend(map(mine.__getitem__, places))
        return taken

    def in_time_order(self) -> Sightings:
        """By time, and by number where that is equal."""
        if all(map(lt, self.t, islice(self.t, 1, None))):
            return self
        keys = list(zip(self.t, self.number, strict=True))
        return self.take(sorted(range(len(self)), key=keys.__getitem__))

    def _columns(self) -> tuple[array[int], ...]:
        return self.t, self.number, self.essence, self.flags, self._index, self.error_ns

    def __len__(self) -> int:
        return len(self.t)

    @overload
    def __getitem__(self, place: int) -> Sighting: ...
    @overload
    def __getitem__(self, place: slice) -> Sightings: ...
    def __getitem__(self, place: int | slice) -> Sighting | Sightings:
        if isinstance(place, slice):
            return self.take(range(*place.indices(len(self))))
        index = self._index[place]
        return Sighting(
            self.t[place],
            self.number[place],
            self.essence[place],
            self.flags[place],
            None if index == _NO_INDEX else index,
            self.error_ns[place],
        )

    def __iter__(self) -> Iterator[Sighting]:
        return map(self.__getitem__, range(len(self)))


def _fitting(value: int) -> int:
    return max(-_MOST, min(value, _MOST))
