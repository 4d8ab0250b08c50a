"""A diff as a person reads it: the head, the hunks, what the messages spell."""

from __future__ import annotations

from collections.abc import Iterator

from ...analysis.diff.model import Diff
from ..screen import PIPE_WIDTH, Line
from .columns import column_lines
from .head import essence_lines, head_lines, note_lines
from .layout import ended
from .spelled import spelled_lines
from .times import time_lines
from .unified import unified_lines
from .view import View


def diff_lines(diff: Diff, view: View) -> Iterator[Line]:
    """All of it; of two that are the same, only the head."""
    yield from summary_lines(diff, view)
    if diff.same and not view.full:
        return
    for line in column_lines(diff, view) if view.beside else unified_lines(diff, view):
        yield ended(line)
    for line in spelled_lines(diff, view):
        yield ended(line)


def summary_lines(diff: Diff, view: View) -> Iterator[Line]:
    """The head alone; of two that are the same, one line, the notes, and what time tells."""
    if diff.same and not view.full:
        yield from essence_lines(diff, view)
        yield from note_lines(diff, view)
        yield from time_lines(diff, view)
        return
    for line in head_lines(diff, view):
        yield ended(line)


def plain(diff: Diff) -> str:
    """The same as text."""
    lines = diff_lines(diff, View(PIPE_WIDTH))
    return "\n".join("".join(text for text, _ in line) for line in lines)
