"""The verdict of `wsproxy diagnose`: the answer in one line, then what it rests on, then what to try; or a line per recording and a summary.

Strategy: evidence is drawn by the timeline, so that its lines are those that `wsproxy show` prints, number and time alike.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..analysis.diagnose import FINE, NO_STREAM, Diagnosis
from ..analysis.diagnosis.findings import CAUSES, DAMAGED, LOST, NOTE, UNSURE, Finding
from ..analysis.outages import Contact, Outage, outages
from ..recording.view import when
from .screen import PIPE_WIDTH, Line
from .text import count, escape, preview
from .timeline import Timeline

_STYLES = {LOST: "bold red", DAMAGED: "bold red", UNSURE: "bold yellow", FINE: "bold green", NO_STREAM: "bold"}
_WORDS = {LOST: "LOST", DAMAGED: "DAMAGED", UNSURE: "CANNOT TELL", FINE: "ok", NO_STREAM: "-"}
_OUTAGES = 20  # that are told
_NAMED = 6  # streams that a line of the summary names


def diagnosis_lines(diagnosis: Diagnosis, width: int, *, wrap: bool = False) -> Iterator[Line]:
    """One recording: the answer, the evidence, what could not be known, what to try.

    Args:
        wrap: break the answer between words; otherwise it is one line, however long.
    """
    yield from _answer(diagnosis, width if wrap else 0)
    main = diagnosis.main
    shown = [main] if main is not None else []
    shown += [one for one in diagnosis.findings if one is not main and one.severity != NOTE]
    for one in shown:
        if one is not main:
            yield from _wrapped(
                f"{one.severity}: {one.sentence}", width, "  ", "yellow" if one.severity != LOST else "red"
            )
        yield from _evidence(diagnosis, one, width)
    notes = [
        one
        for one in diagnosis.findings
        if one.severity == NOTE and not one.unknown and one.sentence not in diagnosis.answer
    ]
    for one in notes:
        yield from _wrapped(one.sentence, width, "  ", "dim")
    told = shown if main is not None else diagnosis.findings
    for unknown in dict.fromkeys(one.unknown for one in told if one.unknown):
        yield from _wrapped(f"not known: {unknown}", width, "  ", "yellow", "             ")
    for outage in outages(diagnosis.contacts):
        yield from _wrapped(outage.sentence, width, "  ", "yellow")
    if len(diagnosis.attempts) > 1:
        for number, attempt in enumerate(diagnosis.attempts, 1):
            codes = ", ".join(one.code for one in attempt.findings if one.severity != NOTE) or "nothing lost"
            figures = f"; {attempt.figures}" if attempt.figures else ""
            yield from _wrapped(f"attempt {number} (connection {attempt.conn}): {codes}{figures}", width, "  ", "dim")
    for advice in dict.fromkeys(one.cause.advice for one in shown if one.cause.advice):
        yield from _wrapped(f"try: {advice}", width, "  ", "bold" if main else "", "       ")


def _answer(diagnosis: Diagnosis, width: int) -> Iterator[Line]:
    style = "bold" if diagnosis.exit_status else ""
    text = escape(diagnosis.answer)
    first, *others = textwrap.wrap(text, max(width, 40)) if width else [text]
    label, _, rest = first.partition(":")
    yield [(label + ":", _STYLES[diagnosis.verdict]), (rest, style)]
    for line in others:
        yield [(line, style)]


def _evidence(diagnosis: Diagnosis, one: Finding, width: int) -> Iterator[Line]:
    timeline = Timeline(width)
    items = [(number, diagnosis.items[number]) for number in one.evidence if number in diagnosis.items]
    for number, item in sorted(items, key=lambda pair: (when(pair[1]), pair[0])):
        yield from timeline.lines(number, item)


def _wrapped(text: str, width: int, indent: str, style: str, further: str | None = None) -> Iterator[Line]:
    further = indent + "  " if further is None else further
    for line in textwrap.wrap(escape(text), max(width, 40), initial_indent=indent, subsequent_indent=further):
        yield [(line, style)]


def plain(diagnosis: Diagnosis) -> str:
    """The same as text."""
    return "\n".join("".join(text for text, _ in line).rstrip() for line in diagnosis_lines(diagnosis, PIPE_WIDTH))


# --- several recordings -----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Group:
    count: int = 0
    least: float | None = None
    most: float | None = None
    streams: list[str] = field(default_factory=list)

    def add(self, stream: str, ms: float | None) -> None:
        self.count += 1
        if len(self.streams) < _NAMED:
            self.streams.append(stream)
        if ms is not None:
            self.least = ms if self.least is None else min(self.least, ms)
            self.most = ms if self.most is None else max(self.most, ms)


class Summary:
    """Adds up diagnoses by cause, and finds when upstreams were away; of each recording some contacts are kept."""

    def __init__(self) -> None:
        self._verdicts: dict[str, int] = {}
        self._causes: dict[str, _Group] = {}
        self._failed = 0
        self._contacts: list[Contact] = []

    def add(self, diagnosis: Diagnosis) -> None:
        self._verdicts[diagnosis.verdict] = self._verdicts.get(diagnosis.verdict, 0) + 1
        main = diagnosis.main
        if main is not None:
            self._causes.setdefault(main.code, _Group()).add(diagnosis.stream, main.ms)
        self._contacts += diagnosis.contacts

    def failed(self) -> None:
        """One that could not be read."""
        self._failed += 1

    def outages(self) -> list[Outage]:
        """When upstreams were away, as all recordings together tell."""
        return outages(self._contacts)

    def lines(self, width: int) -> Iterator[Line]:
        """How many of what, then a line per cause, the most frequent first."""
        spoken = {
            FINE: "with nothing lost",
            LOST: "lost something",
            DAMAGED: "damaged",
            UNSURE: "cannot be told",
            NO_STREAM: "hold no stream",
        }
        parts = [
            f"{self._verdicts[verdict]:,} {words}" for verdict, words in spoken.items() if verdict in self._verdicts
        ]
        parts += [f"{self._failed:,} not readable"] if self._failed else []
        yield [(f"{count(sum(self._verdicts.values()) + self._failed, 'recording')}: ", "bold"), (", ".join(parts), "")]
        for code, group in sorted(self._causes.items(), key=lambda item: -item[1].count):
            late = "" if group.least is None or group.most is None else f", {_ms(group.least, group.most)}"
            streams = ", ".join(stream[:8] for stream in group.streams) + (
                " …" if group.count > len(group.streams) else ""
            )
            yield [
                (f"{group.count:>6,}  ", "bold red"),
                (preview(f"{code}: {CAUSES[code].title}{late}", width - 8), ""),
            ]
            yield [("        " + preview(streams, width - 8), "dim")]
        away = self.outages()
        for outage in away[:_OUTAGES]:
            yield [("  away  ", "bold red"), (escape(outage.sentence), "")]
        if len(away) > _OUTAGES:
            yield [("        " + f"and {len(away) - _OUTAGES:,} times more", "dim")]


def _ms(least: float, most: float) -> str:
    return f"{least:.0f} ms" if round(least) == round(most) else f"{least:.0f} to {most:.0f} ms"


def listing_line(diagnosis: Diagnosis, width: int) -> Line:
    """One recording among many."""
    stream = preview(diagnosis.stream[:8] or "-", 8)
    main = diagnosis.main
    code = f"{main.code}: " if main else ""
    _, _, rest = diagnosis.answer.partition(": ")
    return [
        (f"{stream:<8}  ", ""),
        (f"{_WORDS[diagnosis.verdict]:<11}  ", _STYLES[diagnosis.verdict]),
        (preview(f"{code}{rest}", max(width - 23, 20)), ""),
    ]
