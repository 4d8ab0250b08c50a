"""How far the reading has come: a bar in a terminal, for whoever waits longer than a second.

Strategy: a recording tells how many of its bytes were read, block by block; until a second has passed that costs one look at the clock a block.
The bar stands on standard error, on a line of its own, and is gone before anything else is written there. It is not drawn where it could stand
between other things: where standard error is no terminal, or one that cannot erase a line, and where the output goes into a pipe, whose other
end may be a pager on the same terminal. Where the output is the terminal itself, its first line ends the bar for good. It has no colours.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

import click

from ..recording.reader import Recording
from ..render.text import size as bytes_text

PATIENCE = 1.0  # seconds until there is a bar
EVERY = 0.1  # seconds between two pictures of it
_CELLS = 30
_ERASE = "\r\x1b[K"
_NEVER = float("inf")

_Shown = TypeVar("_Shown")


class Progress:
    """The bar of one command; as a context it is gone when that ends, however it ends.

    Args:
        recordings: how many are read, if they are more than one.
    """

    def __init__(self, recordings: int = 1) -> None:
        self._recordings = recordings
        self._finished = 0
        self._next = time.monotonic() + PATIENCE if _can_be_seen() else _NEVER
        self._drawn = False

    def watch(self, recording: Recording) -> Recording:
        """The same recording, whose readings are followed."""
        if self._next < _NEVER:
            length = max(os.path.getsize(recording.path), 1)
            recording.on_read = lambda done: self._at(done, length)
        return recording

    def finish_one(self, _: object = None) -> None:
        """One of several recordings is read."""
        self._finished += 1
        self._at(0, 1)

    def until_shown(self, lines: Iterable[_Shown]) -> Iterator[_Shown]:
        """The same lines, for who is about to print them one by one."""
        for line in lines:
            self.shows()
            yield line

    def says(self, sentence: str) -> None:
        """Write a line on standard error, where the bar stands."""
        if self._drawn:
            self._drawn = False
            self._write(_ERASE)
        click.echo(sentence, err=True)

    def shows(self) -> None:
        """Something is about to be printed on standard output."""
        if self._next < _NEVER and sys.stdout.isatty():
            self.close()

    def close(self) -> None:
        """Take the bar away; it does not come again."""
        self._next = _NEVER
        if self._drawn:
            self._drawn = False
            self._write(_ERASE)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _at(self, done: int, length: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY
        part = min(done / length, 1.0)
        if self._recordings > 1:
            part = min((self._finished + part) / self._recordings, 1.0)
            words = f"{self._finished:,} of {self._recordings:,} recordings"
        else:
            words = f"{bytes_text(done)} of {bytes_text(length)}"
        full = round(part * _CELLS)
        line = f"[{'#' * full}{'.' * (_CELLS - full)}] {part:4.0%}  {words}"
        self._drawn = True
        self._write(_ERASE + line[: os.get_terminal_size(sys.stderr.fileno()).columns - 1])

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:  # the terminal is gone: there is nobody to tell
            self._next = _NEVER


def _can_be_seen() -> bool:
    """Whether a bar would be seen, and would stand alone on its line."""
    try:
        piped = not stat.S_ISREG(mode := os.fstat(sys.stdout.fileno()).st_mode) and not stat.S_ISCHR(mode)
        return sys.stderr.isatty() and not piped and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")
    except (OSError, ValueError):  # an output without a descriptor, as in a test that captures it
        return False
