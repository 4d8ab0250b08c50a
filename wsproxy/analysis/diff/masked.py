"""The masked keys of a side's entries, by number.

Strategy: two columns in place of a dict of tuples, and one tuple for equal values: a stream repeats its id and its time in every message. Most of
what took the memory of a diff of 500,000 messages a side from 1,130 MiB to 570.
"""

from __future__ import annotations

from array import array
from typing import TypeAlias

Captured: TypeAlias = "tuple[bytes, ...] | None"

_REMEMBERED = 4_096  # sets of values that are looked for again
_ABSENT = (b"absent",)  # told by its identity


class MaskedKeys:
    """Keys with the values that were left out of them."""

    def __init__(self) -> None:
        self._keys = array("q")
        self._values: list[Captured] = []
        self._shared: dict[Captured, Captured] = {}

    def put(self, number: int, key: int, values: Captured) -> tuple[int, Captured]:
        """Keep what belongs to an entry; what `get` will say.

        Args:
            number: of the entry; any order, but no more than a few millions.
            key: a hash.
        """
        missing = number + 1 - len(self._values)
        if missing > 0:
            self._values.extend([_ABSENT] * missing)
            self._keys.frombytes(bytes(8 * missing))
        if len(self._shared) >= _REMEMBERED:
            self._shared.clear()
        values = self._shared.setdefault(values, values)
        self._keys[number], self._values[number] = key, values
        return key, values

    def get(self, number: int) -> tuple[int, Captured] | None:
        """Key and values of an entry; None where there are none."""
        if number >= len(self._values) or (values := self._values[number]) is _ABSENT:
            return None
        return self._keys[number], values
