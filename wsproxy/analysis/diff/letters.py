"""What a reader takes for one unit of text: words, white space, and characters that stand for themselves.

Strategy: one regular expression. That of ASCII is three alternatives; the full one knows marks (built once, from the Unicode tables,
when the first text needs it: 10 ms), scripts that write without spaces, and what joins emoji.
The units of a text, joined, are the text.

Cost: O(n), 0.1 µs per character.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

NEAR = 512  # characters around a boundary that are looked at

_ASCII = re.compile(r"\w+|\s+|.", re.ASCII | re.DOTALL)

# Written without spaces: Thai, Lao, Tibetan, Myanmar, Khmer; kana, bopomofo, Han, Yi; halfwidth kana; Han of the higher planes.
_ALONE = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fff\u3005-\u312f\u31a0-\u4dbf\u4e00-\ua4cf"
    "\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
_FLAG = "\U0001f1e6-\U0001f1ff"  # regional indicators: two make a flag
_SKIN = "\U0001f3fb-\U0001f3ff"
_TAGS = "\U000e0020-\U000e007f\U000e0100-\U000e01ef"  # of flags such as Scotland's; variation selectors of Han
_JOINERS = "\u200c\u200d"


@cache
def _unicode() -> re.Pattern[str]:
    marks = "".join(chr(n) for n in range(0x300, 0x1F000) if unicodedata.category(chr(n))[0] == "M")
    extend = f"[{marks}{_JOINERS}{_SKIN}{_TAGS}]"
    letter = rf"[^\W{_ALONE}]"
    return re.compile(
        rf"{letter}+(?:{extend}+{letter}*)*"
        rf"|\s+{extend}*"
        rf"|[{_FLAG}]{{2}}{extend}*"
        rf"|.(?:\u200d[^\s\w]|{extend})*",
        re.DOTALL,
    )


def tokens(text: str) -> list[str]:
    """The units of a text, in order; joined they are the text."""
    return (_ASCII if text.isascii() else _unicode()).findall(text)


def whole_tokens_before(a: str, b: str, length: int) -> int:
    """How much of the first `length` characters, which both texts share, ends where a unit ends in both."""
    if length == len(a) == len(b):
        return length
    start = max(0, length - NEAR)
    near = tokens(a[start:length])
    return length - len(near[-1]) if near else length


def whole_tokens_after(a: str, b: str, length: int, least: int) -> int:
    """How much of the last `length` characters, which both texts share, begins where a unit begins in both.

    The first units may be the ends of longer ones. What follows the first that is plain (white space, a word, one character
    that joins nothing) begins a unit for sure.
    """
    if length in (len(a) - least, len(b) - least) and len(a) == len(b):
        return length
    start = len(a) - length
    for unit in tokens(a[start : start + NEAR]):
        start += len(unit)
        if unit.isspace() or (len(unit) == 1 and unit.isprintable() and not _joins(unit)):
            break
    return len(a) - start


def _joins(char: str) -> bool:
    return (char.isalnum() and ord(char) < 0x0E00) or unicodedata.category(char)[0] in "MC" or char >= "\U0001f1e6"
