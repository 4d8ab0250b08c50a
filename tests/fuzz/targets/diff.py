"""`diff` of two recordings from strangers. The input: two bytes that say how long the first one is, then both."""

from __future__ import annotations

from wsproxy.analysis.diff.compare import diff
from wsproxy.render.diff.jsonl import diff_objects
from wsproxy.render.diff.page import diff_lines
from wsproxy.render.diff.view import View
from wsproxy.render.jsonl import dump

from .files import MemoryFile, assert_plain, recording
from .view import TOKENS

__all__ = ["TOKENS", "check"]
_files = MemoryFile(), MemoryFile()


def check(data: bytes) -> None:
    cut = 2 + int.from_bytes(data[:2], "big")
    a, b = (recording(file, part) for file, part in zip(_files, (data[2:cut], data[cut:]), strict=True))
    made = diff(a, b)
    assert made.exit_status in (0, 1)
    for view in (View(80), View(150, beside=True, full=True)):
        assert_plain(diff_lines(made, view))
    for one in diff_objects(made):
        assert "\n" not in dump(one)
    back = diff(b, a)
    assert (back.same, len(back.rows)) == (made.same, len(made.rows))
