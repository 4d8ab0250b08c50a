"""What went wrong with a stream, in one sentence, with its evidence; or that nothing did.

Strategy: the recording is read once into a journey; each attempt is judged by the checks of `diagnosis`; the finding that ranks first is the
answer. A second, short reading fetches the few events that are the evidence. A verdict is never surer than its recording: where events are missing,
"lost" becomes "cannot tell".

Cost: one pass, some 20 µs an event, memory for the chunks' times and identities (about 200 bytes each).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field, replace
from typing import Any

from ..recording.view import when
from ..secrets.masking import mask_text
from ..wire.events import C2S, S2C
from .diagnosis.ending import ending, silent, vanished
from .diagnosis.ending import recording as recording_itself
from .diagnosis.findings import DAMAGED, LOST, NOTE, UNSURE, WARNING, Finding, chunks, finding, instant, span
from .diagnosis.opening import opening
from .diagnosis.order import order
from .diagnosis.policy import designs, raised, unanswered
from .diagnosis.travel import travel
from .diagnosis.words import CLIENT_HOOK
from .journey.attempt import WIRE_DOWN, WIRE_UP, Attempt, Journey
from .journey.course import Course
from .journey.picking import pick
from .journey.reading import Item, Source, read
from .outages import REFUSED, TAKEN, Contact, breaks

FINE, NO_STREAM = "fine", "no-stream"
_LABELS = {LOST: "LOST", DAMAGED: "DAMAGED", UNSURE: "CANNOT TELL", FINE: "nothing lost", NO_STREAM: "no stream"}
_EVIDENCE = 40  # events that are shown at most


@dataclass(frozen=True, slots=True)
class Judged:
    """One attempt: its connection, its findings (the gravest first), and its figures in words."""

    conn: int | None
    findings: tuple[Finding, ...]
    figures: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The verdict on one recording.

    `verdict` is "lost", "damaged" (doubled or reordered), "unsure" (the recording lacks what would tell), "fine" or "no-stream"; `answer` is the
    first line; `findings` are of all attempts and of the recording, the gravest first; `items` are the events of the evidence, by number;
    `contacts` are those with upstreams, for `outages` of several recordings.
    """

    stream: str
    verdict: str
    answer: str
    attempts: tuple[Judged, ...]
    findings: tuple[Finding, ...]
    items: dict[int, Item] = field(default_factory=dict, repr=False)
    contacts: tuple[Contact, ...] = ()

    @property
    def label(self) -> str:
        """The verdict as the first words of the answer."""
        return _LABELS[self.verdict]

    @property
    def main(self) -> Finding | None:
        """The finding that the answer is about."""
        return self.findings[0] if self.findings and self.verdict not in (FINE, NO_STREAM) else None

    @property
    def exit_status(self) -> int:
        """0 when nothing was lost, 1 when something was or when that cannot be told."""
        return 0 if self.verdict in (FINE, NO_STREAM) else 1

    def __str__(self) -> str:
        """What `wsproxy diagnose` prints, without colours."""
        # Looked up when somebody prints: analysis runs without a terminal and imports nothing of one.
        return str(importlib.import_module("wsproxy.render.diagnosis").plain(self))

    def to_json(self) -> list[dict[str, Any]]:
        """What `wsproxy diagnose --json` prints: the verdict, then a line per finding."""
        main = self.main
        verdict: dict[str, Any] = {
            "kind": "diagnosis",
            "stream": self.stream,
            "verdict": self.verdict,
            "code": main.code if main else None,
            "answer": self.answer,
            "chunk": main.chunk if main else None,
            "stage": main.stage if main else None,
            "ms": None if main is None or main.ms is None else round(main.ms, 3),
            "attempts": [
                {"conn": a.conn, "figures": a.figures, "codes": [f.code for f in a.findings]} for a in self.attempts
            ],
        }
        lines: list[dict[str, Any]] = [verdict]
        for one in self.findings:
            shown = [{"number": n, "t": round(when(self.items[n]) / 1e9, 9)} for n in one.evidence if n in self.items]
            lines.append({"kind": "finding", "stream": self.stream, **one.to_json(), "evidence": shown})
        return lines


def diagnose(recording: Source) -> Diagnosis:
    """Judge one recording."""
    journey = read(recording)
    judged = [_judge(journey, attempt) for attempt in journey.attempts]
    found = sorted((one for attempt in judged for one in attempt.findings), key=lambda one: one.rank)
    found += recording_itself(journey)
    if not journey.attempts:
        found.insert(0, _no_stream(journey))
    found = _doubted(journey, found)
    found.sort(key=lambda one: one.rank)
    verdict, answer = _answer(journey, judged, found)
    numbers = list(dict.fromkeys(n for one in found for n in one.evidence))[:_EVIDENCE]
    contacts = tuple(_contacts(journey, recording.header.start_wall_ns))
    return Diagnosis(journey.stream, verdict, answer, tuple(judged), tuple(found), pick(recording, numbers), contacts)


