"""Lines fitted to a width in cells: cut, padded, wrapped, put beside each other.

Strategy: text is escaped before it comes here, so every character has a width of 0, 1 or 2 cells and nothing else to it. Wrapping breaks at
spaces, and inside a word only where the word alone is wider than a line.

Cost: O(characters); ASCII at the speed of slices.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest

from rich.cells import cell_len

from ..screen import Line, Span

_WORDS = re.compile(r" +|[^ ]{1,2048}")  # bounded: a word that is a whole payload is broken in any case
_LEAST = 8  # cells of a line, however deep it is indented


def cells(line: Iterable[Span]) -> int:
    """The width of a line."""
    return sum(cell_len(text) for text, _ in line)


def split(text: str, room: int) -> tuple[str, str]:
    """The start of a text that fits into `room` cells, with the marks that stand on its last character, and the rest."""
    if text[:room].isascii():
        end = room
        used = room
    else:
        end = used = 0
        for char in text:
            wide = cell_len(char)
            if used + wide > room:
                break
            used += wide
            end += 1
    while end < len(text) and not text[end].isascii() and cell_len(text[end]) == 0:
        end += 1
    return text[:end], text[end:]


def cut(line: Iterable[Span], width: int) -> Line:
    """A line in at most `width` cells, with … where something is missing."""
    out: Line = []
    left = width
    spans = iter(line)
    for text, style in spans:
        # A long text is not measured beyond what can be shown of it.
        wide = cell_len(text) if len(text) <= 4 * width + 64 else width + 1
        if wide > left or (wide == left and any(text for text, _ in spans)):
            head, _ = split(text, max(left - 1, 0))
            out.append((head.rstrip() + "…" if width else "", style))
            return out
        out.append((text, style))
        left -= wide
    return out


def padded(line: Line, width: int) -> Line:
    """A line in exactly `width` cells."""
    return [*line, (" " * max(width - cells(line), 0), "")]


def wrapped(line: Iterable[Span], width: int, hang: int = 0) -> Iterator[Line]:
    """A line broken into several of at most `width` cells, all but the first indented by `hang` cells."""
    hang = max(min(hang, width - _LEAST), 0)
    out: Line = []
    used = 0
    fresh = False  # nothing but the indent stands in a line that goes on
    for text, style in line:
        for word in _WORDS.findall(text):
            wide = cell_len(word)
            if word[0] == " " and (fresh or used + wide > width):
                if not fresh:
                    yield ended(out)
                    out, used, fresh = [(" " * hang, "")], hang, True
                continue
            if used + wide > width and not fresh and (wide <= width - hang or width - used < _LEAST):
                yield ended(out)
                out, used, fresh = [(" " * hang, "")], hang, True
            while used + wide > width:
                head, word = split(word, width - used)
                yield [*out, (head, style)]
                out, used, fresh, wide = [(" " * hang, "")], hang, True, cell_len(word)
            if word:
                out.append((word, style))
                used += wide
                fresh = False
    if out and not fresh:
        yield ended(out)


def ended(line: Line) -> Line:
    """A line without the spaces at its end."""
    line = list(line)
    while line:
        text, style = line.pop()
        if kept := text.rstrip(" "):
            return [*line, (kept, style)]
    return line


def indented(lines: Iterable[Line], by: int) -> Iterator[Line]:
    """Lines with a margin on the left."""
    for line in lines:
        yield [(" " * by, ""), *line]


def beside(left: Iterable[Line], right: Iterable[Line], width: int, gutter: Line) -> Iterator[Line]:
    """Two columns of lines, of `width` cells each, with the same gutter between them."""
    for one, other in zip_longest(left, right):
        yield [*padded(one or [], width), *gutter, *(other or [])]
