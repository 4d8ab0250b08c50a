"""Chunks that were lost on their way, told by where they were seen last.

Strategy: the fates of a course are grouped by code; each group is one finding, told by its first chunk. A code has a row in `_TELL`: the function
that makes its sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ... import stages
from ...wire.events import C2S, S2C
from ..journey.attempt import WIRE_DOWN, WIRE_UP, Journey
from ..journey.chunks import AFTER_CLOSE, missing
from ..journey.course import Course
from ..journey.fates import Fate, fates_down, fates_up
from ..journey.path import reason
from .findings import UNSURE, Finding, chunks, finding, instant, span
from .words import CLIENT_HOOK, closing, last_chunk, listening, maker, name

_PROVED = ("too-late-on-wire", "arrived-not-read", "undelivered")  # by frames: dropped markers change nothing


class Told(NamedTuple):
    """A sentence, and what goes with it."""

    sentence: str
    ms: float | None = None
    unknown: str | None = None
    evidence: tuple[int, ...] = ()
    sure: bool = True


def travel(journey: Journey, course: Course) -> Iterator[Finding]:
    """What was lost between the backend and the client."""
    for code, group in _grouped(fates_down(course)).items():
        yield _down(journey, course, code, group)
    for code, group in _grouped(fates_up(course)).items():
        yield _up(journey, course, code, group)


def _grouped(fates: dict[int, Fate]) -> dict[str, dict[int, Fate]]:
    groups: dict[str, dict[int, Fate]] = {}
    for row, fate in sorted(fates.items(), key=lambda item: item[1].at):
        groups.setdefault(fate.code, {})[row] = fate
    return groups


def _doubt(journey: Journey) -> str:
    return f"hooks dropped {journey.dropped:,} markers: the one that is missing here may be among them"


# --- down -----------------------------------------------------------------------------------------------------------


def _down(journey: Journey, course: Course, code: str, group: dict[int, Fate]) -> Finding:
    rows = list(group)
    row, fate = rows[0], group[rows[0]]
    told = _TELL[code](course, rows, fate)
    unknown, severity = told.unknown, None if told.sure else UNSURE
    if journey.dropped and code not in _PROVED:
        unknown, severity = _doubt(journey), UNSURE
    inputs = course.inputs(row)
    sightings = tuple(s.number for s in course.down.rows[row] if s is not None)
    return finding(
        code,
        told.sentence,
        stage=fate.stage,
        chunk=inputs[-1] if inputs else None,
        ms=fate.ms if told.ms is None else told.ms,
        evidence=(*sightings, *told.evidence, *closing(course)),
        unknown=unknown,
        severity=severity,
    )


def _never_sent(course: Course, rows: list[int], fate: Fate) -> Told:
    stop = course.stop
    assert stop is not None
    made = course.down.first(rows[0])
    late = made.t - stop.t
    error = max(s.error_ns for s in course.down.rows[rows[0]] if s is not None)
    bound = f" (±{span(error)})" if error >= 50_000 else ""
    came = f"came {span(late)} too late{bound}" if late > 0 else "came just before that, too late to be sent"
    where = "and is on no wire" if course.wired else "and was never received"
    sentence = f"{listening(course)}; {maker(course)} {name(course, rows)} {came} ({instant(made.t)}) {where}"
    sent = course.down.at(rows[0], stages.ENDPOINT_CHUNK_OUT)
    if sent is not None and course.wired:
        said = "gave it to the closed connection" if sent.flags & AFTER_CLOSE else "says 'sent'"
        sentence += f", though the endpoint {said} at {instant(sent.t)}"
    unknown = None
    if error > abs(late):
        unknown = f"the marker's time is known to ±{span(error)} only; hooks on the relay's kernel give exact times"
    last = (course.last_up.number,) if course.last_up else ()
    return Told(sentence, max(late, 0) / 1e6, unknown, last, sure=error <= abs(late))


def _on_wire_late(course: Course, rows: list[int], fate: Fate) -> Told:
    late = span((fate.ms or 0) * 1e6)
    where = f"(event {fate.at.number}, {instant(fate.at.t)})"
    sentence = (
        f"{listening(course, fate.at.t)}; {maker(course)} {name(course, rows)} went over the wire {late} too late "
        f"{where}, when nobody read any more"
    )
    return Told(sentence, evidence=(course.last_up.number,) if course.last_up else ())


def _arrived_unread(course: Course, rows: list[int], fate: Fate) -> Told:
    last, ends = course.last_up, course.attempt.ends
    after = f" {span(fate.at.t - last.t)} after the last chunk ({last_chunk(course)})" if last else ""
    sign = (
        f"{span((fate.ms or 0) * 1e6)} later the client sent an END of its own, which it does only if it "
        "has not read the control plane's"
    )
    sentence = f"{maker(course)} {name(course, rows)} came down{after} and by all signs nobody read it: {sign}"
    evidence = (ends[S2C].number, ends[C2S].number, *((last.number,) if last else ()))
    return Told(sentence, None, CLIENT_HOOK, evidence)


def _invalid(course: Course, rows: list[int], fate: Fate) -> Told:
    note = course.rejected.get(rows[0])
    made = course.down.first(rows[0])
    what = f"{maker(course)} {name(course, rows)}"
    if note is None:
        return Told(
            f"{what} at {instant(made.t)} has no {', '.join(missing(made.flags))}: the client's validation refuses it",
            None,
            CLIENT_HOOK,
        )
    said = f"{what} reached the callback and failed validation at {instant(note.t)}: {reason(note, made)}"
    return Told(said, evidence=(note.number,))


def _not_consumed(course: Course, rows: list[int], fate: Fate) -> Told:
    wire = course.down.at(rows[0], WIRE_DOWN)
    before = f", {span(fate.ms * 1e6)} before the client closed," if fate.ms is not None else ""
    where = f"was {'on the wire' if wire else 'received'} at {instant(fate.at.t)} (event {fate.at.number}){before}"
    received = course.down.at(rows[0], stages.WS_RECEIVED)
    took = "the callback never took it"
    if wire and received:
        took = f"the callback's socket had it at {instant(received.t)}, but the callback never took it from there"
    return Told(f"{maker(course)} {name(course, rows)} {where} and {took}")


def _undelivered(course: Course, rows: list[int], fate: Fate) -> Told:
    end = course.attempt.ended[S2C]
    left = f"{end.undelivered:,} bytes were left when it went away at {instant(end.t)}"
    sentence = (
        f"{maker(course)} last chunk ({instant(fate.at.t)}) was read by the relay and not taken by the client: {left}"
    )
    return Told(sentence, evidence=(end.number,))


def _plainly(words: str, unknown: str | None = None) -> Callable[[Course, list[int], Fate], Told]:
    def tell(course: Course, rows: list[int], fate: Fate) -> Told:
        return Told(f"{maker(course)} {name(course, rows)} {words.format(instant(fate.at.t))}", None, unknown)

    return tell


_TELL: dict[str, Callable[[Course, list[int], Fate], Told]] = {
    "too-late-never-sent": _never_sent,
    "too-late-on-wire": _on_wire_late,
    "arrived-not-read": _arrived_unread,
    "failed-validation": _invalid,
    "delivered-not-consumed": _not_consumed,
    "undelivered": _undelivered,
    "not-sent-by-endpoint": _plainly("was put out at {} and the endpoint never sent it"),
    "sent-not-on-wire": _plainly("was sent at {}, says the endpoint, while the client still listened; it was never on the wire"),
    "not-received": _plainly("went out at {} and the callback never received it", "whether it was on the wire: record through the relay"),
    "not-yielded": _plainly("was taken by the callback at {} and never handed to the client"),
}  # fmt: skip


# --- up -------------------------------------------------------------------------------------------------------------

_UP = {
    "chunk-not-forwarded": "{} came from the backend at {} and the callback never forwarded {}",
    "not-read-by-endpoint": "{} went up at {} and the endpoint never read {}",
    "not-read-by-policy": "{} came to the endpoint at {} and the policy never got {}",
}
_UP_UNSENT = "{} went into the callback's socket at {} and the wire never had {}"


def _up(journey: Journey, course: Course, code: str, group: dict[int, Fate]) -> Finding:
    row, fate = next(iter(group.items()))
    unsent = fate.stage == WIRE_UP and course.up.at(row, stages.WS_SENT)
    what = f"chunk #{row}" if len(group) == 1 else f"{chunks(len(group))} (#{row} …)"
    sentence = (_UP_UNSENT if unsent else _UP[code]).format(
        what, instant(fate.at.t), "it" if len(group) == 1 else "them"
    )
    doubtful = journey.dropped > 0 and fate.stage != WIRE_UP
    nearby = course.up.rows[row - 1 : row] + course.up.rows[row : row + 2]
    evidence = tuple(next(s for s in reversed(sightings) if s is not None).number for sightings in nearby)
    return finding(
        code,
        sentence,
        stage=fate.stage,
        chunk=row,
        evidence=evidence,
        unknown=_doubt(journey) if doubtful else None,
        severity=UNSURE if doubtful else None,
    )
