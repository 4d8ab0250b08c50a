"""Several recordings compared with the first: a line each, and which of them are alike.

Strategy: two are alike when they differ from A in the same places by the same values, times and renamed ids aside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...analysis.diff.essence import says
from ...analysis.diff.model import Diff, Row
from ..screen import Line
from ..text import escape, preview
from .head import side_lines
from .layout import cut, wrapped
from .view import View

_NAME = 36  # cells of a name at most


@dataclass(frozen=True, slots=True)
class Compared:
    """One of the recordings, as far as it is needed after its diff is gone."""

    name: str
    stream: str
    essence: str
    same: bool
    group: str

    @classmethod
    def of(cls, diff: Diff, name: str) -> Compared:
        return cls(name, diff.b.stream, diff.essence, diff.same, likeness(diff))


def likeness(diff: Diff) -> str:
    """What two diffs from one A share when they are alike."""
    if diff.same:
        return "same"
    rows = sorted(json.dumps(_described(diff, row), default=str) for row in diff.differences)
    stages = [[stage.name, stage.b] for stage in diff.stages]
    return json.dumps([rows, stages, diff.b.closer])


def _described(diff: Diff, row: Row) -> list[Any]:
    entry = row.entry
    described: list[Any] = [row.op, row.reordered, entry.dir, entry.kind, entry.label]
    if row.a:
        described.append([one.number for one in row.a])
    if row.op == "added":
        described.append(says(entry, diff.contents_b.get(entry.number)))
    if row.op == "rechunked":
        described.append(len(row.b))
    return [*described, [[change.op, change.path, change.b] for change in row.changes]]


def head_of_many(diff: Diff, view: View) -> Iterator[Line]:
    """What all others are compared with."""
    yield from side_lines("A", view.names[0] or diff.a.path, diff.a, view.width)
    yield []


def compared_line(one: Compared, view: View) -> Line:
    """One of the others, in one line."""
    name = escape(one.name)
    room = min(_NAME, view.width // 3)
    shown = "…" + name[-(room - 1) :] if len(name) > room else name
    sign: Line = [("=  ", "green")] if one.same else [("≠  ", "bold yellow")]
    stream = f"{preview(one.stream[:8] or '-', 8):<8}  "
    return cut([*sign, (f"{shown:<{room}}  ", "bold"), (stream, "dim"), (escape(one.essence), "")], view.width)


def group_lines(found: list[Compared], view: View) -> Iterator[Line]:
    """Which of them are alike."""
    groups: dict[str, list[Compared]] = {}
    for one in found:
        groups.setdefault(one.group, []).append(one)
    yield []
    yield [(f"{len(groups):,} {'kind' if len(groups) == 1 else 'kinds'} among {len(found):,} recordings", "bold")]
    for number, members in enumerate(sorted(groups.values(), key=lambda some: -len(some)), 1):
        head: Line = [(f"{number}.  {len(members):,} × ", "bold"), (escape(members[0].essence), "")]
        yield from wrapped(head, view.width, 4)
        names = ", ".join(escape(one.name) for one in members)
        yield from (
            wrapped([("    ", ""), (names, "dim")], view.width, 4)
            if view.full
            else [cut([("    ", ""), (names, "dim")], view.width)]
        )


def group_objects(found: list[Compared]) -> Iterator[dict[str, Any]]:
    """The same for programs."""
    groups: dict[str, list[Compared]] = {}
    for one in found:
        groups.setdefault(one.group, []).append(one)
    for members in sorted(groups.values(), key=lambda some: -len(some)):
        yield {
            "kind": "group", "same": members[0].same, "count": len(members), "essence": members[0].essence,
            "recordings": [one.name for one in members],
        }  # fmt: skip
