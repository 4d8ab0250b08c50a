"""Draws the pictures of the README: what `wsproxy diff` prints of the samples, as SVG.

    python -m tests.render.make_pictures            writes recordings/samples/*.svg
    python -m tests.render.make_pictures --check    says whether they are what would be written; exit status 1 if not

The lines are those of the command, span by span. The picture asks for a font of the reader's machine and loads nothing.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

import wsproxy
from wsproxy.analysis.diff.compare import diff
from wsproxy.render.diff.page import diff_lines
from wsproxy.render.diff.view import View

from ..analysis.stories import SAMPLES

PAIR = ("blocked-delivered", "blocked-lost")
PICTURES = {"diff": View(80), "diff-side-by-side": View(150, beside=True)}

_THEME = TerminalTheme(
    (24, 26, 31),
    (214, 217, 222),
    [(60, 64, 72), (240, 113, 120), (126, 200, 120), (229, 192, 96), (110, 170, 240), (200, 140, 220), (98, 196, 206), (214, 217, 222)],
    [(110, 116, 126), (250, 140, 145), (150, 220, 145), (245, 210, 120), (140, 190, 250), (220, 165, 240), (125, 215, 225), (255, 255, 255)],
)  # fmt: skip
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
  <style>
  .{unique_id}-matrix {{
    font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
    font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
  }}
  {styles}
  </style>
  <defs>
  <clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
  {lines}
  </defs>
  {chrome}
  <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
  {backgrounds}
  <g class="{unique_id}-matrix" xml:space="preserve">
  {matrix}
  </g>
  </g>
</svg>
"""


def picture(name: str) -> str:
    """The SVG of one picture."""
    view = PICTURES[name]
    a, b = (wsproxy.open(SAMPLES / f"{recording}.msgpack") for recording in PAIR)
    names = (f"{PAIR[0]}.msgpack", f"{PAIR[1]}.msgpack")
    shown = View(view.width, view.beside, names=names)
    console = Console(record=True, width=view.width, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(Text("$ wsproxy diff blocked-delivered.msgpack blocked-lost.msgpack", style="bold"))
    for line in diff_lines(diff(a, b), shown):
        console.print(Text.assemble(*line), soft_wrap=True)
    return console.export_svg(title="wsproxy diff", theme=_THEME, code_format=_FORMAT, unique_id="wsproxy-" + name)


def outdated() -> Iterator[str]:
    """The pictures that are not what would be written."""
    for name in PICTURES:
        path = SAMPLES / f"{name}.svg"
        if not path.exists() or path.read_text() != picture(name):
            yield path.name


if __name__ == "__main__":
    if "--check" in sys.argv:
        found = list(outdated())
        print("\n".join(found))
        sys.exit(bool(found))
    for one in PICTURES:
        (SAMPLES / f"{one}.svg").write_text(picture(one))
