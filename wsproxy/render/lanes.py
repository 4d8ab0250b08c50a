"""The picture of a trace: lanes from left to right, time from top to bottom; or one chunk, step by step.

    chunk    time  wire ↑       policy       wire ↓
    #0     0.0248  ●────────────▶ ┐                       tool[0] run_sql
    #1     0.0769  ●────────────▶ ┤                       tool[0] {"que
    ⇒      0.2943                 └────────────▶ +0.0     "BLOCKED by judge …"  finish=stop

Strategy: a row per way. The time is that of its first place, each later place shows how many milliseconds after that it was reached. What a policy
merged joins at its lane, what was lost ends in ✗. Lanes share the width that the content leaves them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ..analysis.journey.matching import INVENT, MERGE, PASS, REPEAT, REWRITE
from ..analysis.journey.path import Path, Step
from ..analysis.journey.ways import DROPPED, ENDED, LANES, OWED, POLICY, WIRE_DOWN_LANE, Fold, Mark, Way
from ..analysis.pipeline import words
from ..analysis.trace import Trace, Track
from ..secrets.masking import mask_text
from .screen import PIPE_WIDTH, Line
from .text import count, escape, preview

_CELL = {lane: max(len(lane) + 1, 7) for lane in LANES}
_OWN_LINE = 40  # cells for the content, below which a lost chunk's goes below its lanes
_PLACES = {"wire.c2s": "wire ↑", "wire.s2c": "wire ↓"}
_NOTES = {
    DROPPED: "passed over by the policy",
    OWED: "no answer",
    REPEAT: "came before",
    INVENT: "of the policy's own",
    ENDED: "not read any more",
}


def trace_lines(trace: Trace, width: int, *, secrets: bool = False) -> Iterator[Line]:
    """The picture of a trace."""
    if trace.note:
        yield [(escape(trace.note), "yellow")]
    if trace.path is not None:
        yield from _path_lines(trace, trace.path, width, secrets=secrets)
        return
    for number, track in enumerate(trace.tracks, 1):
        if len(trace.tracks) > 1:
            yield [(f"attempt {number} of {len(trace.tracks)}, connection {track.conn}", "bold")]
        yield from _Picture(trace, track, width, secrets=secrets).lines()


def plain(trace: Trace) -> str:
    """The same as text."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in trace_lines(trace, PIPE_WIDTH))


