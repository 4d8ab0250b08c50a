"""A row of the diff in columns: sign, numbers, times, shift, direction, label, and what it says in the pipeline's words.

Strategy: the columns are as wide as the recordings need, so that short ones leave more to the words. The sign carries the meaning, colour only
repeats it.
"""

from __future__ import annotations

from ...analysis.diff.model import Content, Diff, Entry, Row
from ...analysis.pipeline import read_message, words
from ...secrets.masking import mask_text
from ...wire.events import Dir
from ..screen import Line, Span
from ..text import close_code, count, escape, preview, size
from .layout import cut
from .view import View

SIGNS = {"same": " ", "changed": "~", "removed": "-", "added": "+", "moved": ">", "rechunked": "≈"}
STYLES = {
    "same": "dim",
    "changed": "yellow",
    "removed": "red",
    "added": "green",
    "moved": "magenta",
    "rechunked": "cyan",
}
ARROWS = {"c2s": "→", "s2c": "←"}
_ROOM = 30  # cells for the words, below which B's time is left out: it is A's and the shift
_PREVIEW = 400  # characters of a content that are looked at
_LABEL = 7


def sign_of(row: Row) -> str:
    return ">" if row.reordered and row.op == "same" else SIGNS[row.op]


def style_of(row: Row) -> str:
    return "magenta" if row.reordered and row.op == "same" else STYLES[row.op]


class Rows:
    """Draws rows of one diff."""

    def __init__(self, diff: Diff, view: View) -> None:
        self._diff = diff
        self._view = view
        entries = [entry for row in diff.rows for side in (row.a, row.b) for entry in side[-1:]]
        self._number = len(str(max((entry.number for entry in entries), default=0)))
        self._time = len(f"{max((entry.t for entry in entries), default=0) / 1e9:.4f}")
        shifts = [abs(row.shift) for row in diff.rows if row.shift is not None]
        self._shift = max(len(shift_text(max(shifts, default=0))), 4)
        self._conns = tuple(_first_connection(diff, side) for side in (0, 1))
        fixed = 2 + 2 * (self._number + 1) + self._shift + 1 + 2 + _LABEL + 1
        self._both_times = view.width - fixed - 2 * (self._time + 1) >= _ROOM
        self.margin = 2 + self._number  # where what belongs to a row begins

    def names(self) -> Line:
        """The names of the columns."""
        number = f"{'A':>{self._number}} {'B':>{self._number}}"
        times = [f"{'A s':>{self._time}}", *([f"{'B s':>{self._time}}"] if self._both_times else [])]
        return cut([(f"  {number} {' '.join(times)} {'Δ ms':>{self._shift}}", "dim")], self._view.width)

    def line(self, row: Row) -> Line:
        """A row, both sides in one line."""
        numbers = " ".join(f"{side[0].number if side else '':>{self._number}}" for side in (row.a, row.b))
        sides = (row.a, row.b) if self._both_times else (row.a or row.b,)
        times = " ".join(f"{f'{side[0].t / 1e9:.4f}' if side else '':>{self._time}}" for side in sides)
        shift = "" if row.shift is None else shift_text(row.shift)
        style = style_of(row)
        line: Line = [
            (f"{sign_of(row)} ", f"bold {style}" if row.differs else ""),
            (f"{numbers} {times} {shift:>{self._shift}} ", style if row.op in ("removed", "added") else "dim"),
            *self.words(row, "a" if row.a else "b"),
        ]
        return cut(line, self._view.width)

    def side(self, row: Row, side: str) -> Line:
        """A row as one side has it; an empty line where it has not."""
        entries = row.a if side == "a" else row.b
        if not entries:
            return []
        left = f"{entries[0].number:>{self._number}} {entries[0].t / 1e9:>{self._time}.4f} "
        style = style_of(row)
        return [
            (f"{sign_of(row)} ", f"bold {style}" if row.differs else ""),
            (left, style if row.op in ("removed", "added") else "dim"),
            *self.words(row, side),
        ]

    def words(self, row: Row, side: str) -> Line:
        """Direction, label and what one side says."""
        entries, contents = (row.a, self._diff.contents_a) if side == "a" else (row.b, self._diff.contents_b)
        entry = entries[0]
        style = style_of(row) if row.op != "changed" else ""
        label = "end" if entry.kind == "end" else escape(entry.label)
        first = self._conns[0 if side == "a" else 1]
        if entry.kind in ("message", "control", "close", "frame") and entry.conn != first:
            label = f"[{entry.conn}] {label}"
        if row.op == "rechunked":
            said = self._regrouped(row)
        else:
            said = says(entry, contents.get(entry.number), 2 * self._view.width, secrets=self._view.secrets)
        note = "  (another order)" if row.reordered else ""
        spans: list[Span] = [
            (f"{ARROWS[entry.dir]} ", style),
            (f"{label:<{_LABEL}} ", style),
            (said, style),
            (note, "magenta"),
        ]
        return spans

    def _regrouped(self, row: Row) -> str:
        places = f"{numbered(row.a)} | {numbered(row.b)}"
        said = says(row.a[0], self._diff.contents_a.get(row.a[0].number), self._view.width, secrets=self._view.secrets)
        return f"{len(row.a)} → {len(row.b)} messages ({places}), the same text: {said} …"


