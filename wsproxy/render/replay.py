"""What a replay says while it runs and when it is over: what is served, each difference at once, the sum."""

from __future__ import annotations

from collections.abc import Iterator

from ..replay.report import Mismatch, Report
from ..secrets.masking import mask_text
from .screen import Line
from .text import count, escape, preview, size

_VALUE = 60  # cells of an expected or found value
_SHOWN = 5  # of the paths that are served


def ready_line(url: str, recordings: int, served: list[str]) -> Line:
    """One line: where, and what."""
    some = ", ".join(escape(name) for name in served[:_SHOWN])
    more = f" and {len(served) - _SHOWN} more" if len(served) > _SHOWN else ""
    return [(f"serving {count(recordings, 'recording')} on ", ""), (url, "bold"), (f": {some}{more}; Ctrl-C ends", "")]


def mismatch_line(mismatch: Mismatch) -> Line:
    """One line: when, which stream, who said what, and what stands in the recording."""
    where = f" (event {mismatch.event})" if mismatch.event else ""
    stream = f"stream {escape(mismatch.stream)}: " if mismatch.stream else ""
    return [
        (f"{mismatch.t:9.4f}  ", "dim"),
        ("differs ", "red"),
        (f"{stream}{_whose(mismatch)}{where}: {escape(mismatch.field)}: expected ", ""),
        (_value(mismatch.expected), "green"),
        (", got ", ""),
        (_value(mismatch.got), "red"),
    ]


def summary_lines(report: Report) -> Iterator[Line]:
    """The answer first, then what it rests on."""
    sent, received = report.sent, report.received
    if report.diverged:
        yield [("diverged", "red"), (f": {count(len(report.mismatches), 'difference')}", "")]
    elif report.connections or report.exchanges:
        yield [("as recorded", "green")]
    else:
        yield [("nothing was played", "yellow"), (": no client came", "")]
    what = [count(report.connections, "connection"), count(report.exchanges, "HTTP exchange")]
    yield [(f"  played the {report.side}: {', '.join(what)}", "")]
    for word, said in (("said", sent), ("heard", received)):
        parts = (count(said.messages, "message"), count(said.frames, "frame"), size(said.bytes))
        yield [(f"  {word:<6}{', '.join(parts)}", "")]
    if report.abandoned:
        yield [(f"  not said: {count(report.abandoned, 'message')}, because the peer had gone or was silent", "yellow")]
    if report.timing.steps:
        median, p99 = report.timing.median * 1e3, report.timing.p99 * 1e3
        steps = count(report.timing.steps, "step")
        yield [(f"  on time: {steps}, late by {median:.2f} ms in the median, {p99:.2f} ms at the 99th percentile", "")]
    for note in report.notes:
        yield [("  " + escape(note), "yellow")]
    for path in report.recordings[:_SHOWN]:
        yield [(f"  recorded {escape(path)}", "")]
    if len(report.recordings) > _SHOWN:
        yield [(f"  … and {len(report.recordings) - _SHOWN} more recordings", "dim")]


def _whose(mismatch: Mismatch) -> str:
    """The client's message 3; POST /api/hooks/x of the client."""
    if mismatch.place.startswith("its "):
        return f"the {mismatch.who}'s {escape(mismatch.place.removeprefix('its '))}"
    if mismatch.place.startswith("message "):
        return f"the {mismatch.who}'s {escape(mismatch.place)}"
    if mismatch.who == "server":
        return f"the server's answer to {escape(mismatch.place)}"
    return f"the {mismatch.who}'s {escape(mismatch.place)}"


def _value(value: str) -> str:
    return preview(mask_text(value), _VALUE)