class _Picture:
    """A track, drawn."""

    def __init__(self, trace: Trace, track: Track, width: int, *, secrets: bool) -> None:
        self._trace, self._track, self._width, self._secrets = trace, track, width, secrets
        rows = max(len(track.course.up.rows), 1)
        self._left = max(len(f"#{rows - 1}"), 5) + 1
        times = self._left + 10
        spare = width - times - sum(_CELL[lane] for lane in track.lanes) - 30
        more = max(min(spare // len(track.lanes), 5), 0)
        self._cells = {lane: _CELL[lane] + more for lane in track.lanes}
        self._room = max(width - times - sum(self._cells.values()), 8)
        self._joining = False  # an output of several chunks is still to come: the join is open

    def lines(self) -> Iterator[Line]:
        yield from self._head()
        merging = {
            way.out for way in self._track.entries if isinstance(way, Way) and way.chunk is None and way.kind == MERGE
        }
        for entry in self._track.entries:
            if isinstance(entry, Fold):
                yield [
                    (
                        f"{'':<{self._left}}{'':>8}  {self._bare()}… {count(entry.hidden, 'chunk')} more like these",
                        "dim",
                    )
                ]
            elif isinstance(entry, Mark):
                yield self._mark(entry)
            else:
                yield from self._way(entry, joins=entry.out in merging)
        yield from self._foot()

    def _bare(self) -> str:
        """The lanes of a row that has nothing of its own in them: only an open join."""
        return "".join(
            ("  │" if lane == POLICY and self._joining else "").ljust(size) for lane, size in self._cells.items()
        )

    def _head(self) -> Iterator[Line]:
        counts = self._track.counts
        guessed = not any(stage.startswith("policy.") for stage in counts)
        names = "".join(
            (f"({lane})" if lane == POLICY and guessed else lane).ljust(size) for lane, size in self._cells.items()
        )
        yield [(f"{'chunk':<{self._left}}{'time':>8}  {names}".rstrip(), "bold")]
        numbers = {
            "backend": counts.get("callback.backend_chunk"), "callback": counts.get("ws.sent"), "wire ↑": counts.get("wire.c2s"),
            "endpoint": counts.get("endpoint.chunk_in", counts.get("endpoint.chunk_out")), "wire ↓": counts.get("wire.s2c"),
            "policy": f"{self._track.policy.consumed}→{self._track.policy.put_out}", "client": self._at_client(),
        }  # fmt: skip
        shown = "".join(
            str(numbers[lane] if numbers[lane] is not None else "").ljust(size) for lane, size in self._cells.items()
        )
        yield [(f"{'':<{self._left}}{'chunks':>8}  {shown}".rstrip(), "dim")]

    def _at_client(self) -> int:
        names = ("callback.yielded", "client.to_client", "client.normalized", "client.control_in", "ws.received")
        return next((self._track.counts[name] for name in names if self._track.counts.get(name)), 0)

    def _mark(self, mark: Mark) -> Line:
        bare = self._bare()
        at = 0
        for lane, size in self._cells.items():
            if lane == mark.lane:
                break
            at += size
        else:
            at = 0
        label = preview(mask_text(mark.words), max(self._width - self._left - 10 - at, 8))
        bad = mark.words.startswith(("ERROR", "raised", "reset"))
        return [
            (f"{'':<{self._left}}{mark.t / 1e9:>8.4f}  ", "dim"),
            (bare[:at], "dim"),
            (label, "red" if bad else "magenta"),
            (bare[at + len(label) :].rstrip(), "dim"),
        ]

    def _way(self, way: Way, *, joins: bool) -> Iterator[Line]:
        merged = way.kind == MERGE
        label = f"#{way.chunk}" if way.chunk is not None else "⇒" if merged else "+"
        drawn, bad = self._draw(way, joins=joins)
        if merged and joins:
            self._joining = way.chunk is not None
        note = self._note(way)
        content = self._content(way)
        text = f"{note}{'  ' if note and content else ''}{content}"
        shown = preview(text, self._room)
        style = "red" if way.fate else "yellow" if note else ""
        # What matters most is worth a line of its own where the lanes leave no room for it.
        below = (way.fate is not None or way.chunk is None) and shown.endswith("…") and self._room < _OWN_LINE
        yield [
            (f"{label:<{self._left}}", "bold" if way.chunk is None else ""),
            (f"{way.t / 1e9:>8.4f}  ", "dim"),
            (drawn.rstrip() if below else drawn, "red" if bad else "cyan" if way.kind in (PASS, MERGE) else "yellow"),
            ("" if below else shown, style),
        ]
        if below:
            indent = " " * (self._left + 10)
            yield [(indent + preview(text, self._width - len(indent)), style)]

    def _draw(self, way: Way, *, joins: bool) -> tuple[str, bool]:
        order = list(self._cells)
        places = {lane: s for lane, s in way.lanes.items() if lane in self._cells}
        first = next((n for n, lane in enumerate(order) if lane in places), 0)
        last = max((n for n, lane in enumerate(order) if lane in places), default=0)
        policy = order.index(POLICY)
        starts_here = way.chunk is None and way.out is not None
        if starts_here:
            first = min(first, policy)
        elif way.kind in (MERGE, DROPPED, OWED) and not way.fate:
            last = max(last, policy)
        lost = None
        if way.fate is not None:
            ahead = {"wire.c2s": "wire ↑", "ws.sent": "callback", "wire.s2c": WIRE_DOWN_LANE}
            lane = ahead.get(way.fate.stage) or (
                "client" if way.fate.stage.startswith(("client", "callback", "ws")) else way.fate.stage.split(".")[0]
            )
            lost = order.index(lane) if lane in order else min(last + 1, len(order) - 1)
            last = max(last, lost) if lost > last else last
        cells = []
        for n, lane in enumerate(order):
            size = self._cells[lane]
            going = n < last
            if n < first or n > last:
                cell = "  │" if lane == POLICY and self._joining else ""
                cells.append(cell.ljust(size))
                continue
            if n == lost and lane not in places:
                cell = "▶✗" if n > first else "✗"
            elif n == first and starts_here and lane == POLICY:
                cell = "  └" if way.kind == MERGE else "  ●"
            elif n == first:
                cell = "●"
            elif lane == POLICY and not starts_here and way.kind in (MERGE, DROPPED, OWED):
                cell = "▶ " + (
                    ("┤" if self._joining else "┐")
                    if joins
                    else "╳"
                    if way.kind == DROPPED
                    else "?"
                    if way.kind == OWED
                    else "┤"
                )
            elif lane in places:
                since = places[lane].t - way.t
                cell = "▶●" if starts_here and not since else f"▶{_offset(since)}"
            else:
                cell = ""
            if n == lost and lane in places:
                cell += "✗"
            cells.append(cell.ljust(size, "─" if going else " "))
        return "".join(cells), way.fate is not None

    def _note(self, way: Way) -> str:
        if way.fate is not None:
            late = "" if way.fate.ms is None else f"{_offset(round(way.fate.ms * 1e6))[1:]} ms "
            return f"LOST: {late}too late" if way.fate.code.startswith("too-late") else f"LOST: {way.fate.code}"
        if way.chunk is None and way.kind == MERGE:
            return f"for {way.inputs}:"
        if way.chunk is not None and way.kind == REWRITE:
            return "rewritten:"
        return _NOTES.get(way.kind, "")

    def _content(self, way: Way) -> str:
        found = list(way.lanes.values())
        sighting = found[-1] if way.kind == REWRITE or way.chunk is None else found[0]
        message = self._trace.message(sighting.number)
        return self._mask(words(message)) if message is not None else ""

    def _mask(self, text: str) -> str:
        return text if self._secrets else mask_text(text)

    def _foot(self) -> Iterator[Line]:
        track = self._track
        if track.hops:
            yield []
            name = min(
                max(len(f"{_place(hop.before)} → {_place(hop.after)}") for hop in track.hops) + 2, self._width - 36
            )
            yield [(f"{'from → to':<{name}}{'chunks':>8}{'p50':>9}{'p95':>9}{'max':>9}  ms", "bold")]
            for hop in track.hops:
                label = preview(f"{_place(hop.before)} → {_place(hop.after)}", name - 1)
                yield [(f"{label:<{name}}", ""), (f"{hop.chunks:>8,}{hop.p50:>9.1f}{hop.p95:>9.1f}{hop.max:>9.1f}", "")]
        work = track.policy
        parts = [f"{work.consumed:,} in, {work.put_out:,} out"]
        spoken = {PASS: "passed", REWRITE: "rewritten", MERGE: "made of several", INVENT: "of its own", REPEAT: "twice"}
        parts += [f"{number:,} {spoken[kind]}" for kind, number in work.kinds.items()]
        parts += [f"{work.dropped:,} passed over"] if work.dropped else []
        parts += [f"{work.owed:,} never answered"] if work.owed else []
        parts += [f"held {work.held:,} back, for {work.held_ms:.0f} ms at most"] if work.held else []
        yield []
        yield [("policy: ", "bold"), (preview(", ".join(parts), self._width - 8), "")]
        if track.lost:
            words_ = f"{count(track.lost, 'chunk')} did not reach the client; 'wsproxy diagnose' says why"
            yield [(words_, "bold red")]


def _path_lines(trace: Trace, path: Path, width: int, *, secrets: bool) -> Iterator[Line]:
    name = f"chunk #{path.chunk} of {path.total}" if path.chunk is not None else "a chunk of the policy's own"
    yield [(name, "bold"), (f"   stream {preview(mask_text(trace.stream), max(width - len(name) - 12, 8))}", "dim")]
    yield [(f"{'step':<6}{'place':<24}{'event':>7}{'time':>10}{'+ms':>9}", "dim")]
    before: str | None = None
    for step in path.steps:
        sighting = step.sighting
        ms = "" if step.ms is None else f"{step.ms:+.1f}"
        message = trace.message(sighting.number)
        text = words(message) if message is not None else ""
        text = text if secrets else mask_text(text)
        yield [
            (f"{step.step:<6}", "bold"),
            (f"{_place(step.stage):<24}", ""),
            (f"{sighting.number:>7}{sighting.t / 1e9:>10.4f}{ms:>9}", "dim"),
            (f"  {_turned(path, step)}".rstrip(), "yellow"),
        ]
        if text != before:
            yield [("      " + preview(text, width - 6) if text else "      (no content)", "cyan")]
            before = text
    at = f"{_place(path.fate.stage)}: " if path.fate is not None else ""
    sign, style = ("✓", "green") if path.reached else ("✗", "red")
    end = path.known or "reached the client" if path.end is None else at + path.end
    text = escape(end if secrets else mask_text(end))
    for n, line in enumerate(textwrap.wrap(text, max(width - 6, 34))):
        yield [(f"{'' if n else sign:<6}", f"bold {style}"), (line, style)]


def _turned(path: Path, step: Step) -> str:
    """What the policy did, at the first place of its output."""
    if not step.out or path.turn in (None, PASS) or step is not next(one for one in path.steps if one.out):
        return ""
    if path.turn == MERGE:
        return f"for #{path.inputs[0]} to #{path.inputs[-1]}"
    return {REWRITE: "rewritten", INVENT: "of the policy's own", REPEAT: "came before"}.get(path.turn or "", "")


def _place(stage: str) -> str:
    return _PLACES.get(stage, stage)


def _offset(ns: int) -> str:
    """+0.3, +105: milliseconds, in at most six cells."""
    ms = ns / 1e6
    return f"{ms:+.1f}" if abs(ms) < 9.95 else f"{ms:+.0f}" if abs(ms) < 99_999 else f"{ms / 1000:+.0f}s"