def _contacts(journey: Journey, start: int) -> list[Contact]:
    found = [
        Contact(
            start + one.first,
            start + one.last,
            one.upstream,
            REFUSED if one.error else TAKEN,
            one.error or "",
            one.count,
        )
        for one in journey.dials
    ]
    if found:
        found += breaks(journey.attempts, found[-1].upstream, start)
    return found


def _judge(journey: Journey, attempt: Attempt) -> Judged:
    fatal = opening(journey, attempt)
    if fatal is not None:
        return Judged(attempt.conn, (fatal, *vanished(attempt, WARNING)), "")
    course = Course(attempt)
    found = [*raised(course), *travel(journey, course)]
    if not any(one.code.startswith("too-late") or one.code == "arrived-not-read" for one in found):
        found += list(silent(attempt)) or unanswered(course)
    found += [*order(course), *ending(journey, course)]
    if course.client_left:  # nobody was there to lose it
        found = [one for one in found if one.code in ("client-left", "peer-vanished") or one.severity != LOST]
    if not any(one.severity == LOST for one in found):
        found += designs(course)
        if course.wired and course.out_rows and not attempt.has("client"):
            found.append(finding("frames-alone", "every chunk is followed as far as the wire", unknown=CLIENT_HOOK))
    else:
        found += [one for one in designs(course) if one.code == "policy-buffered"]
    if attempt.conn is None:
        found.append(
            finding(
                "not-through-relay", "there are markers of this stream and no frames: it did not run through this relay"
            )
        )
    waited = any(one.code == "end-missing" for one in found)
    return Judged(attempt.conn, tuple(sorted(found, key=lambda one: one.rank)), figures(course, waited=waited))


def _doubted(journey: Journey, found: list[Finding]) -> list[Finding]:
    """With events missing, a loss is only what it looks like."""
    if not journey.gaps:
        return found
    return [replace(one, severity=UNSURE) if one.severity in (LOST, DAMAGED) else one for one in found]


def _answer(journey: Journey, judged: list[Judged], found: list[Finding]) -> tuple[str, str]:
    first = found[0] if found else None
    if not journey.attempts or (first and first.code == "not-pipeline"):
        assert first is not None
        gone = [one.sentence for one in found if one.code == "peer-vanished"][:1]
        return NO_STREAM, f"no stream: {'; '.join([first.sentence, *gone])}."
    if first is not None and first.severity in (LOST, DAMAGED, UNSURE):
        which = ""
        if len(judged) > 1:
            place = next((n for n, one in enumerate(judged, 1) if any(f.code == first.code for f in one.findings)), 0)
            which = f"attempt {place} of {len(judged)}: " if place else ""
        seems = next(
            (one for one in found if one.severity == UNSURE and one.code not in ("recorder-gap", "recording-cut")), None
        )
        if first.severity == UNSURE and journey.gaps and seems is not None:
            gap = next(one for one in found if one.code == "recorder-gap")
            return UNSURE, f"{_LABELS[UNSURE]}: {gap.sentence}; it looks as if {seems.sentence}."
        return first.severity, f"{_LABELS[first.severity]}: {which}{first.sentence}."
    last = judged[-1]
    told = [f.sentence for f in last.findings if f.code in ("blocked", "client-left", "still-open", "end-missing")][:1]
    several = f"; {len(judged)} attempts" if len(judged) > 1 else ""
    return FINE, f"{_LABELS[FINE]}: {'; '.join([*told, last.figures])}{several}."


def _no_stream(journey: Journey) -> Finding:
    if journey.exchanges:
        what = f"{journey.exchanges:,} HTTP exchange{'' if journey.exchanges == 1 else 's'} and no WebSocket"
    else:
        what = f"{journey.markers:,} markers and no WebSocket" if journey.markers else "no WebSocket"
    return finding("no-stream", f"this recording holds {what}" if journey.events else "nothing was recorded")


def figures(course: Course, *, waited: bool = False) -> str:
    """A healthy stream in figures: counts, the time of answers, the end.

    Args:
        waited: that END was missing has been said already.
    """
    attempt = course.attempt
    ups = len(attempt.seen.get(WIRE_UP, ())) if course.wired else len(course.up.rows) - len(course.up.extra)
    downs = len(attempt.seen.get(WIRE_DOWN, ())) if course.wired else len(course.out_rows)
    parts = [f"{chunks(ups)} up, {downs:,} down"]
    times = sorted(
        course.down.point(row).t - course.up.ended(course.in_rows[turn.inputs[-1]])
        for row, turn in course.turn_of.pairs()
        if turn.inputs
    )
    if times:
        most = f", at most {span(times[-1])}" if len(times) > 1 else ""
        parts.append(f"answered in {span(times[len(times) // 2])}{most}")
    close = min((c for c in attempt.closes.items()), key=lambda item: item[1].t, default=None)
    if close:
        who = "the client" if close[0] == C2S else "the control plane"
        parts.append(f"closed with {close[1].code} by {who} at {instant(close[1].t)}")
    if course.wired and S2C not in attempt.ends and course.client_closed_first and course.turn_of and not waited:
        parts.append("no END from the control plane, which loses nothing")
    return mask_text(", ".join(parts))


__all__ = ["FINE", "NO_STREAM", "NOTE", "WARNING", "Diagnosis", "Judged", "diagnose"]
