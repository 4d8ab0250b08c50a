"""One chunk through the six steps: the time at each, what changed, and where it ends.

Strategy: the chunk's row on the way up, the output that the policy made of it, that output's row on the way down; between them the places where
it would have been seen, and was not, end the path with a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ... import stages
from .attempt import STEPS, WIRE_DOWN, Note
from .chunks import missing
from .course import Course
from .fates import Fate, fates_down, fates_up
from .sightings import Sighting

ENDS = {
    "chunk-not-forwarded": "the callback never forwarded it",
    "not-read-by-endpoint": "the endpoint never read it",
    "not-read-by-policy": "the policy never got it",
    "too-late-never-sent": "it is on no wire: {late} too late, the client had stopped listening at {stop}",
    "too-late-on-wire": "nobody read it: {late} too late, the client had stopped listening at {stop}",
    "arrived-not-read": "by all signs nobody read it: the client went on to send its own END",
    "failed-validation": "it failed the client's validation",
    "delivered-not-consumed": "the callback never took it",
    "undelivered": "the client did not take it off the connection",
    "not-sent-by-endpoint": "the endpoint never sent it",
    "sent-not-on-wire": "it was never on the wire",
    "not-received": "the callback never received it",
    "not-yielded": "it was never handed to the client",
}


class Step(NamedTuple):
    """The chunk at one stage: `step` is 1 to 6, `ms` since the stage before, `out` whether it is the policy's output by now."""

    step: int
    stage: str
    sighting: Sighting
    ms: float | None
    out: bool


@dataclass(frozen=True, slots=True)
class Path:
    """A chunk's path. `chunk` is its upstream number, None for one that the policy made of nothing.

    `turn` is what the policy did, `inputs` the upstream chunks that its output stands for, `end` the sentence that says where it ended (None when it
    reached the client), `fate` the code of that.
    """

    chunk: int | None
    total: int
    steps: tuple[Step, ...]
    turn: str | None
    inputs: tuple[int, ...]
    fate: Fate | None
    end: str | None
    known: str | None  # what could not be known of a chunk that seems to have arrived

    @property
    def reached(self) -> bool:
        """Whether it reached the client, as far as anybody looked."""
        return self.end is None


def path_up(course: Course, row: int) -> Path:
    """The path of an upstream chunk."""
    return _path(course, row, course.answer_of.get(row))


def path_down(course: Course, row: int) -> Path:
    """The path of an output, with the last of the chunks that it stands for."""
    inputs = course.inputs(row)
    return _path(course, inputs[-1] if inputs else None, row)


def _path(course: Course, up: int | None, down: int | None) -> Path:
    seen: list[tuple[str, Sighting, bool]] = []
    if up is not None:
        seen += [
            (stage, s, False) for stage, s in zip(course.up.stages, course.up.rows[up], strict=True) if s is not None
        ]
    if down is not None:
        seen += [
            (stage, s, True)
            for stage, s in zip(course.down.stages, course.down.rows[down], strict=True)
            if s is not None
        ]
    steps = []
    previous: int | None = None
    for stage, sighting, out in seen:
        ms = None if previous is None else (sighting.t - previous) / 1e6
        steps.append(Step(STEPS[stage], stage, sighting, ms, out))
        previous = sighting.t
    turn = course.turn_of.get(down) if down is not None else None
    fate = fates_down(course).get(down) if down is not None else fates_up(course).get(up) if up is not None else None
    inputs = tuple(course.inputs(down)) if down is not None else ()
    chunk = up if up is not None and up not in course.up.extra else None
    end = _end(course, up, down, fate)
    known = _known(course) if end is None else None
    total = len(course.up) - len(course.up.extra)
    return Path(chunk, total, tuple(steps), turn.kind if turn else None, inputs, fate, end, known)


def _end(course: Course, up: int | None, down: int | None, fate: Fate | None) -> str | None:
    stop = course.stop
    at = f"{stop.t / 1e9:.4f} s (event {stop.number})" if stop else ""
    if fate is not None:
        late = f"{fate.ms:.1f} ms" if fate.ms is not None and fate.ms < 9.95 else f"{fate.ms or 0:.0f} ms"
        told = ENDS[fate.code].format(late=late, stop=at)
        note = course.rejected.get(down) if down is not None else None
        return f"{told}: {reason(note, course.down.first(down))}" if note and down is not None else told
    if down is not None:
        return None
    if up is None or course.up.cell(up, -1) is None:
        return "it was not read any more: the control plane had ended" if course.over else "it was seen no further"
    if up in course.passed_over:
        return "the policy took it, put nothing out for it, and answered later ones"
    over = course.over
    if over is not None and (stop is None or over.t < stop.t):
        return f"the policy put nothing out for it; the control plane ended at {over.t / 1e9:.4f} s"
    if stop is not None:
        waited = (stop.t - course.consumed(up).t) / 1e6
        return f"the control plane never answered it: the client stopped listening {waited:.0f} ms later, at {at}"
    return "the control plane had not answered it when the recording ends"


def reason(note: Note, chunk: Sighting) -> str:
    """Why a chunk failed the client's validation: the fields that it lacks, else what the marker says."""
    named = note.data.get("missing")
    fields = named if isinstance(named, list) else missing(chunk.flags) if chunk.essence else ()
    return f"no {', '.join(fields)}" if fields else str(note.data.get("error") or "no reason was given")


def _known(course: Course) -> str | None:
    """What no evidence tells of a chunk that seems to have arrived."""
    if course.down.stages and course.down.stages[-1] == WIRE_DOWN:
        return "it went down the wire in time; what the callback did with it client.* marks would tell"
    if (
        not course.wired
        and course.down.stages
        and course.down.stages[-1] in (stages.POLICY_CHUNK_OUT, stages.ENDPOINT_CHUNK_OUT)
    ):
        return "it was put out; whether it was sent and read, frames and client.* marks would tell"
    return None
