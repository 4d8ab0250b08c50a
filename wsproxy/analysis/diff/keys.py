"""When two entries count as equal: by their bytes, by their bytes without the values of volatile names, or by their canonical value.

Strategy: keys are made only where they are needed, and the dear ones last: what has a partner by its masked bytes is never parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

from . import volatile
from .masked import Captured, MaskedKeys
from .model import Content, Entry
from .side import Reading
from .structure import Path, PathPattern
from .volatile import Volatile

Skip: TypeAlias = "Callable[[Path], bool]"

_REMEMBERED = 4_096  # sets of volatile values: a stream repeats its own in every message


def skipping(ignore: Collection[str], only: Collection[str]) -> Skip | None:
    """Whether a path is left out of the comparison; None where nothing is.

    Raises:
        ValueError: a pattern that is none; the message says what is wrong.
    """
    if not ignore and not only:
        return None
    ignored = [PathPattern.parse(text) for text in ignore]
    wanted = [PathPattern.parse(text) for text in only]
    memo: dict[Path, bool] = {}

    def skip(path: Path) -> bool:
        found = memo.get(path)
        if found is None:
            found = any(p.matches(path) for p in ignored) or bool(wanted and not any(p.matches(path) for p in wanted))
            if len(memo) < 65_536:
                memo[path] = found
        return found

    return skip


class Keys:
    """The keys of one side's entries.

    Args:
        exact: volatile values count.
        skip: paths of JSON that do not.
    """

    def __init__(self, reading: Reading, *, exact: bool, skip: Skip | None) -> None:
        self._reading = reading
        self._exact = exact
        self._skip = skip
        self._masked = MaskedKeys()
        self._canonical: dict[int, int] = {}
        self._named: dict[Captured, list[Volatile]] = {}

    def masked(self, entry: Entry) -> int:
        """The key of an entry's bytes; for what is no message or body, the canonical one."""
        return self.captured(entry)[0]

    def captured(self, entry: Entry) -> tuple[int, Captured]:
        """The masked key, and the values that were left out of it; None where they must be asked of the value."""
        found = self._masked.get(entry.number)
        if found is not None:
            return found
        if self._exact and self._skip is None:
            return entry.identity, ()
        if not self._reading.knows(entry):
            key, values = self._reading.masked(entry)
            return hash((entry.label, key)), values
        data = self._reading.data(entry.number)
        if data is None or entry.label == "binary":
            return self._masked.put(entry.number, self.canonical(entry), None)
        key, values = volatile.masked(data)
        return self._masked.put(entry.number, hash((entry.label, key)), values)

    def canonical(self, entry: Entry) -> int:
        """The key of an entry's value."""
        found = self._canonical.get(entry.number)
        if found is None and not self._reading.knows(entry):
            found = self._canonical[entry.number] = self.masked(entry)
        if found is None:
            content = self._reading.contents([entry.number])[entry.number]
            found = self._canonical[entry.number] = hash((entry.label, self._of(content, entry)[0]))
        return found

    def _of(self, content: Content, entry: Entry) -> tuple[int, list[Volatile]]:
        if content.is_json:
            if self._exact:
                return hash(
                    tuple(p for p in volatile.leaves(content.value) if not (self._skip and self._skip(p[0])))
                ), []
            return volatile.canonical(content.value, self._skip)
        if self._exact or entry.label == "binary":
            return hash(content.data), []
        shown, found = volatile.text(content.data.decode("utf-8", "replace"))
        return hash(shown), found

    def volatiles(self, entry: Entry, captured: Captured) -> list[Volatile]:
        """The volatile values of an entry in the order of its key.

        Args:
            captured: what the masked key left out; None for the order of the canonical key.
        """
        if self._exact or captured == ():
            return []
        if not self._reading.knows(entry):
            return self._reading.named(captured or ())
        if captured is None:
            return self._of(self._reading.contents([entry.number])[entry.number], entry)[1]
        found = self._named.get(captured)
        if found is None:
            data = self._reading.data(entry.number)
            found = self._named[captured] = volatile.named(data or b"")
            if len(self._named) > _REMEMBERED:
                self._named.clear()
        return found
