"""How a stream ended, and what the recording itself does not hold."""

from __future__ import annotations

from collections.abc import Iterator

from ... import stages
from ...wire.events import C2S, S2C
from ..journey.attempt import WIRE_DOWN, WIRE_UP, Attempt, Ended, Journey
from ..journey.chunks import BLOCKED, FINISH
from ..journey.course import Course
from .findings import LOST, NOTE, WARNING, Finding, chunks, finding, instant, span

STALL_NS = 1_000_000_000
_SIDES = {C2S: "the client", S2C: "the control plane"}
SILENT_NS = 2_000_000_000
SLOW_US = 50_000  # of a round trip: another continent
RESENT = 3  # segments: one or two happen anywhere
_NO_END = Ended(0, 0, "", 0)
_CLEAN = (1000, 1001, 1005)
_NOBODY_THERE = ("ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN")


def ending(journey: Journey, course: Course) -> Iterator[Finding]:
    """What there is to say of the end."""
    if course.wired:
        yield from _closes(course)
        yield from _after_close(course)
        gone = list(vanished(course.attempt, WARNING if _finished(course) else LOST, _owing(course)))
        yield from gone or _no_close(journey, course)
    elif not course.client_left:
        yield from _unseen_end(course)
    if course.client_left:
        yield _left(course)
    waited = list(_waited_for_end(course))
    yield from waited or _stall(course.attempt)
    yield from _odd_messages(course.attempt)
    yield from network(course.attempt)


def _finished(course: Course) -> bool:
    """Whether the stream was done when it ended: nothing owed, and a finish or an END was seen."""
    attempt = course.attempt
    done = attempt.ends or any(s.flags & FINISH for s in attempt.seen.get(WIRE_DOWN, ()))
    return bool(done) and not course.owed


def _closes(course: Course) -> Iterator[Finding]:
    attempt = course.attempt
    close = attempt.closes.get(S2C)
    if close is None or course.client_closed_first or (close.code == 1002 and not course.in_rows):
        return
    finish = course.blocked is not None or any(s.flags & FINISH for s in attempt.seen.get(WIRE_DOWN, ()))
    early = bool(course.out_rows) and not (S2C in attempt.ends or S2C in attempt.errors or finish)
    if close.code not in _CLEAN or early:
        why = f" ({close.reason})" if close.reason else ""
        owing = _owing(course)
        when = ", before any finish and without END" if early else ""
        sentence = f"the control plane closed with {close.code}{why} at {instant(close.t)}{when}{owing}"
        severity = None if early or course.owed or not _finished(course) else WARNING
        last = course.owed[-1] if course.owed else None
        yield finding(
            "closed-by-server", sentence, stage=WIRE_DOWN, chunk=last, evidence=(close.number,), severity=severity
        )


def _after_close(course: Course) -> Iterator[Finding]:
    """Chunks that the client sent to somebody who had said goodbye; the other way round is a chunk's own fate."""
    close = course.attempt.closes.get(S2C)
    late = [s for s in course.attempt.seen.get(WIRE_UP, ()) if close is not None and s.t > close.t]
    if close is not None and late and not course.client_closed_first:
        by = late[0].t - close.t
        sentence = (
            f"the client sent {chunks(len(late))} after the control plane's close frame ({instant(close.t)}), "
            f"the first {span(by)} later: nobody read {'it' if len(late) == 1 else 'them'}"
        )
        number = course.number_of(late[0].number)
        evidence = (close.number, late[0].number)
        yield finding("send-after-close", sentence, stage=WIRE_UP, chunk=number, ms=by / 1e6, evidence=evidence)


def _no_close(journey: Journey, course: Course) -> Iterator[Finding]:
    """Connections that ended without a close frame, or whose end is not in the recording."""
    attempt = course.attempt
    if attempt.closes:
        return
    ends = sorted(attempt.ended.items(), key=lambda item: item[1].t)
    if not ends:
        if journey.cut == "open":
            yield finding("still-open", "a relay is recording this stream now: what is missing may still come")
        elif journey.cut:
            yield finding(
                "recording-cut",
                f"the recording ends at {instant(journey.last_t)} and the stream had not: it is {journey.cut}",
            )
        return
    dir, end = next((item for item in ends if item[1].how == "reset"), ends[0])
    finished = _finished(course)
    if end.how == "stopped":
        sentence = f"the relay stopped at {instant(end.t)}, in the middle of the stream"
        yield finding("relay-stopped", sentence, evidence=(end.number,), severity=WARNING if finished else None)
        return
    if dir == C2S and course.client_left:
        return
    did = {"reset": "reset the connection", "fin": "hung up"}.get(end.how, f"was gone ({end.how})")
    sentence = f"{_SIDES[dir]} {did} at {instant(end.t)} without a close frame{_owing(course)}"
    numbers = tuple(one.number for _, one in ends)
    yield finding("abnormal-end" if finished else "abnormal-close", sentence, evidence=numbers)


