"""How many of what differ: a line per direction and label, a column per kind of difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

from ...analysis.diff.model import Diff, Op
from ..screen import Line
from ..text import preview
from .layout import padded
from .rows import STYLES, place
from .view import View

OPS: tuple[Op, ...] = get_args(Op)
_NAME = 18


def counts(diff: Diff) -> dict[tuple[Any, str], Counter[str]]:
    """By direction and label, in the order in which they were first seen."""
    found: dict[tuple[Any, str], Counter[str]] = {}
    for row in diff.rows:
        label = "end" if row.entry.kind == "end" else row.entry.label
        op = "moved" if row.reordered and row.op == "same" else row.op
        found.setdefault((row.entry.dir, label), Counter())[op] += 1
    return found


def stat_lines(diff: Diff, view: View) -> Iterator[Line]:
    """The table, and its sums."""
    yield [(f"{'':<{_NAME}}" + "".join(f"{op:>10}" for op in OPS), "dim")]
    total: Counter[str] = Counter()
    for (dir, label), found in counts(diff).items():
        total += found
        yield _line(preview(place(dir, label), _NAME - 1), found)
    yield _line("all", total)


def _line(name: str, found: Counter[str]) -> Line:
    cells = [(f"{found[op]:>10,}" if found[op] else f"{'·':>10}", STYLES[op] if found[op] else "dim") for op in OPS]
    return [*padded([(name, "bold" if name == "all" else "")], _NAME), *cells]


def stat_objects(diff: Diff) -> Iterator[dict[str, Any]]:
    """The same for programs."""
    for (dir, label), found in counts(diff).items():
        yield {"kind": "stat", "dir": dir, "label": label, **{op: found[op] for op in OPS}}
