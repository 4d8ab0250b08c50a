"""Writes one recording: bytes to a file, and an account of what could not be written.

Strategy: the caller hands over whole events; they reach the operating system in one write, before the call returns (durability
`every`), with an fdatasync (`sync`), or within 50 ms by the owner's `flush` (`batch`). While the disk stalls they wait in the queue of `Disk`
instead, whose thread writes them: whatever touches the file is done either here and now or, in the same order, there. No error leaves this module: a
write that fails is counted, the torn bytes are cut off again, and the next write that succeeds puts a gap event in front that says
what is missing. Creating the file is a write like any other, so a full or missing folder is a gap too. A file that is removed takes what is
written without an error: whether it was is for the owner to ask from time to time (`vanished`).

Cost: one `write` per call below 32 KiB of events, beside what `file` says.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

from .behind import Batch, Entry, Lateness
from .disk import Disk
from .events import Event, Gap, Header, Late
from .file import JOIN_BELOW, RecordingFile
from .format import pack_event

Durability: TypeAlias = Literal["every", "batch", "sync"]

_BATCH_LIMIT = 1 << 20  # bytes; a batch that reaches it is written at once
RETRY_NS = 200_000_000  # between two tries to write again after an error


class RecordingWriter(RecordingFile):
    """One recording that is being written.

    Args:
        path: the file; it must not exist, its folder must.
        header: written first.
        durability: when what is added reaches the operating system.
        on_trouble: called with the path and a sentence when writing starts to fail, with None when it works again.
        disk: shared by all recordings of a relay, which may write aside; by default a disk of its own that is always written to at once.

    Attributes:
        gaps: that stand in the file.
        own: events of the file that the writer has put there itself, gaps aside.
        news: what `tell` is to tell.
    """

    __slots__ = (
        "_batch",
        "_batch_events",
        "_batch_size",
        "_batch_wire",
        "_direct",
        "_gap",
        "_retry_at",
        "disk",
        "durability",
        "gaps",
        "news",
        "on_trouble",
        "own",
    )

    def __init__(
        self,
        path: str,
        header: Header,
        durability: Durability,
        on_trouble: Callable[[str, str | None], None],
        disk: Disk | None = None,
    ) -> None:
        super().__init__(path, header, sync=durability == "sync")
        self.durability = durability
        self.on_trouble = on_trouble
        self.disk = disk if disk is not None else Disk()
        self.gaps = self.own = 0
        self.news: list[str | None] | None = None
        self._gap: Gap | None = None
        self._direct = -1  # the open file, while nothing stands between an event and its place in there
        self._retry_at = 0
        self._batch: list[bytes] = []
        self._batch_size = self._batch_events = self._batch_wire = 0

    def write(self, buffers: list[bytes], events: int, wire: int, t: int) -> None:
        """Add events.

        Args:
            buffers: their msgpack, in order.
            events: how many they are.
            wire: how many wire bytes they stand for.
            t: the time of the last one, in nanoseconds on the relay's clock.
        """
        disk = self.disk
        if not disk.inline and self._goes_aside(Batch(buffers, events, wire, t, t)):
            return
        if self._direct >= 0 and wire < JOIN_BELOW:
            self.append(b"".join(buffers), events, wire, t)
        elif self.durability == "batch" and self._gap is None:
            self._batch += buffers
            self._batch_size += sum(map(len, buffers))
            self._batch_events += events
            self._batch_wire += wire
            if self._batch_size >= _BATCH_LIMIT:
                self.flush(t)
        else:
            self._write_guarded(buffers, events, wire, t)

    def append(self, data: bytes, events: int, wire: int, t: int) -> None:
        """The hot path: `write` of what is joined already, and less than 32 KiB. One call of the system; anything unusual goes the long way."""
        disk = self.disk
        fd = self._direct
        if fd < 0 or not disk.inline:
            self.write([data], events, wire, t)
            return
        disk.call = self
        try:
            done = os.write(fd, data)
        except OSError:
            done = 0
        disk.call = None
        if done == len(data):
            self.size += done
            if disk.taken:
                disk.take_back()
                disk.was_late(self, events, t)
            return
        self._direct = -1
        self._torn = True
        if disk.taken:
            aside = disk.put(self, Batch([data], events, wire, t, t), first=True)
            disk.take_back()
            if aside:
                return
        self._write_guarded([data], events, wire, t)

    def _write_guarded(self, buffers: list[bytes], events: int, wire: int, t: int) -> None:
        with self.disk.guarded(self) as guard:
            self._add(buffers, events, wire, t)
        if guard.taken and self._gap is None:  # what is missing is not late
            self.disk.was_late(self, events, t)
        if self.news:
            self.tell()

    @property
    def failing(self) -> bool:
        """Whether there is a gap that could not be written yet."""
        return self._gap is not None

    @property
    def waits(self) -> bool:
        """Whether something is still to be written."""
        return self.disk.stalled and self.disk.waits(self)

    def flush(self, t: int) -> None:
        """Write what a batch holds."""
        if not self._batch or (not self.disk.inline and self._goes_aside(None)):
            return
        buffers, events, wire = self._batch, self._batch_events, self._batch_wire
        self._empty_batch()  # before the call: whoever relays while it is stuck has a batch of its own
        with self.disk.guarded(self):
            self._add(buffers, events, wire, t)
        if self.news:
            self.tell()

    def write_out(self, t: int) -> None:
        """Write all that was added, and wait for it where the disk stalls."""
        self.flush(t)
        if self.disk.stalled:
            with self.disk.guarded():
                self.disk.until_written(self)

    def finish(self, trailer: Callable[[int, int], bytes], t: int, done: Callable[[], None] = lambda: None) -> None:
        """Write what is left (the gap too, if it can be) and a trailer, and close the file; `write` opens it again.

        Args:
            trailer: gives its msgpack for (`gaps`, `own`).
            done: called when that is so, or was tried.
        """

        def finish() -> None:
            self._finish(trailer, t)
            self.disk.post(done)

        self.flush(t)
        if not self.disk.inline and self._goes_aside(finish):
            return
        with self.disk.guarded(self):
            self._finish(trailer, t)
        if self.news:
            self.tell()
        done()

    def close(self, t: int) -> None:
        """Write what is left and close the file, without a trailer."""
        self.flush(t)
        if not self.disk.inline and self._goes_aside(partial(self._close, t)):
            return
        with self.disk.guarded(self):
            self._close(t)
        if self.news:
            self.tell()

    def discard(self) -> None:
        """Remove the file: what it held stands in another recording now."""
        self._empty_batch()
        if not self.disk.inline and self._goes_aside(self._discard):
            return
        with self.disk.guarded(self):
            self._discard()

    @property
    def vanished(self) -> bool:
        """Whether the file was removed while it is open: what is written goes nowhere, without an error. Not asked of a disk that stalls."""
        if self._fd < 0 or self.disk.stalled:
            return False
        with self.disk.guarded(self):
            try:
                return os.fstat(self._fd).st_nlink == 0
            except OSError:
                return False

    def begin_again(self, events: int, wire: int, t: int) -> None:
        """Make a new file in place of one that has vanished; it begins with a gap.

        Args:
            events: how many there were, and `wire` bytes that they stood for.
        """
        if self.disk.stalled:
            return  # noticed the next time
        self._empty_batch()
        with self.disk.guarded(self):
            self._begin_again(events, wire, t)
        self.tell()

    def tell(self) -> None:
        """Tell what has happened to the file. On the relaying thread."""
        news, self.news = self.news, None
        for sentence in news or ():
            self.on_trouble(self.path, sentence)

    # --- for the disk ------------------------------------------------------------------------------------------------

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

    # --- the file ----------------------------------------------------------------------------------------------------

    def _goes_aside(self, entry: Entry | None) -> bool:
        """Whether this waits in the disk's queue now, and what a batch holds before it."""
        disk = self.disk
        if not disk.aside():
            return False
        if self._batch:
            t = entry.t if isinstance(entry, Batch) else time.monotonic_ns()
            batch = Batch(self._batch, self._batch_events, self._batch_wire, t, t)
            if not disk.put(self, batch):
                return False
            self._empty_batch()
        return entry is None or disk.put(self, entry)

    def _empty_batch(self) -> None:
        self._batch = []
        self._batch_size = self._batch_events = self._batch_wire = 0

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
        self._direct = self._fd if self.durability == "every" else -1

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
