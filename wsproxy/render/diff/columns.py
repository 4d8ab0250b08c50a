"""The hunks of a diff, both sides beside each other: the same rows and differences as below each other, aligned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...analysis.diff.model import Diff, Row
from ..screen import Line
from ..text import preview
from .layout import beside, cut, indented, padded
from .parts import Fold, Hunk, in_hunks
from .rows import Rows, shift_text
from .unified import fold_lines, gap_text, hunk_range
from .values import differences
from .view import View
from .wording import on_side

_GUTTER = 10  # cells between the columns: the shift, between two bars


def column_lines(diff: Diff, view: View) -> Iterator[Line]:
    """All hunks."""
    columns = _Columns(diff, view)
    for number, hunk in enumerate(in_hunks(diff, full=view.full)):
        yield []
        yield from columns.head(hunk, first=not number)
        for part in hunk.parts:
            yield from columns.fold(part) if isinstance(part, Fold) else columns.row(part)


class _Columns:
    def __init__(self, diff: Diff, view: View) -> None:
        self._view = view
        self._width = (view.width - _GUTTER) // 2
        self._rows = Rows(diff, view)

    def head(self, hunk: Hunk, *, first: bool) -> Iterator[Line]:
        left: Line = [(f"@@ {hunk_range('A', hunk.entries('a'))} @@", "cyan")]
        right: Line = [(f"@@ {hunk_range('B', hunk.entries('b'))} @@", "cyan")]
        yield self._line(left, right, "Δ ms" if first else "")

    def row(self, row: Row) -> Iterator[Line]:
        if row.gap is not None:
            marked: Line = [(" " * self._rows.margin, ""), (gap_text(row), "yellow")]
            yield self._line([], marked) if row.gap > 0 else self._line(marked, [])
        shift = "" if row.shift is None else shift_text(row.shift)
        yield self._line(self._rows.side(row, "a"), self._rows.side(row, "b"), shift)
        margin = self._rows.margin + 2
        for one in differences(row, secrets=self._view.secrets):
            sides = [
                indented(on_side(one, side, self._width - margin, full=self._view.full), margin) for side in ("a", "b")
            ]
            yield from self._lines(*sides)

    def fold(self, fold: Fold) -> Iterator[Line]:
        margin = self._rows.margin
        lines = list(indented(fold_lines(fold, self._view, self._width - margin), margin))
        empty: list[Line] = []
        if fold.op == "changed":
            yield from self._lines(lines, lines)
        else:
            yield from self._lines(*((lines, empty) if fold.op == "removed" else (empty, lines)))

    def _line(self, left: Line, right: Line, shift: str = "") -> Line:
        gutter: Line = [(f"│{preview(shift, _GUTTER - 2):^{_GUTTER - 2}}│", "dim")]
        return [*padded(cut(left, self._width), self._width), *gutter, *cut(right, self._width)]

    def _lines(self, left: Iterable[Line], right: Iterable[Line]) -> Iterator[Line]:
        return beside(left, right, self._width, [(f"│{'':{_GUTTER - 2}}│", "dim")])
