"""What the policy did with what it was given: raised, swallowed, hung, was not waited for; held back, passed over, blocked.

Strategy: its own markers first (policy.end, endpoint.error), then what the wire tells: ERROR, END, silence. With frames alone a policy that
withholds by design looks like one that lost something until its END comes; what a client closes upon before that is a loss,
because whatever would have come had nobody to read it.
"""

from __future__ import annotations

from collections.abc import Iterator

from ... import stages
from ...wire.events import C2S, S2C
from ..journey.attempt import WIRE_DOWN, WIRE_UP, Note
from ..journey.chunks import CONTENT
from ..journey.course import Course
from ..journey.sightings import Point
from .findings import NOTE, WARNING, Finding, chunks, finding, instant, span
from .words import CLOSED, POLICY_HOOK, closing, last_chunk

PATIENCE_NS = 20_000_000  # an END that comes sooner was not sent for lack of an answer
HANG_NS = 2_000_000_000  # with frames alone: a silence that nobody takes for thinking
_BUFFERED = 3  # chunks held back that are worth a line
_CLEAN = (1000, 1001, 1005)


def raised(course: Course) -> Iterator[Finding]:
    """Exceptions, and ERROR messages."""
    attempt = course.attempt
    error = attempt.errors.get(S2C)
    notes = [
        note for note in (attempt.note(stages.POLICY_END), attempt.note(stages.ENDPOINT_ERROR)) if note and _why(note)
    ]
    after = f"after {chunks(len(course.in_rows))} in and {len(course.out_rows):,} out"
    last = course.in_rows[-1] if course.in_rows else None
    numbers = (*(note.number for note in notes), *((error[0].number,) if error else ()))
    if notes:
        who = "policy" if notes[0].stage == stages.POLICY_END else "endpoint"
        told = f"; ERROR went down at {instant(error[0].t)}" if error else ""
        sentence = f"the {who} raised at {instant(notes[0].t)}, {after}: {_why(notes[0])}{told}"
        before = (course.consumed(last).number,) if last is not None else ()
        yield finding("policy-raised", sentence, stage=notes[0].stage, chunk=last, evidence=(*numbers, *before))
    elif error:
        sentence = f"the control plane sent ERROR at {instant(error[0].t)}, {after}: {error[1]}"
        unknown = (
            None
            if attempt.has("policy", "endpoint")
            else "what raised it: endpoint.error and policy.end marks would tell"
        )
        yield finding("error-sent", sentence, stage=WIRE_DOWN, chunk=last, evidence=numbers, unknown=unknown)
    if C2S in attempt.errors:
        point, text = attempt.errors[C2S]
        sentence = f"the client sent ERROR at {instant(point.t)}: {text}"
        yield finding("error-sent", sentence, stage=WIRE_UP, evidence=(point.number,))
    failed = attempt.note(stages.CALLBACK_FAILED)
    if failed:
        sentence = f"the callback raised at {instant(failed.t)}: {_why(failed)}"
        yield finding("callback-failed", sentence, stage=failed.stage, evidence=(failed.number,))


def _why(note: Note) -> str:
    """The error that a marker tells; a cancelled stream is none: its consumer wanted no more."""
    if note.data.get("cancelled") or note.data.get("closed_early"):
        return ""
    return str(
        note.data.get("error") or note.data.get("text") or ("an error" if note.stage == stages.ENDPOINT_ERROR else "")
    )


def unanswered(course: Course) -> Iterator[Finding]:
    """Chunks that were consumed, and nothing came of them."""
    attempt, stop, over = course.attempt, course.stop, course.over
    end = attempt.note(stages.POLICY_END)
    if not course.in_rows or S2C in attempt.errors or (end and _why(end)) or attempt.notes.get(stages.ENDPOINT_ERROR):
        return
    cancelled = end is not None and bool(end.data.get("closed_early") or end.data.get("cancelled"))
    ended = end is not None and not cancelled
    if end is not None and cancelled and course.stop is not None and end.t > course.stop.t + HANG_NS // 4:
        cancelled = False  # long after the stream: whoever shut it down did not end it
    close = attempt.closes.get(S2C)
    closed = close is not None and close.code in _CLEAN and not course.client_closed_first
    if not course.out_rows and (ended or S2C in attempt.ends or closed):
        yield _swallowed(course, Point(end.t, end.number) if ended and end else over, by_policy=end is not None)
    elif not course.owed or course.blocked is not None:
        return
    elif course.ended_by_itself or _was_waited_for(course):
        yield _stopped(course, over)
    elif (
        not ended
        and stop is not None
        and not course.client_left
        and (course.client_closed_first or C2S in attempt.ends)
    ):
        yield _too_soon(course, end if cancelled else None)


def _was_waited_for(course: Course) -> bool:
    """Whether the client said END at once after its last chunk and stayed for the control plane's END."""
    theirs, ours, last = course.attempt.ends.get(S2C), course.attempt.ends.get(C2S), course.last_up
    stayed = theirs is not None and course.stop is not None and theirs.t < course.stop.t
    return stayed and ours is not None and last is not None and ours.t - last.t < PATIENCE_NS


def _stopped(course: Course, over: Point | None) -> Finding:
    assert over is not None
    owed = course.owed
    hooked = course.attempt.has("policy")
    who = "the policy" if hooked else "the control plane"
    sentence = (
        f"{who} ended at {instant(over.t)} and put nothing out for the last {chunks(len(owed))} "
        f"(#{owed[0]} to #{owed[-1]})"
    )
    numbers = (course.consumed(owed[0]).number, over.number)
    unknown = None if hooked else POLICY_HOOK
    return finding(
        "policy-stopped", sentence, stage=stages.POLICY_END, chunk=owed[0], evidence=numbers, unknown=unknown
    )


