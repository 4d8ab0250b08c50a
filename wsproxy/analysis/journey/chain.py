"""The stages of one direction beside each other: a row per chunk, a column per stage.

Strategy: each stage is aligned with the one before it. A row holds no sightings but their places in the columns of their stages, four bytes each;
what is asked for is put together then.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import overload

from .matching import align, out_of_order
from .sightings import Point, Sighting, Sightings


class Chain:
    """Rows of sightings, one column per stage.

    Attributes:
        rows: the rows; what they hold is made when it is looked at.
        columns: of each stage, its column.
        extra: rows that began later than the first stage, and the column in which they did.
        copies: of the extra rows, the row of the same content.
        moved: by column, the rows that overtook others there.
        order: by stage, the rows in the order in which they came.
    """

    def __init__(self, names: Sequence[str], seen: dict[str, Sightings]) -> None:
        self.stages = tuple(names)
        self.columns = {name: column for column, name in enumerate(names)}
        self.extra: dict[int, int] = {}
        self.copies: dict[int, int] = {}
        self.moved: dict[int, list[int]] = {}
        self.order: dict[str, Sequence[int]] = {}
        self._sightings = [seen.get(name) or Sightings() for name in names]
        self._places = [array("i") for _ in names]  # by column: of each row, where its sighting stands, or -1
        self._essences = array("q")  # of each row, when it began
        self.rows = Rows(self)
        for column in range(len(self.stages)):
            self._add(column)

    def __len__(self) -> int:
        return len(self._essences)

    def at(self, row: int, stage: str) -> Sighting | None:
        """The chunk at a stage, if it was seen there."""
        column = self.columns.get(stage)
        return None if column is None else self.cell(row, column)

    def cell(self, row: int, column: int) -> Sighting | None:
        """The same, by column; -1 is the last."""
        place = self._places[column][row]
        return self._sightings[column][place] if place >= 0 else None

    def row(self, row: int) -> list[Sighting | None]:
        """All of a row."""
        return [self.cell(row, column) for column in range(len(self.stages))]

    def first(self, row: int) -> Sighting:
        """Where the chunk was seen first."""
        column = self.extra.get(row, 0)
        return self._sightings[column][self._places[column][row]]

    def point(self, row: int) -> Point:
        """When that was, and in which event."""
        column = self.extra.get(row, 0)
        seen, place = self._sightings[column], self._places[column][row]
        return Point(seen.t[place], seen.number[place])

    def last_column(self, row: int) -> int:
        """The column of the last stage that saw it."""
        column = len(self.stages) - 1
        while self._places[column][row] < 0:
            column -= 1
        return column

    def ended(self, row: int) -> int:
        """When a chunk was seen in the last column, where it was."""
        return self._sightings[-1].t[self._places[-1][row]]

    def by_first(self) -> tuple[Sequence[int], Sightings]:
        """The rows that began in the first column, in the order of time; and where they did."""
        return self._by_time(0)

    def by_last(self) -> tuple[Sequence[int], Sightings]:
        """The rows that reached the last column, in the order in which they did; and where."""
        return self._by_time(-1)

    def last_row(self, column: int) -> int:
        """The last row from the first column on that was seen in a column; -1 if none was."""
        places = self._places[column]
        return next((row for row in range(len(self) - 1, -1, -1) if places[row] >= 0 and row not in self.extra), -1)

    def number_in(self, row: int, event: int) -> bool:
        """Whether an event shows this row's chunk."""
        cells = zip(self._sightings, self._places, strict=True)
        return any(at[row] >= 0 and seen.number[at[row]] == event for seen, at in cells)

    def durations(self, column: int) -> list[int]:
        """Of all chunks that were seen in a column and in the one before it, the time between, in nanoseconds."""
        before, after = self._sightings[column - 1].t, self._sightings[column].t
        places = zip(self._places[column - 1], self._places[column], strict=True)
        return [after[there] - before[here] for here, there in places if here >= 0 and there >= 0]

    def _by_time(self, column: int) -> tuple[Sequence[int], Sightings]:
        if not self.stages:
            return (), Sightings()
        seen, places = self._sightings[column], self._places[column]
        rows = array("i", (row for row, place in enumerate(places) if place >= 0))
        found = seen.take(array("i", map(places.__getitem__, rows)))
        ordered = found.in_time_order()
        if ordered is not found:
            keys = list(zip(found.t, found.number, strict=True))
            rows = array("i", (rows[n] for n in sorted(range(len(rows)), key=keys.__getitem__)))
        return rows, ordered

    def _add(self, column: int) -> None:
        """Align a stage with the one before it; what continues nothing begins a row."""
        sightings, places = self._sightings[column], self._places[column]
        previous = self.order[self.stages[column - 1]] if column else ()
        essences = self._essences
        matched = align([essences[row] for row in previous], sightings.essence)
        order = array("i")
        began = len(self)
        for place, i in enumerate(matched):
            if i >= 0:
                row = previous[i]
            else:
                row = len(self)
                essences.append(sightings.essence[place])
                for others in self._places:
                    others.append(-1)
                if column:
                    self.extra[row] = column
            places[row] = place
            order.append(row)
        if column:
            moved = out_of_order(matched)
            if moved:
                self.moved[column] = [order[j] for j in moved]
            if began < len(self):
                first = {essences[row]: row for row in reversed(previous)}
                for row in range(began, len(self)):
                    if essences[row] and essences[row] in first:
                        self.copies[row] = first[essences[row]]
            if order != previous:
                gone = set(previous).difference(order)
                order = array("i", _merged(previous, order, gone)) if gone else order
        self.order[self.stages[column]] = (
            previous if order == previous else order
        )  # one list for all stages that saw all


class Rows(Sequence[list["Sighting | None"]]):
    """The rows of a chain, made when they are looked at."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def __len__(self) -> int:
        return len(self._chain)

    @overload
    def __getitem__(self, row: int) -> list[Sighting | None]: ...
    @overload
    def __getitem__(self, row: slice) -> list[list[Sighting | None]]: ...
    def __getitem__(self, row: int | slice) -> list[Sighting | None] | list[list[Sighting | None]]:
        if isinstance(row, slice):
            return [self._chain.row(one) for one in range(*row.indices(len(self)))]
        return self._chain.row(row)

    def __iter__(self) -> Iterator[list[Sighting | None]]:
        return map(self._chain.row, range(len(self)))


def _merged(previous: Sequence[int], order: Sequence[int], gone: set[int]) -> list[int]:
    """The rows of this stage, with those that were not seen here kept where they stood: a marker may be missing."""
    place = {row: n for n, row in enumerate(previous)}
    result: list[int] = []
    lost = [row for row in previous if row in gone]
    at = 0
    for row in order:
        while at < len(lost) and place.get(row, -1) > place[lost[at]]:
            result.append(lost[at])
            at += 1
        result.append(row)
    return result + lost[at:]