def _owing(course: Course) -> str:
    return f", with {chunks(len(course.owed))} unanswered" if course.owed else ""


def vanished(attempt: Attempt, severity: str, owing: str = "") -> Iterator[Finding]:
    """A side whose machine, or the network to it, was gone: the relay's kernel asked, or sent again, and heard nothing."""
    for dir, end in sorted(attempt.ended.items(), key=lambda item: item[1].t):
        error = end.how.removeprefix("lost: ")
        if error not in _NOBODY_THERE:
            continue
        heard, other = attempt.heard.get(dir) or attempt.opened, attempt.ended.get(S2C if dir == C2S else C2S)
        since = f"nothing came from it after {instant(heard.t)}, and " if heard else ""
        after = f", {span(end.t - heard.t)} later" if heard else ""
        left = other.undelivered if other is not None and other.how == "aborted" else 0
        unheard = f"; {left:,} bytes that went to it were never acknowledged" if left else ""
        sentence = (
            f"{_SIDES[dir]} vanished: {since}the relay gave it up at {instant(end.t)}{after} ({error}){unheard}{owing}"
        )
        yield finding(
            "peer-vanished",
            sentence,
            stage=f"wire.{dir}",
            ms=(end.t - heard.t) / 1e6 if heard else None,
            evidence=(heard.number if heard else 0, end.number),
            severity=severity,
        )
        return


def network(attempt: Attempt) -> Iterator[Finding]:
    """A way that is slow or loses packets, as the relay's kernel saw it."""
    for dir, link in attempt.links.items():
        told = []
        if link.rtt_us >= SLOW_US:
            told.append(f"a round trip takes {span(link.rtt_us * 1000)} at least")
        if link.resent >= RESENT and attempt.ended.get(dir, _NO_END).how in ("fin", "aborted"):
            told.append(f"{link.resent:,} segments had to be sent again")
        if told:
            sentence = f"the way between the relay and {_SIDES[dir]} is {'slow' if link.rtt_us >= SLOW_US else 'lossy'}: {' and '.join(told)}"
            yield finding("slow-network", sentence, stage=f"wire.{dir}", ms=link.rtt_us / 1e3)


def silent(attempt: Attempt) -> Iterator[Finding]:
    """A control plane that took the handshake, and of which no frame came: not of the policy, not a pong, not even a close in reply."""
    answered, first = attempt.answered, attempt.first
    if answered is None or first is None or attempt.heard.get(S2C) != answered or attempt.has("endpoint", "policy"):
        return
    over = max(attempt.ended.values(), default=None)
    close = attempt.closes.get(C2S)
    if over is None or over.t - first[1].t < SILENT_NS or over.how.startswith("lost"):
        return
    up = len(attempt.seen.get(WIRE_UP, ()))
    left = f"closed with {close.code} at {instant(close.t)} and had no reply" if close else "went away"
    waited = over.t - first[1].t
    sentence = (
        f"the control plane accepted the handshake at {instant(answered.t)} and never said a thing: {chunks(up)} went up from "
        f"{instant(first[1].t)} on, not a frame came down in {span(waited)}; the client {left}, and it was over at "
        f"{instant(over.t)}"
    )
    numbers = (answered.number, first[1].number, close.number if close else 0, over.number)
    yield finding("server-silent", sentence, stage=WIRE_DOWN, ms=waited / 1e6, evidence=numbers)


def _unseen_end(course: Course) -> Iterator[Finding]:
    """With markers alone: a stream that broke off, which no marker explains."""
    attempt = course.attempt
    if course.owed and course.stop is None and course.over is None:
        last = course.owed[-1]
        sentence = f"chunk #{last} had no answer when the markers end, and no marker tells how the stream ended"
        yield finding("end-unknown", sentence, chunk=last, evidence=(course.consumed(last).number,))
        return
    end = attempt.note(stages.POLICY_END)
    rows = [*(course.up.first(row) for row in range(len(course.up.rows))), *map(course.down.first, course.out_rows)]
    if rows and not any(s.flags & (FINISH | BLOCKED) for s in rows) and not attempt.notes.get(stages.ENDPOINT_ERROR):
        numbers = (max(rows).number, end.number if end else 0, course.stop.number if course.stop else 0)
        yield finding(
            "end-unknown", "the stream broke off before any finish, and no marker tells why", evidence=numbers
        )


