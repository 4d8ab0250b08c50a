"""Where each chunk of a course was lost, if it was.

Strategy: a chunk is followed along its row to the first column in which it is missing; which column that is, and what had happened by then,
is its fate. The rules stand in the order in which a chunk passes them. A chunk that is missing at the end of a stage where later ones are missing too
may be one that nobody wanted any more: it is lost only if the stage had not ended by itself.
"""

from __future__ import annotations

from typing import NamedTuple

from ... import stages
from ...wire.events import C2S, S2C
from .attempt import WIRE_DOWN, WIRE_UP
from .chunks import CONTENT, missing
from .course import RACE_NS, Course
from .sightings import Point, Sighting

BURST_NS = 5_000_000  # what was sent together arrives together
SENDING_NS = 250_000_000  # on a busy machine, from what a sender says to the wire
_CLIENT = (
    *(stages.WS_RECEIVED, stages.CLIENT_CONTROL_IN, stages.CLIENT_NORMALIZED),
    *(stages.CLIENT_TO_CLIENT, stages.CALLBACK_YIELDED),
)
_GIVEN = (stages.CLIENT_TO_CLIENT, stages.CALLBACK_YIELDED)


class Fate(NamedTuple):
    """A finding's code, the stage that the chunk never reached, by how many milliseconds, and its last sighting."""

    code: str
    stage: str
    ms: float | None
    at: Point


def fates_up(course: Course) -> dict[int, Fate]:
    """The fates of the backend's chunks that did not reach the policy, or as far as anybody looked; by row."""
    chain = course.up
    last = [chain.last_row(column) for column in range(len(chain.stages))]
    found = {}
    for row in range(len(chain)):
        column = chain.last_column(row) + 1
        if row in chain.extra or column == len(chain.stages):
            continue
        here = chain.cell(row, column - 1)
        assert here is not None
        code = _lost_up(course, here, chain.stages[column], is_tail=row > last[column])
        if code:
            found[row] = Fate(code, chain.stages[column], None, here.point)
    return found


def _lost_up(course: Course, here: Sighting, stage: str, *, is_tail: bool) -> str | None:
    stop, over = course.stop, course.over
    if stop is not None and here.t > stop.t - RACE_NS:
        return None  # the client was closing
    if stage in (stages.WS_SENT, WIRE_UP):
        if is_tail and over is not None and here.t > over.t - BURST_NS:
            return None  # the control plane had ended: what came then is not forwarded any more
        if is_tail and course.broke is not None and here.t > course.broke.t - BURST_NS:
            return None  # it was on its way when the connection broke: that is the finding
        return "chunk-not-forwarded"
    code = "not-read-by-endpoint" if stage == stages.ENDPOINT_CHUNK_IN else "not-read-by-policy"
    if not is_tail:
        return code
    if not (here.flags & CONTENT or not here.essence):
        return None  # nobody misses it
    if course.ended_by_itself or any(course.down.first(row).t > here.t for row in course.out_rows[-1:]):
        return None  # the policy had had enough
    end = course.attempt.note(stages.POLICY_END)
    if course.attempt.seen.get(stages.POLICY_CHUNK_IN) and (end is None or end.data.get("closed_early")):
        return None  # the policy asks for no more: that is the finding
    return code


def fates_down(course: Course) -> dict[int, Fate]:
    """The fates of the policy's chunks that did not reach the client, or as far as anybody looked; by row."""
    found = {}
    wired = course.attempt.seen.get(WIRE_DOWN)
    last = wired[-1].number if wired else 0
    next_wired: int | None = None  # when the chunk after this one was on the wire
    for row in reversed(range(len(course.down))):
        fate = _lost_down(course, row, last, next_wired)
        if fate:
            found[row] = fate
        wire = course.down.at(row, WIRE_DOWN)
        next_wired = next_wired if wire is None else wire.t
    return dict(reversed(found.items()))


