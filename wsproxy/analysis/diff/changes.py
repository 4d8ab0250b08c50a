"""What differs within a pair: by JSON, by text, or as bytes; and what only has another name.

Strategy: first every pair tells which volatile values meet in it (`meet`); when all have met, `differences` asks the renaming which of them are the
same thing. A pair that is equal by its key is looked into only if one of its renamings does not hold.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any, TypeAlias

from ...wire.events import Dir
from . import volatile
from .keys import Keys, Skip
from .masked import Captured
from .model import Content
from .pairing import Match
from .renaming import Renaming
from .side import Reading
from .structure import Change, Path, compare
from .volatile import Volatile

# Of pairs: their direction, and the volatile values that meet in them.
_Kind: TypeAlias = "tuple[Dir, Captured, Captured]"


class Changes:
    """The differences of all pairs.

    Args:
        exact: volatile values count.
        skip: paths of JSON that do not.
    """

    def __init__(self, a: Reading, b: Reading, keys_a: Keys, keys_b: Keys, *, exact: bool, skip: Skip | None) -> None:
        self._sides = (a, b)
        self._keys = (keys_a, keys_b)
        self._exact = exact
        self._skip = skip
        self._verdicts: dict[_Kind, tuple[bool, int]] = {}
        self.renaming = Renaming()

    def meet(self, matches: list[Match]) -> None:
        """Let the volatile values of all pairs meet."""
        if self._exact:
            return
        meetings: Counter[_Kind] = Counter()
        examples: dict[_Kind, Match] = {}
        for match in matches:
            if match.key is None and not match.rechunked:
                self._compare(match, meeting=True)
            elif match.key is not None:
                captured = self._captured(match)
                if None in captured:
                    self._meet(match, captured, 1)
                else:
                    kind = match.a[0].dir, *captured
                    meetings[kind] += 1
                    examples.setdefault(kind, match)
        for (dir, of_a, of_b), times in meetings.items():
            self._meet(examples[dir, of_a, of_b], (of_a, of_b), times)

    def _meet(self, match: Match, captured: tuple[Captured, Captured], times: int) -> None:
        for x, y in zip(*self._volatiles(match, captured), strict=False):
            self.renaming.meet(match.a[0].dir, x, y, times)

    def differences(self, match: Match) -> tuple[tuple[Change, ...], int]:
        """What differs in a pair, and how many of its ids have another name only."""
        if match.key is not None:
            captured = self._captured(match)
            kind = match.a[0].dir, *captured
            verdict = self._verdicts.get(kind) if None not in captured else None
            if verdict is None:
                verdict = self._verdict(match, captured)
                if None not in captured:
                    self._verdicts[kind] = verdict
            holds, renames = verdict
            if holds:
                return (), renames
            if not all(side.knows(entry) for side, entry in zip(self._sides, (match.a[0], match.b[0]), strict=True)):
                x, y = ([one.value for one in some] for some in self._volatiles(match, captured))
                return (() if x == y else (Change("changed", (), x, y),)), 0
        return self._compare(match, meeting=False)

    def _verdict(self, match: Match, captured: tuple[Captured, Captured]) -> tuple[bool, int]:
        of_a, of_b = self._volatiles(match, captured)
        holds = partial(self.renaming.holds, match.a[0].dir)
        if len(of_a) != len(of_b) or not all(map(holds, of_a, of_b)):
            return False, 0
        return True, sum(x != y for x, y in zip(of_a, of_b, strict=True) if x.kind in ("id", "secret"))

    def _captured(self, match: Match) -> tuple[Captured, Captured]:
        """What the keys of a pair left out; None where that must be asked of the values."""
        if match.key == "canonical":
            return None, None
        return self._keys[0].captured(match.a[0])[1], self._keys[1].captured(match.b[0])[1]

    def _volatiles(self, match: Match, captured: tuple[Captured, Captured]) -> tuple[list[Volatile], list[Volatile]]:
        of_a, of_b = captured
        return self._keys[0].volatiles(match.a[0], of_a), self._keys[1].volatiles(match.b[0], of_b)

    def _compare(self, match: Match, *, meeting: bool) -> tuple[tuple[Change, ...], int]:
        if match.a[0].kind == "control" or match.key == "exact":
            return (), 0  # nothing differs, and nothing is renamed
        left, right = (
            side.contents([entry.number])[entry.number]
            for side, entry in zip(self._sides, (match.a[0], match.b[0]), strict=True)
        )
        renames = 0
        meet, holds = (partial(call, match.a[0].dir) for call in (self.renaming.meet, self.renaming.holds))

        def equal(path: Path, x: Any, y: Any) -> bool:
            nonlocal renames
            if self._skip is not None and self._skip(path):
                return True
            if self._exact:
                return False
            (shape_x, of_x), (shape_y, of_y) = volatile.leaf(path, x), volatile.leaf(path, y)
            if not of_x or type(shape_x) is not type(shape_y) or shape_x != shape_y or len(of_x) != len(of_y):
                return False
            if meeting:
                for one, other in zip(of_x, of_y, strict=True):
                    meet(one, other)
                return True
            held = all(map(holds, of_x, of_y))
            renames += held
            return held

        if left.is_json and right.is_json:
            found = compare(left.value, right.value, equal=equal)
            if self._skip is not None:
                found = [change for change in found if not self._skip(change.path)]
            return tuple(found), renames
        x, y = _plain(left, match.a[0].label), _plain(right, match.b[0].label)
        if x == y or (isinstance(x, str) and isinstance(y, str) and equal((), x, y)):
            return (), renames
        return (Change("changed", (), x, y),), renames


def _plain(content: Content, label: str) -> Any:
    """JSON as its value, anything else as text, or as bytes where it is binary or no UTF-8."""
    if content.is_json:
        return content.value
    if label == "binary":
        return content.data
    try:
        return content.data.decode()
    except UnicodeDecodeError:
        return content.data
