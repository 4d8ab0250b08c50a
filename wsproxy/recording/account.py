"""The file of a recording that knows what it lacks: what could not be written is counted, and said in a gap event as soon as it can be.

Strategy: no error leaves this module. The torn bytes of a write that failed are cut off again (see `file`), and the next write that succeeds puts a
gap in front that says what is missing. Creating the file is a write like any other, so a full or missing folder is a gap too. After an error the
disk is asked again five times a second, not for every event. Nothing here knows who writes: `writer` on the relaying thread, or the thread of
`behind`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from .behind import Batch, Lateness
from .events import Event, Gap, Header, Late
from .file import RecordingFile
from .format import pack_event

RETRY_NS = 200_000_000  # between two tries to write again after an error


class AccountedFile(RecordingFile):
    """One file, and the account of what is missing in it.

    Args:
        path: the file; it must not exist, its folder must.
        header: written first.
        on_trouble: called with the path and a sentence when writing starts to fail, with None when it works again.
        sync: every write waits until it is on the disk.
        at_once: an event may be appended by a plain `write` while nothing is missing.

    Attributes:
        gaps: that stand in the file.
        own: events of the file that were put there here, gaps aside.
        news: what `tell` is to tell.
    """

    __slots__ = ("_at_once", "_direct", "_gap", "_retry_at", "gaps", "news", "on_trouble", "own")

    def __init__(
        self, path: str, header: Header, on_trouble: Callable[[str, str | None], None], *, sync: bool, at_once: bool
    ) -> None:
        super().__init__(path, header, sync=sync)
        self.on_trouble = on_trouble
        self.gaps = self.own = 0
        self.news: list[str | None] | None = None
        self._gap: Gap | None = None
        self._at_once = at_once
        self._direct = -1  # the open file, while nothing stands between an event and its place in there
        self._retry_at = 0

    @property
    def failing(self) -> bool:
        """Whether there is a gap that could not be written yet."""
        return self._gap is not None

    def tell(self) -> None:
        """Tell what has happened to the file. On the relaying thread."""
        news, self.news = self.news, None
        for sentence in news or ():
            self.on_trouble(self.path, sentence)

    def packed(self, event: Event) -> bytes:
        """An event of the file's own as msgpack."""
        return pack_event(event, self.header.start_mono_ns)

    def overflows(self, reason: str) -> None:
        """The queue is full: a gap begins. On the relaying thread."""
        self.on_trouble(self.path, f"cannot write {self.path}: {reason}")

    def put(self, batch: Batch) -> bool:
        """Write events that have waited; whether that could be done."""
        gap = self._gap
        try:
            self._append(batch.buffers if gap is None else [self.packed(gap), *batch.buffers])
        except OSError as error:
            self._retry_at = batch.until + RETRY_NS
            self._lose(_reason(error), batch.events, batch.wire, batch.until, since=batch.t)
            return False
        self._gap = None
        self._set_direct()
        for _ in range(batch.gaps + (gap is not None)):
            self.gaps += 1
            self._note(None)
        return True

    def say_late(self, late: Lateness, *, begins: bool = False) -> None:
        """Put it into the file that events are written later than they are forwarded (`begins`), or were."""
        event = Late(late.t) if begins else Late(late.t, late.until, late.events, late.longest)
        if self._gap is None:
            with contextlib.suppress(OSError):  # the next write meets it too, and counts what it costs
                self._append([self.packed(event)])
                self.own += 1
                return
            self._direct = -1

    def _add(self, buffers: list[bytes], events: int, wire: int, t: int) -> None:
        """Write events, and the gap before them, or lose them."""
        if self._gap is not None:
            if t < self._retry_at:
                self._lose(self._gap.reason, events, wire, t)
                return
            buffers = [self.packed(self._gap), *buffers]
        try:
            self._append(buffers)
        except OSError as error:
            self._retry_at = t + RETRY_NS
            self._lose(_reason(error), events, wire, t)
            return
        if self._gap is not None:
            self._gap = None
            self.gaps += 1
            self._note(None)
        self._set_direct()

    def _set_direct(self) -> None:
        """A write has succeeded, and no gap is left."""
        self._direct = self._fd if self._at_once else -1

    def _close_file(self) -> None:
        self._direct = -1
        super()._close_file()

    def _settle(self, t: int) -> None:
        """Write the gap if there is one and it can be: before a trailer counts."""
        self._retry_at = 0
        if self._gap is not None:
            self._add([], 0, 0, t)
            self._retry_at = 0

    def _finish(self, trailer: Callable[[int, int], bytes], t: int) -> None:
        self._settle(t)
        self._add([trailer(self.gaps, self.own)], 0, 0, t)
        self._close(t)

    def _close(self, t: int) -> None:
        self._settle(t)
        try:
            self._close_file()
        except OSError as error:  # a disk on the network may tell only now
            self._lose(_reason(error), 0, 0, t)

    def _discard(self) -> None:
        if self._fd >= 0:
            self._close_file()
            try:
                os.unlink(self.path)
            except OSError:
                pass  # it is not needed, and says of itself whose it was

    def _begin_again(self, events: int, wire: int, t: int) -> None:
        self._close_file()
        self.size = self.gaps = self._retry_at = 0
        self._torn = False
        self._gap = None
        start = self.header.start_mono_ns
        self._lose("the file was removed while it was written", events + self.own, wire, t, since=start)
        self._add([], 0, 0, t)

    def _note(self, sentence: str | None) -> None:
        self.news = [*(self.news or ()), sentence]

    def _lose(self, reason: str, events: int, wire: int, t: int, since: int | None = None) -> None:
        self._direct = -1
        if self._gap is None:
            self._gap = Gap(t if since is None else since, t, events, wire, reason)
            self._note(f"cannot write {self.path}: {reason}")
        else:
            gap = self._gap
            self._gap = Gap(gap.t, t, gap.events + events, gap.bytes + wire, reason)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
