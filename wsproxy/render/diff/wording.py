"""What changed in two texts or two byte strings, in few lines: changed words marked, what did not change elided around them.

Strategy: a difference that fits is one line, `name: "old" → "new"`. A longer text is told once, with what was removed as [-…-] and what was added
as {+…+}: colour shows the same, but is not needed. Beside each other, each side has its own text with its own words marked. Bytes are told by offset,
in hex.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from ...analysis.diff.words import ByteEdit, Piece, by_byte, by_word
from ..screen import Line, Span
from ..text import escape, size
from .layout import cells, cut, wrapped
from .values import Difference

_AROUND = 32  # characters of what did not change that are shown on each side of a change
_LONGEST = 120  # characters of one changed stretch
_BYTES = 16  # of one changed stretch of bytes
_LINES = 8  # of one difference, where not all was asked for
_EDITS = 4
_STYLES = {"same": "", "removed": "red", "added": "green"}
_MARKS = {"same": ("", ""), "removed": ("[-", "-]"), "added": ("{+", "+}")}
MASKED = "differs (masked)"


def told(one: Difference, width: int, *, full: bool) -> Iterator[Line]:
    """A difference, both sides in one: what stood there and what stands there now.

    Args:
        full: whole values, however long.
    """
    name: Line = [(f"{one.name}: ", "bold")] if one.name else []
    places = _places(one, full=full)
    if one.quiet:
        yield from _with_places([*name, (MASKED, "yellow")], places, width, full=full)
    elif isinstance(one.a, bytes) and isinstance(one.b, bytes):
        yield from wrapped([*name, *_sizes(one.a, one.b)], width, 2)
        yield from _edits(one.a, one.b, width, full=full)
    elif one.op != "changed":
        sign, style = ("+ ", "green") if one.op == "added" else ("- ", "red")
        value = one.b if one.op == "added" else one.a
        line = [(sign, style), *name, (plain(value, full=full), style)]
        yield from _with_places(line, places, width, full=full)
    else:
        yield from _changed(one, name, places, width, full=full)


def _changed(one: Difference, name: Line, places: str, width: int, *, full: bool) -> Iterator[Line]:
    if len(one.a) + len(one.b) <= 2 * width:
        a, b = (escape(_as_text(value)) for value in (one.a, one.b))
        line = [*name, (a, "red"), (" → ", ""), (b, "green")]
        if cells(line) <= width:
            yield from _with_places(line, places, width, full=full)
            return
    if one.wordy:
        line = [*name, *inline(by_word(_as_text(one.a), _as_text(one.b)), full=full)]
    else:
        line = [*name, (plain(one.a, full=full), "red"), (" → ", ""), (plain(one.b, full=full), "green")]
    yield from _with_places(line, places, width, full=full)


def on_side(one: Difference, side: str, width: int, *, full: bool) -> Iterator[Line]:
    """A difference as one side has it: side "a" or "b". Nothing where only the other side has something."""
    if (side, one.op) in (("a", "added"), ("b", "removed")):
        return
    name: Line = [(f"{one.name}: ", "bold")] if one.name else []
    value, other = (one.a, one.b) if side == "a" else (one.b, one.a)
    kind = "removed" if side == "a" else "added"
    places = _places(one, full=full)
    if one.quiet:
        line = [*name, (MASKED, "yellow")]
    elif isinstance(value, bytes) and isinstance(other, bytes):
        yield from wrapped([*name, (size(len(value)), "")], width, 2)
        yield from _edits_on(one, side, width, full=full)
        return
    elif one.wordy and len(one.a) + len(one.b) > 2 * width:
        pieces = by_word(_as_text(one.a), _as_text(one.b))
        line = [*name, *inline([piece for piece in pieces if piece.kind in ("same", kind)], full=full)]
    else:
        line = [*name, (plain(value, full=full), _STYLES[kind])]
    yield from _with_places(line, places, width, full=full)


def inline(pieces: Sequence[Piece], *, full: bool) -> Iterator[Span]:
    """Pieces in one line, changed ones marked, long ones elided."""
    last = len(pieces) - 1
    for at, piece in enumerate(pieces):
        text = piece.text
        if not full and piece.kind == "same":
            text = _around(text, first=at == 0, last=at == last)
        elif not full:
            text = _shortened(text)
        before, after = _MARKS[piece.kind]
        yield before + escape(text) + after, _STYLES[piece.kind]


def _around(text: str, *, first: bool, last: bool) -> str:
    """What stands around changes: the end of what is before the first, the start of what is behind the last, both ends between two."""
    if first and last:
        return _shortened(text)
    if first:
        return text if len(text) <= _AROUND + 2 else "…" + text[-_AROUND:]
    if last:
        return text if len(text) <= _AROUND + 2 else text[:_AROUND] + "…"
    return text if len(text) <= 2 * _AROUND + 4 else f"{text[:_AROUND]} … {text[-_AROUND:]}"


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST + 20:
        return text
    head, tail = _LONGEST * 2 // 3, _LONGEST // 3
    return f"{text[:head]} …({len(text) - head - tail:,} more characters)… {text[-tail:]}"


def plain(value: str | bytes, *, full: bool) -> str:
    text = _as_text(value)
    return escape(text if full else _shortened(text))


def _as_text(value: str | bytes) -> str:
    return (
        value
        if isinstance(value, str)
        else value[: _LONGEST // 2].hex(" ") + ("…" if len(value) > _LONGEST // 2 else "")
    )


def _places(one: Difference, *, full: bool) -> str:
    if len(one.places) == 1:
        return ""
    return f"(at {len(one.places):,} paths: {', '.join(one.parents if full else one.parents[:_LINES])})"


def _with_places(line: Line, places: str, width: int, *, full: bool) -> Iterator[Line]:
    """A difference, and behind or below it where else it is."""
    lines = list(wrapped(line, width, 2)) if full else list(islice(wrapped(line, width, 2), _LINES + 1))
    if not full and len(lines) > _LINES:
        yield from lines[: _LINES - 1]
        yield cut([("  … more of it: --full shows all", "dim")], width)
    else:
        yield from lines[:-1]
        room = width - cells(lines[-1]) - 2 if lines else 0
        if places and room >= min(24, len(places)) and not full:
            yield [*lines[-1], ("  ", ""), *cut([(places, "dim")], room)]
            return
        yield from lines[-1:]
    if places and full:
        yield from wrapped([("  " + places, "dim")], width, 4)
    elif places:
        yield cut([("  " + places, "dim")], width)


# --- bytes ------------------------------------------------------------------------------------------------------------


def _sizes(a: bytes, b: bytes) -> Line:
    if len(a) == len(b):
        return [(f"{size(len(a))}, of which differ:", "")]
    return [(size(len(a)), "red"), (" → ", ""), (size(len(b)), "green"), (", of which differ:", "")]


def _edits(a: bytes, b: bytes, width: int, *, full: bool) -> Iterator[Line]:
    """Where bytes differ: offset, what stood there, what stands there now."""
    edits = by_byte(a, b)
    for edit in edits if full else edits[:_EDITS]:
        at = f"{edit.a_offset:08x}" + (f" (B: {edit.b_offset:08x})" if edit.a_offset != edit.b_offset else "")
        old, new = _hex(edit.a, full=full), _hex(edit.b, full=full)
        yield from wrapped([(f"  {at}  ", "dim"), (old, "red"), (" → ", ""), (new, "green")], width, 12)
    yield from _more_edits(edits, width, full=full)


def _edits_on(one: Difference, side: str, width: int, *, full: bool) -> Iterator[Line]:
    assert isinstance(one.a, bytes) and isinstance(one.b, bytes)
    edits = by_byte(one.a, one.b)
    for edit in edits if full else edits[:_EDITS]:
        at, data = (edit.a_offset, edit.a) if side == "a" else (edit.b_offset, edit.b)
        style = "red" if side == "a" else "green"
        yield from wrapped([(f"  {at:08x}  ", "dim"), (_hex(data, full=full), style)], width, 12)
    yield from _more_edits(edits, width, full=full)


def _more_edits(edits: Sequence[ByteEdit], width: int, *, full: bool) -> Iterator[Line]:
    if not full and len(edits) > _EDITS:
        yield cut([(f"  … {len(edits) - _EDITS:,} more places: --full shows all", "dim")], width)


def _hex(data: bytes, *, full: bool) -> str:
    if not data:
        return "(nothing)"
    if full or len(data) <= _BYTES + 2:
        return data.hex(" ")
    return f"{data[:_BYTES].hex(' ')} … {size(len(data))}"
