"""The head of a diff: what A and B are, what became of them, and the essence in one line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ...analysis.diff.essence import clauses
from ...analysis.diff.model import Diff, Side
from ...secrets.masking import mask_text
from ..screen import Line
from ..text import close_code, count, escape, preview, seconds
from .layout import beside, cells, cut, wrapped
from .times import stage_lines, time_lines
from .values import renamed_id
from .view import View

_WHO = {"c2s": "the client", "s2c": "the server"}
_VERDICTS = {"nothing lost": "bold green", "no stream": "bold", "CANNOT TELL": "bold yellow"}
_RENAMED = 3  # ids that are named
_HANG = 3


def head_lines(diff: Diff, view: View) -> Iterator[Line]:
    """Both recordings, the essence, notes, and what was held equal."""
    names = called(diff, view)
    if view.beside:
        width = (view.width - 3) // 2
        left, right = side_lines("A", names[0], diff.a, width), side_lines("B", names[1], diff.b, width)
        yield from beside(left, right, width, [(" │ ", "dim")])
    else:
        yield from side_lines("A", names[0], diff.a, view.width)
        yield from side_lines("B", names[1], diff.b, view.width)
    yield []
    yield from essence_lines(diff, view)
    yield from note_lines(diff, view)
    yield from _renamed_lines(diff, view)
    yield from time_lines(diff, view)
    yield from stage_lines(diff, view)


def called(diff: Diff, view: View) -> tuple[str, str]:
    """What A and B are called."""
    return view.names[0] or diff.a.path or "A", view.names[1] or diff.b.path or "B"


def side_lines(letter: str, name: str, side: Side, width: int) -> Iterator[Line]:
    """One recording: its name and when it was, its figures, its diagnosis."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(side.started_ns // 1_000_000_000))
    behind = f"  {preview(side.stream[:8] or '-', 8)}  {when}"
    room = width - _HANG - len(behind)
    shown = escape(name)
    if len(shown) > room > 12:
        shown = "…" + shown[-(room - 1) :]  # a path's end says most
    yield cut([(f"{letter}  ", "bold"), (shown, "bold"), (behind, "dim")], width)
    yield from _under([(figures(side), "")], width)
    verdict, said = diagnosis(side)
    if verdict:
        yield from _under([(f"{verdict}: ", _VERDICTS.get(verdict, "bold red")), (said, "")], width)


def _under(line: Line, width: int) -> Iterator[Line]:
    yield from wrapped([(" " * _HANG, ""), *line], width, _HANG)


def figures(side: Side) -> str:
    """7 up, 2 down in 0.294 s, closed 1000 (normal) by the server."""
    parts = [f"{count(side.up, side.unit)} up, {side.down:,} down"]
    if side.markers:
        parts.append(count(side.markers, "marker"))
    closer = side.closer
    if closer is None:
        end = "no close frame"
    else:
        _, code, reason = side.closes[closer]
        said = f' "{escape(mask_text(reason[:60]))}"' if reason else ""
        end = f"closed {close_code(code)}{said} by {_WHO[closer]}"
    return f"{', '.join(parts)}, {seconds(side.duration / 1e9)}, {end}"


def diagnosis(side: Side) -> tuple[str, str]:
    """The verdict, and the first sentence of why."""
    if not side.verdict:
        return "", ""
    answer = side.answer.removeprefix(f"{side.verdict}: ")
    sentence = answer.split("; ")[0].rstrip(".")
    return escape(side.verdict), escape(mask_text(sentence))


def essence_lines(diff: Diff, view: View) -> Iterator[Line]:
    """What it comes to: one line, or one a clause where that is too long."""
    whole: Line = [(escape(diff.essence), "bold")]
    if cells(whole) <= view.width:
        yield whole
        return
    for clause in clauses(diff):
        yield from wrapped([(escape(clause), "bold")], view.width, 2)


def note_lines(diff: Diff, view: View) -> Iterator[Line]:
    """What limits the comparison."""
    for note in diff.notes:
        yield from wrapped([("note   ", "bold"), (escape(note), "yellow")], view.width, 7)


def _renamed_lines(diff: Diff, view: View) -> Iterator[Line]:
    if not diff.renamed:
        return
    chosen = diff.renamed if view.full else diff.renamed[:_RENAMED]
    pairs = ", ".join(f"{_id(a, view)} → {_id(b, view)}" for a, b in chosen)
    line = [("ids    ", "bold"), (f"{len(diff.renamed):,} renamed, held equal: ", ""), (pairs, "dim")]
    if view.full:
        yield from wrapped(line, view.width, 7)
    else:
        yield cut([*line, (" …" if len(diff.renamed) > _RENAMED else "", "dim")], view.width)


def _id(value: Any, view: View) -> str:
    shown = str(renamed_id(value, secrets=view.secrets))
    return preview(shown, len(shown) * 2 if view.full else 12)
