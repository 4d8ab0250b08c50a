"""Where output goes: a terminal with a width and colours, or a pipe with neither; and the pager.

Strategy: a line is a list of (text, style) spans. In a terminal they are rendered with rich's styles, in a pipe as plain text. Meaning is never
in the colour alone. Rich decides about colour (NO_COLOR, TERM, FORCE_COLOR), the pager is the user's $PAGER.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from typing import IO, TypeAlias

from rich.console import Console
from rich.style import Style

Span: TypeAlias = tuple[str, str]
Line: TypeAlias = list[Span]

PIPE_WIDTH = 120  # cells of a line where there is no terminal to ask


class Screen:
    """Prints lines of spans.

    Args:
        file: where to; standard output by default.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        self._file = sys.stdout if file is None else file
        self._console = Console(file=self._file, highlight=False)
        self.is_terminal = self._console.is_terminal
        self._colors = None if self._console.no_color else self._console._color_system
        self.width = self._console.width if self.is_terminal else PIPE_WIDTH
        self.height = self._console.height

    def text(self, line: Line) -> str:
        """A line as the characters that are written."""
        if not self.is_terminal or self._colors is None:
            return "".join(text for text, _ in line)
        return "".join(
            _style(style).render(text, color_system=self._colors) if style and text else text for text, style in line
        )

    def print(self, line: Line) -> None:
        """Write one line."""
        self.write(self.text(line))

    def write(self, text: str) -> None:
        """Write a line that is text already."""
        self._file.write(text + "\n")

    def flush(self) -> None:
        self._file.flush()

    def page(self, lines: Iterable[Line]) -> None:
        """Write lines, through a pager where a terminal cannot hold them all."""
        if not self.is_terminal:
            for line in lines:
                self.print(line)
            return
        import click

        held: list[str] = []
        iterator = iter(lines)
        for line in iterator:
            held.append(self.text(line))
            if len(held) >= self.height - 1:

                def rest() -> Iterable[str]:
                    for text in held:
                        yield text + "\n"
                    for line in iterator:
                        yield self.text(line) + "\n"

                click.echo_via_pager(rest(), color=self._colors is not None)
                return
        for text in held:
            self._file.write(text + "\n")


@lru_cache(maxsize=64)
def _style(style: str) -> Style:
    return Style.parse(style)
