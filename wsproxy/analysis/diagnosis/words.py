"""How a diagnosis speaks of a course: who stopped listening and when, what a chunk is called, which events prove the end."""

from __future__ import annotations

from ... import stages
from ...wire.events import C2S, S2C
from ..journey.chunks import BLOCKED
from ..journey.course import Course
from .findings import chunks, instant, span

POLICY_HOOK = (
    "when the policy decided, and what: policy.* marks would tell (instrument_policy_stream, or PolicyStreamLogger)"
)
CLIENT_HOOK = "what the callback took and gave to the client: client.* marks would tell (instrument_websocket, or CallbackChunkLogger)"
CLOSED = {
    "close": "closed",
    "end": "ended",
    "fin": "went away without a close frame",
    "reset": "reset the connection",
}


def last_chunk(course: Course) -> str:
    """`#6, 0.3448 s`: the last chunk that went up, or nothing."""
    last = course.last_up
    return f"#{course.number_of(last.number)}, {instant(last.t)}" if last else ""


def listening(course: Course, at: int | None = None) -> str:
    """Who had stopped listening, since when, and what it had waited for.

    Args:
        at: when the answer came; between the client's END and its close, the END is what counts.
    """
    stop, last, end = course.stop, course.last_up, course.attempt.ends.get(C2S)
    close = course.attempt.closes.get(S2C)
    assert stop is not None
    who = "the client" if course.wired else "the callback"
    if last is not None and end is not None and at is not None and end.t < at <= stop.t:
        return (
            f"{who} stopped listening and sent END {span(end.t - last.t)} after its last chunk ({last_chunk(course)})"
        )
    if close is not None and not course.client_closed_first:
        return f"the control plane itself had closed at {instant(close.t)}"
    if last is None:
        return f"{who} {CLOSED[stop.how]} at {instant(stop.t)}"
    waited = f"stopped listening {span(stop.t - last.t)} after its last chunk ({last_chunk(course)})"
    return f"{who} {waited} and {CLOSED[stop.how]} at {instant(stop.t)}"


def maker(course: Course) -> str:
    """Whose the outputs are, as far as it is known."""
    first = course.down.stages[0] if course.down.stages else ""
    return {stages.POLICY_CHUNK_OUT: "the policy's", stages.ENDPOINT_CHUNK_OUT: "the endpoint's"}.get(
        first, "the control plane's"
    )


def name(course: Course, rows: list[int]) -> str:
    """What the lost outputs are called: the BLOCKED chunk, a chunk, the first of several."""
    if course.down.first(rows[0]).flags & BLOCKED:
        return "BLOCKED chunk"
    return "chunk" if len(rows) == 1 else f"first of {chunks(len(rows))}"


def closing(course: Course) -> tuple[int, ...]:
    """The events that ended it: the client's END, both close frames; else what tells the end."""
    attempt = course.attempt
    points = [attempt.ends.get(C2S), attempt.closes.get(C2S), attempt.closes.get(S2C)]
    found = tuple(point.number for point in points if point is not None)
    return found or ((course.stop.number,) if course.stop else ())
