"""Streams that were never opened, or were refused at the start.

Strategy: the first thing that went wrong is the answer, and the last: nothing of the stream came after it.
"""

from __future__ import annotations

from ... import stages
from ...wire.events import C2S, S2C
from ..journey.attempt import Attempt, Journey
from .findings import Finding, finding, instant, span

_FAR = ("endpoint", "policy", "client", "ws")


def opening(journey: Journey, attempt: Attempt) -> Finding | None:
    """Why this attempt carried no stream; None when it did."""
    if attempt.conn is None:
        return _markers_only(journey, attempt)
    asked = attempt.asked.number if attempt.asked else 0
    opened = attempt.opened.number if attempt.opened else 0
    answered = attempt.answered.number if attempt.answered else 0
    if attempt.refused:
        sentence = (
            f"the stream was never opened: the relay could not reach the control plane ({attempt.refused}); "
            "the callback lets everything through unfiltered then"
        )
        return finding("connection-refused", sentence, stage="wire.c2s", evidence=(opened, asked, answered))
    if attempt.answered and attempt.status != 101:
        sentence = (
            f"the stream was never opened: the control plane answered the handshake with {attempt.status}; "
            "the callback lets everything through unfiltered then"
        )
        return finding("handshake-refused", sentence, stage="wire.s2c", evidence=(asked, answered))
    if attempt.asked and not attempt.answered and not attempt.messages and not attempt.strange:
        ended = tuple(end.number for end in attempt.ended.values())
        sentence = (
            "the stream was never opened: the control plane took the connection, and the handshake "
            f"({instant(attempt.asked.t)}) was never answered{_until(attempt)}"
        )
        return finding("handshake-unanswered", sentence, stage="wire.s2c", evidence=(asked, *ended))
    return None if journey.gaps else _start(attempt)


def _until(attempt: Attempt) -> str:
    """Who ended the waiting for an answer, and when."""
    ends = [
        item for item in attempt.ended.items() if item[1].how != "aborted"
    ]  # which is what the other end made of it
    if not ends or attempt.asked is None:
        return ""
    dir, end = min(ends, key=lambda item: item[1].t)
    who = "the client" if dir == C2S else "the control plane"
    did = {"fin": "hung up", "reset": "reset the connection", "stopped": "was cut off: the relay stopped"}.get(
        end.how, f"was gone ({end.how})"
    )
    return f": {who} {did} at {instant(end.t)}, {span(end.t - attempt.asked.t)} later"


def _start(attempt: Attempt) -> Finding | None:
    closes = tuple(close.number for close in attempt.closes.values())
    ended = tuple(end.number for end in attempt.ended.values())
    close = attempt.closes.get(S2C)
    if attempt.first is None:
        if not closes and not ended:
            return None  # it has just been opened
        sentence = "the stream was opened and START never sent: " + (
            f"the client closed with {attempt.closes[C2S].code}" if C2S in attempt.closes else "nothing went up at all"
        )
        return finding("start-missing", sentence, stage="wire.c2s", evidence=(*closes, *ended))
    type_, point = attempt.first
    if type_ == "START":
        if close is not None and close.code == 1002 and not attempt.seen.get("wire.s2c"):
            return _refused(attempt, f"START at {instant(point.t)}", point.number)
        return None
    if not attempt.messages and attempt.strange > attempt.unreadable:
        sentence = "this WebSocket does not speak the pipeline's messages: no START, CHUNK, END or ERROR in it"
        return finding("not-pipeline", sentence, stage="wire.c2s", evidence=(point.number,))
    if attempt.unreadable:
        return None
    what = f"its first message was {'a ' + type_ if type_ else 'none of the pipeline’s'}, not START"
    if close is not None and close.code == 1002:
        return _refused(attempt, f"the stream ({what})", point.number)
    return finding("start-missing", f"START was never sent: {what}", stage="wire.c2s", evidence=(point.number, *closes))


def _refused(attempt: Attempt, what: str, number: int) -> Finding:
    close = attempt.closes[S2C]
    why = f": {close.reason}" if close.reason else ""
    sentence = f"the control plane refused {what} with 1002 (protocol error) at {instant(close.t)}{why}"
    return finding("start-refused", sentence, stage="endpoint.start", evidence=(number, close.number))


def _markers_only(journey: Journey, attempt: Attempt) -> Finding | None:
    if attempt.has(*_FAR):
        return None
    invoked = attempt.note(stages.CALLBACK_INVOKED)
    backend, yielded = (len(attempt.seen.get(s, ())) for s in (stages.CALLBACK_BACKEND_CHUNK, stages.CALLBACK_YIELDED))
    went = f"; {yielded} of {backend} backend chunks went to the client all the same, unfiltered" if yielded else ""
    sentence = (
        "the stream was never opened: the callback was "
        f"{f'invoked at {instant(invoked.t)}' if invoked else 'at work'}, and no connection for it came "
        f"to this relay{went}"
    )
    numbers = tuple(note.number for found in attempt.notes.values() for note in found[:2])[:6]
    unknown = None
    if journey.dropped:
        unknown = "hooks dropped markers: the control plane's may have been among them"
    return finding("never-opened", sentence, stage="wire.c2s", evidence=numbers, unknown=unknown)
