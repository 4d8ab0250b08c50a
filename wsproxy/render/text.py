"""Text from the network made safe to show, cut to width, and numbers for people.

Strategy: what a terminal could act upon (C0 and C1 controls, bidirectional overrides, separators, invisible
characters, noncharacters, lone surrogates) becomes a visible escape. `escape` is the only door from a payload to the screen.
"""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size

_NONCHARACTERS = "".join(chr(plane << 16 | end) for plane in range(1, 14) for end in (0xFFFE, 0xFFFF))
# Controls, DEL, C1, soft hyphen, Arabic letter mark, zero-width and bidi marks, line/paragraph separators, bidi isolates, BOM, interlinear
# annotation, surrogates, private use, tags and variation selectors beyond the BMP, noncharacters.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufdd0-\ufdef"
    "\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\ue000-\uf8ff\U000e0000-\U0010ffff" + _NONCHARACTERS + "]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x00": "\\0", "\x1b": "\\e"}


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape(text: str, *, lines: bool = False) -> str:
    """Text that shows itself and does nothing else.

    Args:
        lines: keep line feeds, for text that is shown over several lines.
    """
    if lines:
        return "\n".join(_UNSAFE.sub(_escaped, line) for line in text.split("\n"))
    return _UNSAFE.sub(_escaped, text)


def preview(text: str, width: int) -> str:
    """The start of a text on one line, escaped, in at most `width` cells."""
    if width <= 0:
        return ""
    shown = escape(text[: width + 1])  # every character has at least one cell once escaped, or is combining
    if cell_len(shown) <= width and len(text) <= width + 1:
        return shown
    return set_cell_size(shown, max(width - 1, 0)).rstrip() + "…"


def size(count: int) -> str:
    """Bytes for people: 17 B, 4.1 KiB, 2.0 MiB."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"


def seconds(value: float) -> str:
    """A duration for people: 0.171 s, 12.3 s, 4 min 10 s."""
    if value < 10:
        return f"{value:.3f} s"
    if value < 100:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def count(number: int, noun: str) -> str:
    """1 frame, 2 frames."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


CLOSE_CODES = {
    1000: "normal",
    1001: "going away",
    1002: "protocol error",
    1003: "unsupported data",
    1005: "no code",
    1006: "abnormal",
    1007: "bad data",
    1008: "policy violation",
    1009: "message too big",
    1010: "missing extension",
    1011: "internal error",
    1012: "service restart",
    1013: "try again later",
    1014: "bad gateway",
    1015: "TLS failure",
}


def close_code(code: int) -> str:
    """1000 (normal): the code with its meaning (RFC 6455, 7.4.1, and the IANA registry)."""
    meaning = CLOSE_CODES.get(code) or (
        "registered" if 3000 <= code < 4000 else "private" if 4000 <= code < 5000 else "invalid"
    )
    return f"{code} ({meaning})"