def _sent_as_something_else(course: Course, here: Sighting, next_wired: int | None) -> bool:
    """Whether something that is no message came in the place of a chunk."""
    until = here.t + SENDING_NS
    if next_wired is not None:
        until = max(min(until, next_wired), here.t + BURST_NS)
    return any(dir == S2C and here.t - RACE_NS <= point.t < until for point, dir, _ in course.attempt.foreign)


def _lost_down(course: Course, row: int, last: int, next_wired: int | None) -> Fate | None:
    chain = course.down
    column = chain.last_column(row)
    if column == len(chain.stages) - 1 and chain.stages[column] in _GIVEN and not course.rejected:
        return None  # the common case: it went all the way
    here = chain.cell(row, column)
    assert here is not None
    following = chain.stages[column + 1] if column + 1 < len(chain.stages) else None
    if row in course.rejected:
        note = course.rejected[row]
        return Fate("failed-validation", stages.CLIENT_REJECTED, None, Point(note.t, note.number))
    if row in chain.extra and not chain.at(row, WIRE_DOWN):
        return None  # a marker of something else
    stop = course.stop
    wire = chain.at(row, WIRE_DOWN)
    if wire is None and chain.stages[column] not in _CLIENT:
        if following is None:
            return None  # nobody looked further
        if stop is not None and here.t > stop.t - RACE_NS:
            return Fate("too-late-never-sent", WIRE_DOWN, max(here.t - stop.t, 0) / 1e6, here.point)
        if following in (stages.ENDPOINT_CHUNK_OUT, WIRE_DOWN):
            if _sent_as_something_else(course, here, next_wired):
                return None  # it was sent, as something that is no message: that is the finding
            if course.broke is not None and here.t > course.broke.t - BURST_NS:
                return None  # as above
            code = "sent-not-on-wire" if following == WIRE_DOWN else "not-sent-by-endpoint"
            return Fate(code, following, None, here.point)
        return Fate("not-received", following, None, here.point) if here.flags & CONTENT else None
    if wire is not None:
        if stop is not None and wire.t > stop.t:
            return Fate("too-late-on-wire", stages.CLIENT_CONTROL_IN, (wire.t - stop.t) / 1e6, wire.point)
        ended = course.attempt.ended.get(S2C)
        if ended is not None and ended.undelivered and wire.number == last:
            return Fate("undelivered", stages.CLIENT_CONTROL_IN, None, wire.point)
        if following is None and chain.stages[column] == WIRE_DOWN:
            return _unread(course, wire)
        if wire.essence and missing(wire.flags) and chain.stages[column] != stages.CLIENT_NORMALIZED:
            return _invalid(wire)
    if following is not None and here.flags & CONTENT:
        if chain.stages[column] in (WIRE_DOWN, stages.WS_RECEIVED):
            there, end = wire or here, course.attempt.ends.get(C2S)
            if wire is not None and end is not None and wire.t > end.t:
                return Fate("too-late-on-wire", following, (wire.t - end.t) / 1e6, wire.point)
            before = (stop.t - there.t) / 1e6 if stop else None
            return Fate("delivered-not-consumed", following, before, there.point)
        return Fate("not-yielded", following, None, here.point)
    return None


def _unread(course: Course, wire: Sighting) -> Fate | None:
    """What frames alone tell of a chunk that was on the wire in time."""
    end = course.unread_end
    ups = course.attempt.seen.get(WIRE_UP)
    if end is not None and end.t - BURST_NS < wire.t <= end.t and (not ups or ups[-1].t < wire.t):
        ours = course.attempt.ends[C2S]
        return Fate("arrived-not-read", stages.CLIENT_CONTROL_IN, (ours.t - wire.t) / 1e6, wire.point)
    return _invalid(wire) if wire.essence and missing(wire.flags) else None


def _invalid(wire: Sighting) -> Fate:
    return Fate("failed-validation", stages.CLIENT_REJECTED, None, wire.point)
