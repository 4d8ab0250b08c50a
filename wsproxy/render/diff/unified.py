"""The hunks of a diff, one side below the other, as `git diff` has them."""

from __future__ import annotations

from collections.abc import Iterator

from ...analysis.diff.model import Diff, Entry, Row
from ...secrets.masking import mask_text
from ..screen import Line
from ..text import preview
from .layout import cut, indented
from .parts import Fold, Hunk, in_hunks
from .rows import SIGNS, STYLES, Rows, place
from .values import differences
from .view import View
from .wording import told


def unified_lines(diff: Diff, view: View) -> Iterator[Line]:
    """All hunks."""
    rows = Rows(diff, view)
    for number, hunk in enumerate(in_hunks(diff, full=view.full)):
        yield []
        yield cut([(hunk_head(hunk), "cyan")], view.width)
        if not number:
            yield rows.names()
        for part in hunk.parts:
            if isinstance(part, Fold):
                yield from indented(fold_lines(part, view, view.width - rows.margin), rows.margin)
                continue
            if part.gap is not None:
                yield cut([(" " * rows.margin, ""), (gap_text(part), "yellow")], view.width)
            yield rows.line(part)
            yield from _changes(part, view, rows.margin + 2)


def _changes(row: Row, view: View, margin: int) -> Iterator[Line]:
    for one in differences(row, secrets=view.secrets):
        yield from indented(told(one, view.width - margin, full=view.full), margin)


def hunk_head(hunk: Hunk) -> str:
    """The events and times that a hunk covers, on both sides."""
    return f"@@ {hunk_range('A', hunk.entries('a'))} | {hunk_range('B', hunk.entries('b'))} @@"


def hunk_range(name: str, entries: list[Entry]) -> str:
    """The events and times of one side."""
    if not entries:
        return f"{name} nothing"
    numbers, times = [entry.number for entry in entries], [entry.t for entry in entries]
    return f"{name} {min(numbers)}–{max(numbers)}  {min(times) / 1e9:.4f}–{max(times) / 1e9:.4f} s"


def gap_text(row: Row) -> str:
    """Who waited longer before a row."""
    gap = row.gap or 0
    return f"· {'B' if gap > 0 else 'A'} waited {abs(gap) / 1e6:,.0f} ms longer here"


def fold_lines(fold: Fold, view: View, width: int) -> Iterator[Line]:
    """How many rows are folded, and what they spell."""
    what = ", ".join(f"{number:,} {place(dir, label)}" for (dir, label), number in fold.labels.most_common(4))
    alike = "changed alike" if fold.op == "changed" else fold.op
    style = STYLES[fold.op]
    yield cut([(f"… {len(fold.rows):,} more {alike}: {what}", f"bold {style}")], width)
    for (dir, channel), text in fold.spelled.items():
        said = text if view.secrets else mask_text(text)
        head = f"  {SIGNS[fold.op]} they spell {place(dir, channel)}: "
        yield cut([(head, style), (preview(said, max(width - len(head), 8)), style)], width)