def _swallowed(course: Course, over: Point | None, *, by_policy: bool) -> Finding:
    assert over is not None
    who = "the policy" if by_policy else "the control plane"
    sentence = f"{who} took {chunks(len(course.in_rows))}, ended at {instant(over.t)}, and put nothing out"
    last = course.in_rows[-1]
    numbers = (course.consumed(last).number, over.number, *closing(course))
    unknown = None if by_policy else POLICY_HOOK
    return finding("policy-swallowed", sentence, stage=stages.POLICY_END, chunk=last, evidence=numbers, unknown=unknown)


def _too_soon(course: Course, cancelled: Note | None) -> Finding:
    """The client went while an answer was owed: a hang if anything says so, else a client that did not wait."""
    stop, last = course.stop, course.last_up
    assert stop is not None
    owed = course.owed
    took = course.consumed(owed[-1])
    chunk, since = (course.number_of(last.number), last.t) if last else (owed[-1], took.t)
    wait = stop.t - since
    went, came = len(course.in_rows), len(course.out_rows)
    which = f"#{owed[0]} to #{owed[-1]}" if len(owed) > 1 else f"#{owed[0]}"
    answered = (
        f"nothing after #{owed[0] - 1} ({which} went unanswered)" if came and owed[0] else f"none of {chunks(went)}"
    )
    numbers = (took.number, *((last.number,) if last else ()), *closing(course))
    policy = course.attempt.has("policy")
    if cancelled:
        numbers = (*numbers, cancelled.number)
    code, unknown = "unanswered-at-close", None if policy else POLICY_HOOK
    if policy and not cancelled:
        code, unknown = "policy-hung", "whether it hangs, or was still thinking when this was recorded"
        sentence = (
            f"the policy took {chunks(went)} and was not heard of again: it had answered {answered} when the "
            f"client closed at {instant(stop.t)}, {span(wait)} after its last chunk ({last_chunk(course)})"
        )
    elif wait >= HANG_NS:
        code = "policy-hung"
        sentence = (
            f"the control plane was silent for {span(wait)} while it owed an answer to chunk #{chunk} "
            f"({instant(since)}), until the client gave up at {instant(stop.t)}; it had answered {answered}"
        )
    else:
        decided = f"whatever its policy decided after {instant(stop.t)} had nobody to read it"
        so = f"and its policy was cancelled at {instant(cancelled.t)}" if cancelled else f"so {decided}"
        sentence = (
            f"the client stopped listening {span(wait)} after its last chunk (#{chunk}, {instant(since)}) "
            f"and {CLOSED[stop.how]}; the control plane had answered {answered}, {so}"
        )
    return finding(code, sentence, stage=WIRE_DOWN, chunk=chunk, ms=wait / 1e6, evidence=numbers, unknown=unknown)


def designs(course: Course) -> Iterator[Finding]:
    """What a policy does by design, and is worth knowing: it blocked, held back, passed over."""
    row = course.blocked
    if row is not None:
        out = course.down.first(row)
        inputs = course.inputs(row)
        took = f", in place of {chunks(len(inputs))}" if len(inputs) > 1 else ""
        wait = out.t - course.consumed(inputs[-1]).t if inputs else 0
        after = f", {span(wait)} after chunk #{inputs[-1]} ({instant(course.consumed(inputs[-1]).t)})" if inputs else ""
        sentence = (
            f"blocked on purpose, and delivered: the BLOCKED chunk came at {instant(out.t)} (event "
            f"{out.number}){after}{took}"
        )
        chunk = inputs[-1] if inputs else None
        yield finding(
            "blocked", sentence, stage=course.down.stages[0], chunk=chunk, ms=wait / 1e6, evidence=(out.number,)
        )
    count, longest = course.held
    if count >= _BUFFERED and course.turn_of:
        first = min(map(course.down.point, course.turn_of)).t
        until = " until the end" if first >= course.consumed(course.in_rows[-1]).t else ""
        sentence = f"the policy held {chunks(count)} back{until}, for {span(longest)} at most"
        yield finding("policy-buffered", sentence, stage=stages.POLICY_CHUNK_OUT, ms=longest / 1e6)
    passed = [row for row in course.passed_over if course.consumed(row).flags & CONTENT]
    if passed and course.blocked is None:
        some = ", ".join(f"#{row}" for row in passed[:4]) + (" …" if len(passed) > 4 else "")
        them = "it" if len(passed) == 1 else "them"
        hooked = course.attempt.has("policy")
        who = "the policy" if hooked else "the control plane"
        sentence = (
            f"{who} took {chunks(len(passed))} and put nothing out for {them} ({some}), though it answered later ones"
        )
        numbers = tuple(course.consumed(row).number for row in passed[:4])
        unknown = (
            None
            if hooked
            else f"whether its policy passed {them} over or never got {them}: endpoint.* and policy.* marks would tell"
        )
        severity = NOTE if hooked else WARNING
        yield finding(
            "policy-dropped",
            sentence,
            stage=stages.POLICY_CHUNK_OUT,
            chunk=passed[0],
            evidence=numbers,
            unknown=unknown,
            severity=severity,
        )
