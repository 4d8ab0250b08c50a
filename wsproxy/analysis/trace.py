"""A stream through the six steps: all of it at a glance, or one chunk of it.

Strategy: one reading gives the journey, whose attempts become tracks; a second, short one fetches the few events whose content is shown. A chunk is
chosen by its number among the upstream chunks, by a text that it contains, or as the first that is BLOCKED.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import WsproxyError
from ..recording.events import Marker
from ..recording.messages import Message
from ..recording.view import items, when
from .journey.attempt import Attempt
from .journey.chunks import digest, unwrap
from .journey.course import Course
from .journey.path import Path, path_down, path_up
from .journey.picking import pick
from .journey.reading import Item, Source, read
from .journey.ways import Fold, Hop, Mark, PolicyWork, Way, counts, glance, hops, lanes, policy_work, ways
from .pipeline import PipelineMessage, read_message


@dataclass(frozen=True, slots=True)
class Track:
    """One attempt: its lanes, the chunks by stage, the entries of the glance, the times per hop, the policy's work."""

    conn: int | None
    course: Course = field(repr=False)
    lanes: tuple[str, ...]
    counts: dict[str, int]
    entries: tuple[Way | Mark | Fold, ...] = field(repr=False)
    hops: tuple[Hop, ...]
    policy: PolicyWork
    lost: int  # ways that ended before the client, other than by the policy's wish


@dataclass(frozen=True, slots=True)
class Trace:
    """What `trace` tells: tracks, or the path of one chunk. `items` are the events that are shown, by number."""

    stream: str
    tracks: tuple[Track, ...]
    path: Path | None
    note: str  # what there is to say beforehand: no stream, several attempts, a recording that is cut
    items: dict[int, Item] = field(default_factory=dict, repr=False)

    @property
    def exit_status(self) -> int:
        """1 when the chunk that was asked for did not reach the client."""
        return 1 if self.path is not None and not self.path.reached else 0

    def __str__(self) -> str:
        """What `wsproxy trace` prints, without colours."""
        # Looked up when somebody prints: analysis runs without a terminal and imports nothing of one.
        return str(importlib.import_module("wsproxy.render.lanes").plain(self))

    def message(self, number: int) -> PipelineMessage | None:
        """The chunk in an event that was fetched."""
        return read_message({"type": "CHUNK", "data": chunk_in(self.items.get(number))})

    def to_json(self) -> list[dict[str, Any]]:
        """What `wsproxy trace --json` prints: times in seconds, durations in milliseconds."""
        return list(self.json_lines())

    def json_lines(self) -> Iterator[dict[str, Any]]:
        """The same, one after the other: of a long stream they are many."""
        if self.path is not None:
            yield from _path_json(self, self.path)
            return
        if not self.tracks:
            yield {"kind": "trace", "stream": self.stream, "attempts": 0, "note": self.note}
        for number, track in enumerate(self.tracks, 1):
            work = track.policy
            yield {
                "kind": "trace", "stream": self.stream, "attempt": number, "attempts": len(self.tracks), "conn": track.conn,
                "lanes": list(track.lanes), "chunks": track.counts, "lost": track.lost, "note": self.note or None,
                "policy": {
                    "consumed": work.consumed, "put_out": work.put_out, **work.kinds, "dropped": work.dropped,
                    "owed": work.owed, "held": work.held, "held_ms": round(work.held_ms, 3),
                },
            }  # fmt: skip
            yield from (
                {"kind": "hop", "attempt": number, "from": hop.before, "to": hop.after, "count": hop.chunks,
                 "p50_ms": round(hop.p50, 3), "p95_ms": round(hop.p95, 3), "max_ms": round(hop.max, 3)}
                for hop in track.hops
            )  # fmt: skip
            yield from (_way_json(number, way) for way in ways(track.course))


def _way_json(attempt: int, way: Way) -> dict[str, Any]:
    return {
        "kind": "chunk", "attempt": attempt, "t": _seconds(way.t), "chunk": way.chunk, "output": way.out, "turn": way.kind,
        "inputs": way.inputs, "places": {lane: _seconds(s.t) for lane, s in way.lanes.items()},
        "fate": way.fate.code if way.fate else None, "late_ms": round(way.fate.ms, 3) if way.fate and way.fate.ms is not None else None,
    }  # fmt: skip


def _path_json(trace: Trace, path: Path) -> list[dict[str, Any]]:
    head = {
        "kind": "path", "stream": trace.stream, "chunk": path.chunk, "chunks": path.total, "turn": path.turn,
        "inputs": list(path.inputs), "reached": path.reached, "fate": path.fate.code if path.fate else None, "end": path.end,
        "late_ms": round(path.fate.ms, 3) if path.fate and path.fate.ms is not None else None,
    }  # fmt: skip
    steps = []
    for step in path.steps:
        s = step.sighting
        chunk = chunk_in(trace.items.get(s.number))
        steps.append({
            "kind": "step", "step": step.step, "stage": step.stage, "number": s.number, "t": _seconds(s.t),
            "ms": None if step.ms is None else round(step.ms, 3), "index": s.index, "output": step.out,
            "digest": digest(chunk), "error_ns": s.error_ns,
        })  # fmt: skip
    return [head, *steps]