def _left(course: Course) -> Finding:
    stop = course.stop
    early = next((note for note in course.returned if note.data.get("closed_early")), None)
    t, number = (early.t, early.number) if early else (stop.t, stop.number) if stop else (0, 0)
    seen, got = len(course.up.rows), len(course.answer_of)
    sentence = (
        f"the client left first, at {instant(t)}: {chunks(seen)} had come from the backend, no finish "
        f"among them, and {got:,} had been answered"
    )
    return finding(
        "client-left",
        sentence,
        stage=early.stage if early else "wire.c2s",
        evidence=(number, stop.number if stop else 0),
    )


def _waited_for_end(course: Course) -> Iterator[Finding]:
    """END is often absent, and harmless, unless the callback waits for it."""
    attempt, stop = course.attempt, course.stop
    downs = attempt.seen.get(WIRE_DOWN)
    if not downs or stop is None or S2C in attempt.ends or attempt.errors or not course.client_closed_first:
        return
    wait = stop.t - max(downs[-1].t, course.last_up.t if course.last_up else 0)
    if wait >= STALL_NS and not course.owed:
        sentence = (
            f"the control plane sent no END after its last chunk ({instant(downs[-1].t)}), and the client "
            f"waited {span(wait)} for one; no chunk was lost by that"
        )
        yield finding("end-missing", sentence, stage=WIRE_DOWN, ms=wait / 1e6, evidence=(downs[-1].number, stop.number))


def _stall(attempt: Attempt) -> Iterator[Finding]:
    silence = attempt.silence
    if silence is None or silence.ns < STALL_NS:
        return
    turn = "the control plane's turn" if silence.dir == C2S else "the callback's or the backend's turn"
    sentence = (
        f"nothing passed for {span(silence.ns)}, from {instant(silence.since.t)} to "
        f"{instant(silence.until.t)}: it was {turn}"
    )
    yield finding("stall", sentence, ms=silence.ns / 1e6, evidence=(silence.since.number, silence.until.number))


def _odd_messages(attempt: Attempt) -> Iterator[Finding]:
    for point, dir, why in attempt.foreign[:1]:
        more = f" (and {attempt.strange - 1:,} more)" if attempt.strange > 1 else ""
        if attempt.unreadable:
            sentence = f"{attempt.unreadable:,} messages cannot be read, the first at {instant(point.t)}: {why}"
            yield finding("unreadable", sentence, evidence=(point.number,))
        else:
            what = "JSON that is no message of the pipeline" if why == "JSON" else why
            sentence = (
                f"{_SIDES[dir]} sent a message{more} that the other side cannot use, at {instant(point.t)}: {what}"
            )
            yield finding(
                "not-json",
                sentence,
                stage=f"wire.{dir}",
                evidence=(point.number,),
                severity=WARNING if why == "JSON" else LOST,
            )
    note = attempt.note(stages.WS_JSON_ERROR)
    if note:
        sentence = f"the callback could not parse a message at {instant(note.t)}: {note.data.get('error', '')}"
        yield finding("json-error", sentence, stage=note.stage, evidence=(note.number,))


def recording(journey: Journey) -> Iterator[Finding]:
    """What the recording itself lacks."""
    for gap in journey.gaps[:1]:
        lost = sum(gap.events for gap in journey.gaps)
        sentence = (
            f"the recorder lost {lost:,} events between {instant(gap.t)} and "
            f"{instant(journey.gaps[-1].until)} ({gap.reason}): what is missing below may have been there"
        )
        yield finding("recorder-gap", sentence)
    if journey.cut == "damaged":
        yield finding("recording-cut", "the recording is damaged: its end cannot be read")
    elif journey.cut in ("torn", "unfinished") and journey.behind is not None:
        words = f"the relay was killed while the disk stalled (since {instant(journey.behind)}): the last that it forwarded may be missing"
        yield finding("recording-cut", words, severity=NOTE)
    elif journey.cut in ("torn", "unfinished"):
        words = "the relay was killed while it recorded; every event up to there is whole"
        yield finding("recording-cut", words, severity=NOTE)
    for point, status in journey.refusals[:1]:
        more = f" (and {len(journey.refusals) - 1} more)" if len(journey.refusals) > 1 else ""
        sentence = f"an HTTP hook was answered with {status} at {instant(point.t)}{more}"
        yield finding("hook-failed", sentence, evidence=(point.number,))
    if journey.dropped:
        yield finding("markers-dropped", f"hooks made {journey.dropped:,} markers more and could not deliver them")
