"""Where B lost or won its time, and which stages were seen otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from ...analysis.diff.model import Diff, HopTime, Row
from ..screen import Line
from ..text import escape, seconds
from .layout import cut, wrapped
from .rows import place
from .view import View

_GAPS = 3  # that are named
_STAGES = 8
_MS = 1.0  # by which a hop must differ,
_PART = 0.2  # and by this part of the longer one


def time_lines(diff: Diff, view: View) -> Iterator[Line]:
    """The time as a whole, its longest gaps, its hops; nothing where it is alike."""
    gaps = sorted((row for row in diff.rows if row.gap is not None), key=lambda row: -abs(row.gap or 0))
    late = diff.b.duration - diff.a.duration
    if gaps or abs(late) > diff.options.tolerance:
        parts = [f"{seconds(diff.a.duration / 1e9)} in A, {seconds(diff.b.duration / 1e9)} in B"]
        parts += [_gap(row) for row in gaps[:_GAPS]]
        parts += [f"and {len(gaps) - _GAPS:,} more"] if len(gaps) > _GAPS else []
        yield from wrapped([("time   ", "bold"), ("; ".join(parts), "")], view.width, 7)
    named = False
    for hop in telling(diff.hops):
        title = "" if named else "hops"
        named = True
        line = [
            (f"{title:<7}", "bold"),
            (f"{escape(hop.before)} → {escape(hop.after)}: {hop.a:,.1f} → {hop.b:,.1f} ms", ""),
        ]
        yield cut([*line, (f"  ({hop.b - hop.a:+,.1f}, median)", "dim")], view.width)


def _gap(row: Row) -> str:
    gap = row.gap or 0
    entry = row.entry
    label = "end" if entry.kind == "end" else entry.label
    where = f"{place(entry.dir, label)} ({row.a[0].number}|{row.b[0].number})"
    return f"{'B' if gap > 0 else 'A'} waited {abs(gap) / 1e6:,.0f} ms longer before {where}"


def telling(hops: list[HopTime]) -> list[HopTime]:
    """Those that changed so much that it says something, the largest first."""
    found = [hop for hop in hops if abs(hop.b - hop.a) >= max(_MS, _PART * max(hop.a, hop.b))]
    return sorted(found, key=lambda hop: -abs(hop.b - hop.a))


def stage_lines(diff: Diff, view: View) -> Iterator[Line]:
    """The stages that were not seen as often on one side."""
    for at, stage in enumerate(diff.stages if view.full else diff.stages[:_STAGES]):
        title = "" if at else "stages"
        style = "red" if not stage.b else "green" if not stage.a else "yellow"
        yield cut([(f"{title:<7}", "bold"), (f"{escape(stage.name)}  {stage.a:,} → {stage.b:,}", style)], view.width)
    if not view.full and len(diff.stages) > _STAGES:
        yield [(f"       … {len(diff.stages) - _STAGES:,} more stages", "dim")]
