"""The diff in hunks, as they are read: rows, and runs of equal ones folded to their ends.

Strategy: what was done many times in a row (two hundred chunks that only B has, a thousand in which the same field is another) is seen at its first
and last ones; between them stands how many there are, and what they spell.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ...analysis.diff.hunks import hunks
from ...analysis.diff.model import Content, Diff, Entry, Row
from ...analysis.diff.spelling import Spell, joined, spell
from ...wire.events import Dir

_RUN = 12  # rows of one kind from which on they are folded
_FIRST, _LAST = 3, 2  # that are seen of them
_SPELLED = 20_000  # rows of a fold that are put together


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows that are not seen one by one, and what they spell, by direction and channel (not masked, not escaped)."""

    rows: Sequence[Row]
    spelled: dict[tuple[Dir, str], str]

    @property
    def op(self) -> str:
        return self.rows[0].op

    @property
    def labels(self) -> Counter[tuple[Any, str]]:
        """How many of what."""
        return Counter((row.entry.dir, row.entry.label) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Hunk:
    """A stretch of the diff with its context."""

    rows: Sequence[Row]
    parts: Sequence[Row | Fold]

    def entries(self, side: str) -> list[Entry]:
        return [entry for row in self.rows for entry in (row.a if side == "a" else row.b)]


def in_hunks(diff: Diff, *, full: bool) -> Iterator[Hunk]:
    """The hunks of a diff.

    Args:
        full: fold nothing.
    """
    for rows in hunks(diff.rows, diff.options.context):
        yield Hunk(rows, rows if full else list(_parts(diff, rows)))


def _parts(diff: Diff, rows: Sequence[Row]) -> Iterator[Row | Fold]:
    for key, run in groupby(rows, _alike):
        found = list(run)
        if key is None or len(found) < _RUN:
            yield from found
            continue
        middle = found[_FIRST : len(found) - _LAST]
        yield from found[:_FIRST]
        yield Fold(middle, _spelled(diff, middle))
        yield from found[len(found) - _LAST :]


def _alike(row: Row) -> Hashable:
    """What rows of one run share; None for rows that are never folded."""
    if row.op in ("removed", "added"):
        return row.op
    if row.op == "changed" and row.gap is None and not row.reordered:
        return tuple((change.op, change.path, _leaf(change.a), _leaf(change.b)) for change in row.changes)
    return None


def _leaf(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else json.dumps(value)


def _spelled(diff: Diff, rows: Sequence[Row]) -> dict[tuple[Dir, str], str]:
    """What the messages that only one side has spell."""
    if rows[0].op == "changed" or len(rows) > _SPELLED:
        return {}
    contents: dict[int, Content] = diff.contents_a if rows[0].op == "removed" else diff.contents_b
    spells: dict[Dir, list[Spell]] = {}
    for row in rows:
        content = contents.get(row.entry.number)
        if row.entry.kind == "message" and content is not None and content.is_json:
            spells.setdefault(row.entry.dir, []).append(spell(row.entry.label, content))
    return {
        (dir, channel): text
        for dir, found in spells.items()
        for channel, text in joined(found).items()
        if isinstance(text, str)
    }
