"""What the messages of a stream spell together, where that is another text or came in other chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...analysis.diff.model import Diff, Spelled
from ...analysis.diff.words import Piece, by_word
from ...secrets.masking import mask_text
from ..screen import Line, Span
from ..text import escape
from .layout import beside, cut, wrapped
from .rows import ARROWS
from .view import View
from .wording import MASKED, inline, plain

_LINES = 12  # of one text
_GUTTER = 3


def spelled_lines(diff: Diff, view: View) -> Iterator[Line]:
    """A text per direction and channel."""
    found = [one for one in diff.spelled if not one.same or one.a_chunks != one.b_chunks]
    if not found:
        return
    yield []
    yield [("What the messages spell", "bold")]
    for one in found:
        title = f"{ARROWS[one.dir]} {escape(one.channel)}"
        chunks = f"{one.a_chunks:,} → {one.b_chunks:,} chunks"
        if one.same:
            yield cut([(title, "bold"), (f"  the same text, chunked differently ({chunks})", "cyan")], view.width)
            continue
        yield cut([(title, "bold"), (f"  {chunks}", "dim")], view.width)
        yield from _beside(one, view) if view.beside else _inline(one, view)


def texts(one: Spelled, *, secrets: bool) -> tuple[str, str]:
    """Both texts as they may be shown."""
    return (one.a, one.b) if secrets else (mask_text(one.a), mask_text(one.b))


def _inline(one: Spelled, view: View) -> Iterator[Line]:
    a, b = texts(one, secrets=view.secrets)
    yield from _shortened(wrapped([("    ", ""), *_spans(a, b, view)], view.width, 4), view, view.width)


def _spans(a: str, b: str, view: View) -> Iterator[Span]:
    if a == b:
        yield MASKED, "yellow"
    elif a and b:
        yield from inline(by_word(a, b), full=view.full)
    else:
        for sign, text, style in (("- ", a, "red"), ("+ ", b, "green")):
            if text:
                yield sign, style
                yield plain(text, full=view.full), style


def _beside(one: Spelled, view: View) -> Iterator[Line]:
    a, b = texts(one, secrets=view.secrets)
    if not a or not b or a == b:
        yield from _inline(one, view)
        return
    width = (view.width - _GUTTER) // 2
    pieces = by_word(a, b)
    left, right = (
        _shortened(wrapped([("    ", ""), *_side(pieces, kind, view)], width, 4), view, width)
        for kind in ("removed", "added")
    )
    yield from beside(left, right, width, [(" │ ", "dim")])


def _side(pieces: Sequence[Piece], kind: str, view: View) -> Iterator[Span]:
    return inline([piece for piece in pieces if piece.kind in ("same", kind)], full=view.full)


def _shortened(lines: Iterator[Line], view: View, width: int) -> Iterator[Line]:
    for number, line in enumerate(lines):
        if number == _LINES and not view.full:
            yield cut([("    … more of it: --full shows all", "dim")], width)
            return
        yield line