def numbered(entries: tuple[Entry, ...]) -> str:
    """4, or 4–9."""
    return f"{entries[0].number}" if len(entries) == 1 else f"{entries[0].number}–{entries[-1].number}"


def shift_text(ns: int) -> str:
    """+0.3, -105: milliseconds with a sign, in a few cells; in seconds, minutes or hours where there are many."""
    ms = round(ns / 1e6, 1) + 0.0  # no -0.0
    if abs(ms) < 10_000:
        return f"{ms:+.0f}" if abs(ms) >= 1000 else f"{ms:+.1f}"
    for unit, length in (("s", 1e3), ("min", 6e4), ("h", 3.6e6)):
        if abs(ms) < 1000 * length:
            return f"{ms / length:+.0f} {unit}"
    return f"{ms / 8.64e7:+.0f} d"


def _first_connection(diff: Diff, side: int) -> int | None:
    """The connection of the first WebSocket entry: what is on others says so."""
    for row in diff.rows:
        for entry in (row.a, row.b)[side]:
            if entry.kind in ("message", "frame"):
                return entry.conn
    return None


def place(dir: Dir, label: str) -> str:
    """→ CHUNK."""
    return f"{ARROWS[dir]} {escape(label)}"


def says(entry: Entry, content: Content | None, width: int, *, secrets: bool) -> str:
    """What an entry says, in the pipeline's words where it is a message of it; escaped, in at most `width` cells."""
    if content is None:
        return ""
    said = _said(entry, content)
    return preview(said if secrets else mask_text(said), width)


def _said(entry: Entry, content: Content) -> str:
    value = content.value
    if entry.kind == "end":
        how = content.data.decode("utf-8", "replace")
        return how.upper() if how in ("fin", "reset") else how
    if entry.kind == "close" and isinstance(value, dict):
        return f"{close_code(value.get('code') or 1005)} {value.get('reason') or ''}".rstrip()[:_PREVIEW]
    if entry.kind in ("request", "response") and isinstance(value, dict):
        said = value.get("target") if entry.kind == "request" else value.get("reason")
        fields = value.get("headers", {})
        more = fields.get("sec-websocket-extensions") or fields.get("content-type") or ""
        return f"{said or ''}  {more}".strip()[:_PREVIEW]
    if entry.kind == "frame" and isinstance(value, dict):
        return f"{count(value['length'], 'byte')}  {str(value['payload'])[:_PREVIEW]}"
    message = read_message(value) if content.is_json else None
    if message is not None:
        return words(message)[:_PREVIEW]
    if entry.label == "binary" or entry.kind in ("opaque", "frame"):
        return f"{size(len(content.data))}  {content.data[:32].hex(' ')}"
    return content.data[:_PREVIEW].decode("utf-8", "replace")
