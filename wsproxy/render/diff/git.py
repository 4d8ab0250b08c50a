"""What `git diff` shows of a recording: a line that names it, then the diff; of one that was added or deleted, what it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...analysis.diff.model import Diff
from ..screen import Line
from ..text import escape
from .head import side_lines
from .layout import cut, ended
from .view import View


def git_lines(lines: Iterable[Line], view: View) -> Iterator[Line]:
    """Lines below the name of the file."""
    yield cut([(f"wsproxy diff {escape(view.names[0])} {escape(view.names[1])}", "bold")], view.width)
    yield from lines
    yield []


def alone_lines(diff: Diff, view: View, *, added: bool) -> Iterator[Line]:
    """A recording that only one side has; `diff` is that of it with itself."""
    yield [("added recording", "green") if added else ("deleted recording", "red")]
    sign, name = ("+", view.names[1]) if added else ("-", view.names[0])
    for line in side_lines(sign, name, diff.b, view.width):
        yield ended(line)


def unmerged_line(path: str, view: View) -> Line:
    """A path that a merge left with a conflict."""
    return cut([(f"* Unmerged path {escape(path)}", "yellow")], view.width)