def _seconds(ns: int) -> float:
    return round(ns / 1e9, 9)


def chunk_in(item: Any) -> Any:
    """The chunk that a message or a marker holds, or None."""
    return unwrap(item.json if isinstance(item, Message) else item.data if isinstance(item, Marker) else None)


def trace(recording: Source, *, chunk: int | None = None, grep: str | None = None, blocked: bool = False) -> Trace:
    """Trace a stream, or one chunk of it.

    Args:
        chunk: the number of an upstream chunk, from 0.
        grep: the first chunk that contains this text.
        blocked: the first output whose text starts with BLOCKED.

    Raises:
        WsproxyError: there is no such chunk.
    """
    journey = read(recording)
    courses = [Course(attempt) for attempt in journey.attempts]
    note = _note(journey.cut, len(courses), journey.exchanges, journey.gaps != [])
    if chunk is None and grep is None and not blocked:
        tracks = tuple(_track(course) for course in courses)
        numbers = [
            number
            for track in tracks
            for entry in track.entries
            if isinstance(entry, Way)
            for number in _numbers(entry)
        ]
        return Trace(journey.stream, tracks, None, note, pick(recording, numbers))
    path = _chosen(recording, courses, chunk, grep)
    return Trace(journey.stream, (), path, note, pick(recording, [step.sighting.number for step in path.steps]))


def _track(course: Course) -> Track:
    attempt: Attempt = course.attempt
    work = policy_work(course)
    lost = 0

    def counted() -> Iterator[Way]:
        nonlocal lost
        for way in ways(course):
            lost += way.fate is not None
            yield way

    entries = tuple(glance(course, counted()))
    return Track(
        conn=attempt.conn,
        course=course,
        lanes=lanes(course),
        counts=counts(course),
        entries=entries,
        hops=tuple(hops(course)),
        policy=work,
        lost=lost + work.owed,
    )


def _numbers(way: Way) -> list[int]:
    """The events whose content stands for a way: its first and, if the policy changed it, its last."""
    found = list(way.lanes.values())
    return [found[0].number, found[-1].number] if found else [way.number]


def _note(cut: str | None, attempts: int, exchanges: int, gaps: bool) -> str:
    notes = []
    if not attempts:
        notes.append(
            f"no stream in this recording: {exchanges:,} HTTP exchanges" if exchanges else "no stream in this recording"
        )
    if attempts > 1:
        notes.append(f"{attempts} connections for this stream: each is shown")
    if gaps:
        notes.append("the recorder lost events: what is missing may have been there")
    if cut:
        notes.append(
            "a relay is writing this recording now"
            if cut == "open"
            else f"the recording is {cut}: its end may be missing"
        )
    return "; ".join(notes)


def _chosen(recording: Source, courses: list[Course], chunk: int | None, grep: str | None) -> Path:
    carrying = [course for course in courses if course.up.rows or course.down.rows]
    if not carrying:
        raise WsproxyError("there are no chunks in this recording; 'wsproxy show' shows what there is")
    if chunk is not None:
        course = carrying[-1]
        total = len(course.up) - len(course.up.extra)
        if not 0 <= chunk < total:
            there = f"its upstream chunks are #0 to #{total - 1}" if total else "it has no upstream chunks"
            raise WsproxyError(f"no chunk #{chunk} in this stream: {there}")
        return path_up(course, chunk)
    if grep is not None:
        number = _find(recording, grep)
        for course in carrying:
            for down, chain in ((False, course.up), (True, course.down)):
                row = next((row for row in range(len(chain)) if chain.number_in(row, number)), None)
                if row is not None:
                    return path_down(course, row) if down else path_up(course, row)
        raise WsproxyError(f"no chunk contains {grep!r}; what spans several chunks is in none of them")
    for course in reversed(carrying):
        if course.blocked is not None:
            return path_down(course, course.blocked)
    raise WsproxyError(
        "no BLOCKED chunk was seen, on the wire or in a marker; policy.* marks would show one that was "
        "never sent ('wsproxy diagnose' knows more)"
    )


def _find(recording: Source, text: str) -> int:
    """The event of the earliest chunk that contains a text: in its content, or in its JSON."""
    best: tuple[int, int] | None = None
    for number, item in items(recording.events()):
        if not isinstance(item, Message | Marker) or (best is not None and when(item) >= best[0]):
            continue
        chunk = chunk_in(item)
        if not isinstance(chunk, dict) or (isinstance(item, Message) and item.data.find(b"CHUNK", 0, 64) < 0):
            continue
        message = read_message({"type": "CHUNK", "data": chunk})
        spoken = (
            "" if message is None else (message.text or "") + "".join(call.arguments for call in message.tool_calls)
        )
        if text in spoken or text in json.dumps(chunk, ensure_ascii=False, default=repr):
            best = (when(item), number)
    return best[1] if best else 0


__all__ = ["Trace", "Track", "chunk_in", "trace"]
