"""Writes one recording: when its events reach the operating system, and what happens to them while the disk stalls.

Strategy: the caller hands over whole events; they reach the operating system in one write, before the call returns (durability
`every`), with an fdatasync (`sync`), or within 50 ms by the owner's `flush` (`batch`). While the disk stalls they wait in the queue of `Disk`
instead, whose thread writes them: whatever touches the file is done either here and now or, in the same order, there. What cannot be written
is the account's (see `account`). A file that is removed takes what is written without an error: whether it was is for the owner to ask from time
to time (`vanished`).

Cost: one `write` per call below 32 KiB of events, beside what `file` says.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

from .account import AccountedFile
from .behind import Batch, Entry
from .disk import Disk
from .events import Header
from .file import JOIN_BELOW

Durability: TypeAlias = Literal["every", "batch", "sync"]

_BATCH_LIMIT = 1 << 20  # bytes; a batch that reaches it is written at once


class _Waiting:
    """Events that wait for `flush`. Only durability `batch` has any."""

    __slots__ = ("buffers", "events", "size", "wire")

    def __init__(self) -> None:
        self.buffers: list[bytes] = []
        self.size = self.events = self.wire = 0

    def add(self, buffers: list[bytes], events: int, wire: int) -> None:
        self.buffers += buffers
        self.size += sum(map(len, buffers))
        self.events += events
        self.wire += wire


class RecordingWriter(AccountedFile):
    """One recording that is being written.

    Args:
        path: the file; it must not exist, its folder must.
        header: written first.
        durability: when what is added reaches the operating system.
        on_trouble: called with the path and a sentence when writing starts to fail, with None when it works again.
        disk: shared by all recordings of a relay, which may write aside; by default a disk of its own that is always written to at once.
    """

    __slots__ = ("_batch", "disk", "durability")

    def __init__(
        self,
        path: str,
        header: Header,
        durability: Durability,
        on_trouble: Callable[[str, str | None], None],
        disk: Disk | None = None,
    ) -> None:
        super().__init__(path, header, on_trouble, sync=durability == "sync", at_once=durability == "every")
        self.durability = durability
        self.disk = disk if disk is not None else Disk()
        self._batch: _Waiting | None = None

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
            if self._batch is None:
                self._batch = _Waiting()
            self._batch.add(buffers, events, wire)
            if self._batch.size >= _BATCH_LIMIT:
                self.flush(t)
        else:
            self._write_guarded(buffers, events, wire, t)

    def append(self, data: bytes, events: int, wire: int, t: int) -> None:
        """The hot path: `write` of what is joined already. One call of the system; anything unusual goes the long way."""
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
        if done == len(data) and not disk.taken:
            self.size += done
        else:
            self.wrote(done, data, events, wire, t)

    def wrote(self, done: int, data: bytes, events: int, wire: int, t: int) -> None:
        """The rest of an `append` whose write took `done` bytes, where that is not all, or the standby was at work meanwhile."""
        disk = self.disk
        if done == len(data):
            self.size += done
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
    def waits(self) -> bool:
        """Whether something is still to be written."""
        return self.disk.stalled and self.disk.waits(self)

    def flush(self, t: int) -> None:
        """Write what a batch holds."""
        if self._batch is None or (not self.disk.inline and self._goes_aside(None)):
            return
        batch, self._batch = (
            self._batch,
            None,
        )  # before the call: whoever relays while it is stuck has a batch of its own
        with self.disk.guarded(self):
            self._add(batch.buffers, batch.events, batch.wire, t)
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
        self._batch = None
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
        self._batch = None
        with self.disk.guarded(self):
            self._begin_again(events, wire, t)
        self.tell()

    # --- a disk that stalls ------------------------------------------------------------------------------------------

    def _goes_aside(self, entry: Entry | None) -> bool:
        """Whether this waits in the disk's queue now, and what a batch holds before it."""
        disk = self.disk
        if not disk.aside():
            return False
        if self._batch is not None:
            t = entry.t if isinstance(entry, Batch) else time.monotonic_ns()
            if not disk.put(self, Batch(self._batch.buffers, self._batch.events, self._batch.wire, t, t)):
                return False
            self._batch = None
        return entry is None or disk.put(self, entry)
