"""Many recordings at a glance: a row of figures for each, and which rows are wanted, in which order.

Strategy: what a file's name and size tell is decided first, what its two ends tell next, and only what is still in doubt is read whole; a
diagnosis is made only for who asks what was lost. So `--limit 20` of ten thousand opens twenty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ..errors import RecordingError
from ..recording.catalogue import Entry
from ..recording.ends import HEAD, SHORT_HEAD, SHORT_TAIL, TAIL, ends
from ..recording.events import Header
from ..recording.reader import Ending, Recording
from .outcome import Outcome, outcome, outcome_of_ends

_ALTERED = re.compile(r".*-[0-9a-f]{8}|[0-9a-f]{8}", re.DOTALL)  # a name that may not be the id itself

#: What `--status` takes, and what it means.
STATUSES = {
    "finished": "a trailer is last",
    "open": "a relay is writing it",
    "unfinished": "whole events, but no trailer",
    "torn": "cut off inside an event",
    "damaged": "bytes that are no event",
    "gaps": "the recorder lost something",
    "refused": "the upstream did not answer",
    "reset": "one side reset the connection",
    "lost": "diagnose says that a message was lost",
}
ORDERS = ("time", "size", "stream", "status", "frames")


@dataclass(frozen=True, slots=True)
class Row:
    """A recording and what it comes to."""

    entry: Entry
    stream: str
    start_wall_ns: int
    outcome: Outcome
    ending: Ending

    def has(self, status: str) -> bool:
        """Whether one of STATUSES is true of it."""
        if status == "gaps":
            return self.outcome.gaps > 0
        if status == "refused":
            return bool(self.outcome.error)
        if status == "reset":
            return bool(self.outcome.reset_by)
        if status == "lost":
            from .diagnose import diagnose

            return diagnose(Recording(self.entry.path)).verdict == "lost"
        return self.ending.state == status


def row(entry: Entry) -> Row:
    """Read what a recording comes to. Raises RecordingError."""
    for sizes in ((SHORT_HEAD, SHORT_TAIL), (HEAD, TAIL)):
        try:
            short = ends(entry.path, *sizes)
        except OSError as error:
            raise RecordingError(f"{entry.path}: {(error.strerror or str(error)).lower()}") from None
        figures = None if short is None else outcome_of_ends(short)
        if short is not None and figures is not None:
            return _row(entry, short.header, figures, Ending("finished", entry.size, 0, None))
    recording = Recording(entry.path)
    figures = outcome(recording.events())
    assert recording.ending is not None
    return _row(entry, recording.header, figures, recording.ending)


def _row(entry: Entry, header: Header, figures: Outcome, ending: Ending) -> Row:
    return Row(entry, header.stream_id or entry.stream, header.start_wall_ns, figures, ending)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which recordings are wanted. Times in nanoseconds since the epoch; `written_before` is of the last writing, the others of the start.

    `stream` is matched at the start of the stream id; of `statuses` one must hold.
    """

    since: int | None = None
    until: int | None = None
    written_before: int | None = None
    stream: re.Pattern[str] | None = None
    statuses: tuple[str, ...] = ()

    def admits(self, entry: Entry) -> bool:
        """Whether the file may be wanted, as far as its name and times tell."""
        return (
            (self.since is None or entry.since >= self.since)
            and (self.until is None or entry.since <= self.until)
            and (self.written_before is None or entry.written < self.written_before)
            and (self.stream is None or self._is_of(entry, self.stream))
        )

    def admits_row(self, found: Row) -> bool:
        """Whether it is wanted, when `admits` said that it may be."""
        return not self.statuses or any(map(found.has, self.statuses))

    @staticmethod
    def _is_of(entry: Entry, stream: re.Pattern[str]) -> bool:
        if stream.match(entry.stream):
            return True
        if not _ALTERED.fullmatch(entry.stream):
            return False
        try:
            return bool(stream.match(Recording(entry.path).header.stream_id or ""))
        except RecordingError:
            return False


def rows(
    entries: Iterable[Entry],
    choice: Choice,
    order: str = "time",
    limit: int | None = None,
    on_trouble: Callable[[RecordingError], None] = lambda _: None,
    on_read: Callable[[Entry], None] = lambda _: None,
) -> Iterator[Row]:
    """The rows that are wanted, the last of their order last.

    Args:
        entries: in the order of time.
        order: one of ORDERS.
        limit: only that many: the last.
        on_trouble: called with what cannot be read.
        on_read: called with each file that was looked into, wanted or not.
    """
    wanted = [entry for entry in entries if choice.admits(entry)]
    if order in _OF_ENTRIES:
        wanted.sort(key=_OF_ENTRIES[order])
    if order in _OF_ROWS:
        found = sorted(_read(wanted, choice, on_trouble, on_read), key=_OF_ROWS[order])
        return iter(found if limit is None else found[-limit:])
    if limit is not None:
        return reversed(list(islice(_read(reversed(wanted), choice, on_trouble, on_read), limit)))
    return _read(wanted, choice, on_trouble, on_read)


_OF_ENTRIES: dict[str, Callable[[Entry], Any]] = {
    "size": lambda entry: entry.size,
    "stream": lambda entry: entry.stream,
}
_OF_ROWS: dict[str, Callable[[Row], Any]] = {
    "status": lambda found: (found.outcome.words, found.ending.state),
    "frames": lambda found: sum(found.outcome.frames.values()),
}


def _read(
    entries: Iterable[Entry],
    choice: Choice,
    on_trouble: Callable[[RecordingError], None],
    on_read: Callable[[Entry], None],
) -> Iterator[Row]:
    for entry in entries:
        try:
            found = row(entry)
            wanted = choice.admits_row(found)
        except RecordingError as error:
            on_trouble(error)
            continue
        on_read(entry)
        if wanted:
            yield found
