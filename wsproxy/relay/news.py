"""What happened to connections, for whoever prints or counts it, and trouble that a person should know of: once, not a thousand times.

Strategy: plain data (`Summary`, `Counters`), a `Watcher` to be told, and `News`, which keeps the counts and decides what is worth a sentence. An
upstream that fails is told when it starts to and when it is back; what goes wrong again and again, once a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..wire.events import C2S, S2C, Dir, WireEvent
from .dial import DialError
from .recorder import ConnectionRecorder

QUIET_SECONDS = 60.0
_REMEMBERED = 1000  # sentences


@dataclass(slots=True)
class Summary:
    """A connection, as it is or was. Times in seconds; `closed_by` sent the first close frame ("client", "server")."""

    conn: int
    client: str
    target: str = ""
    status: int = 0
    frames: dict[Dir, int] = field(default_factory=lambda: {C2S: 0, S2C: 0})
    bytes: dict[Dir, int] = field(default_factory=lambda: {C2S: 0, S2C: 0})
    seconds: float = 0.0
    close_code: int | None = None
    close_reason: str = ""
    closed_by: str = ""
    end: str = ""
    file: str = ""
    error: str | None = None


class Watcher:
    """What wants to know about connections; all methods may be left as they are."""

    #: Called with the events of every connection as they pass, where a live view wants them. None costs nothing.
    events: Callable[[list[WireEvent]], None] | None = None

    def opened(self, summary: Summary) -> None:
        """A connection has sent its first request head."""

    def ended(self, summary: Summary) -> None:
        """A connection is over."""

    def trouble(self, sentence: str) -> None:
        """Something that a person should know now."""

    def remark(self, sentence: str) -> None:
        """Something that a person may like to know."""


@dataclass(slots=True)
class Counters:
    """Totals of the run, for /metrics."""

    accepted: int = 0
    open: int = 0
    refused: int = 0  # answered with 502
    faults: int = 0
    frames: dict[Dir, int] = field(default_factory=lambda: {C2S: 0, S2C: 0})
    bytes: dict[Dir, int] = field(default_factory=lambda: {C2S: 0, S2C: 0})


class News:
    """Counts, and tells a watcher."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.counters = Counters()
        self.upstream_errors: dict[str, str] = {}  # upstream → why its last dial failed
        self._quiet_until: dict[str, float] = {}
        self._fault_told = False

    def upstream_fails(self, upstream: str, error: DialError) -> None:
        """An upstream is not there, or could not be asked."""
        why = str(error)
        if error.local:
            self.now_and_then("dial", f"{why}; clients get 502")
        elif self.upstream_errors.get(upstream) != why:
            self.upstream_errors[upstream] = why
            self.watcher.trouble(f"upstream {upstream} {error.fault}: {why}; clients get 502")

    def upstream_answers(self, upstream: str) -> None:
        """An upstream took a connection."""
        if self.upstream_errors.pop(upstream, None) is not None:
            self.watcher.trouble(f"upstream {upstream} is back")

    def now_and_then(self, what: str, sentence: str) -> None:
        """Say it, if `what` was not said within the last minute."""
        now = time.monotonic()
        if now >= self._quiet_until.get(what, 0.0):
            if len(self._quiet_until) >= _REMEMBERED:
                self._quiet_until.clear()
            self._quiet_until[what] = now + QUIET_SECONDS
            self.watcher.trouble(sentence)

    def fault(self, error: Exception) -> None:
        """Something went wrong inside the recorder."""
        self.counters.faults += 1
        if not self._fault_told:
            self._fault_told = True
            self.watcher.trouble(
                f"fault in the recorder ({type(error).__name__}: {error}): traffic flows on, the recording says what it lacks"
            )

    def ended(self, recorder: ConnectionRecorder, conn: int, client: str, opened: int) -> None:
        """A connection is over."""
        counters = self.counters
        counters.open -= 1
        summary = Summary(conn, client, recorder.target, recorder.status, error=recorder.error)
        summary.seconds = (time.monotonic_ns() - opened) / 1e9
        recorder.summarize(summary.frames, summary.bytes)
        for dir in (C2S, S2C):
            counters.frames[dir] += summary.frames[dir]
            counters.bytes[dir] += summary.bytes[dir]
        lane = recorder.lane
        if lane is not None:
            summary.file = lane.stream.path
            closes = [close for dir in (C2S, S2C) if (close := lane.track(dir).packer.close) is not None]
            if closes:
                first = min(closes, key=lambda frame: frame.t)
                summary.closed_by = "client" if first.dir == C2S else "server"
                summary.close_code = int.from_bytes(first.payload[:2], "big") if len(first.payload) >= 2 else 1005
                summary.close_reason = first.payload[2:].decode("utf-8", "replace")
        summary.end = recorder.end_summary
        self.watcher.ended(summary)
