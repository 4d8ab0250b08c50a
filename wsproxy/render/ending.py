"""How a recording ends, said under a listing where it is not the ordinary way."""

from __future__ import annotations

from collections.abc import Iterator

from ..recording.reader import Ending
from .screen import Line
from .text import size

_WORDS = {
    "open": "recording goes on: a relay is writing this file",
    "unfinished": "cut off: no trailer; the relay was killed. Every event above is whole",
    "torn": "cut off inside an event: the relay was killed. Every event above is whole",
    "damaged": "damaged",
}


def ending_lines(ending: Ending) -> Iterator[Line]:
    """Nothing for a finished recording, one line for any other."""
    if ending.state == "finished":
        return
    words = _WORDS[ending.state]
    if ending.state == "damaged":
        words += f" at byte {ending.offset:,}: {ending.reason}; {size(ending.left)} from there on cannot be read"
    elif ending.left:
        words += f" ({size(ending.left)} behind byte {ending.offset:,} are not)"
    yield [("      " + words, "dim" if ending.state == "open" else "yellow")]
