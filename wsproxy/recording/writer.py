"""Writes one recording: bytes to a file, and an account of what could not be written.

Strategy: the caller hands over whole events; they reach the operating system in one write, before the call returns (durability
`every`), with an fdatasync (`sync`), or within 50 ms by the owner's `flush` (`batch`). No error leaves this module: a
write that fails is counted, the torn bytes are cut off again, and the next write that succeeds puts a gap event in front that says
what is missing. Creating the file is a write like any other, so a full or missing folder is a gap too. A file that is removed takes what is
written without an error: whether it was is for the owner to ask from time to time (`vanished`).

Cost: one `write` per call below 32 KiB of events (joined: one copy), one `writev` above (no copy of large payloads).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from .format import Gap, Header, pack_event, pack_header

Durability: TypeAlias = Literal["every", "batch", "sync"]

_JOIN_BELOW = 32 * 1024
_IOV_MAX = 1000
_BATCH_LIMIT = 1 << 20  # bytes; a batch that reaches it is written at once
RETRY_NS = 200_000_000  # between two tries to write again after an error
_LOCK_TRIES, _LOCK_SECONDS = 5, 0.0002


class RecordingWriter:
    """One recording that is being written.

    Args:
        path: the file; it must not exist, its folder must.
        header: written first.
        durability: when what is added reaches the operating system.
        on_trouble: called with the path and a sentence when writing starts to fail, with None when it works again.
    """

    __slots__ = (
        "_batch",
        "_batch_events",
        "_batch_size",
        "_batch_wire",
        "_fd",
        "_gap",
        "_retry_at",
        "_size",
        "_torn",
        "durability",
        "gaps",
        "header",
        "on_trouble",
        "path",
    )

    def __init__(
        self, path: str, header: Header, durability: Durability, on_trouble: Callable[[str, str | None], None]
    ) -> None:
        self.path = path
        self.header = header
        self.durability = durability
        self.on_trouble = on_trouble
        self.gaps = 0
        self._fd = -1
        self._size = 0  # bytes of the file that are whole events
        self._torn = False  # bytes of a failed write may stand behind them
        self._gap: Gap | None = None
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
        if self.durability == "every" and self._gap is None and wire < _JOIN_BELOW and self._fd >= 0:
            # The hot path: one join, one write. Anything unusual goes the long way.
            data = b"".join(buffers)
            try:
                done = os.write(self._fd, data) if not self._torn else 0
            except OSError:
                done = 0
            if done == len(data):
                self._size += done
                return
            self._torn = True
            buffers = [data]
        elif self.durability == "batch" and self._gap is None:
            self._batch += buffers
            self._batch_size += sum(map(len, buffers))
            self._batch_events += events
            self._batch_wire += wire
            if self._batch_size >= _BATCH_LIMIT:
                self.flush(t)
            return
        if self._gap is not None:
            if t < self._retry_at:
                self._lose(self._gap.reason, events, wire, t)
                return
            buffers = [pack_event(self._gap, self.header.start_mono_ns), *buffers]
        try:
            self._put(buffers)
        except OSError as error:
            self._retry_at = t + RETRY_NS
            self._lose(_reason(error), events, wire, t)
            return
        if self._gap is not None:
            self._gap = None
            self.gaps += 1
            self.on_trouble(self.path, None)

    @property
    def failing(self) -> bool:
        """Whether there is a gap that could not be written yet."""
        return self._gap is not None

    def settle(self, t: int) -> None:
        """Write what is left, and the gap if there is one and it can be: before a trailer counts."""
        self.flush(t)
        self._retry_at = 0
        if self._gap is not None:
            self.write([], 0, 0, t)
            self._retry_at = 0

    def flush(self, t: int) -> None:
        """Write what a batch holds."""
        if self._batch:
            buffers, events, wire = self._batch, self._batch_events, self._batch_wire
            self._batch = []
            self._batch_size = self._batch_events = self._batch_wire = 0
            try:
                self._put(buffers)
            except OSError as error:
                self._retry_at = t + RETRY_NS
                self._lose(_reason(error), events, wire, t)

    def close(self, t: int) -> None:
        """Write what is left (the gap too, if it can be) and close the file; `write` opens it again."""
        self.settle(t)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def discard(self) -> None:
        """Remove the file: what it held stands in another recording now."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            try:
                os.unlink(self.path)
            except OSError:
                pass  # it is not needed, and says of itself whose it was

    @property
    def vanished(self) -> bool:
        """Whether the file was removed while it is open: what is written goes nowhere, without an error."""
        try:
            return self._fd >= 0 and os.fstat(self._fd).st_nlink == 0
        except OSError:  # pragma: no cover - of an open file only network file systems say this
            return False

    def begin_again(self, events: int, wire: int, t: int) -> None:
        """Make a new file in place of one that has vanished; it begins with a gap.

        Args:
            events: how many there were, and `wire` bytes that they stood for.
        """
        os.close(self._fd)
        self._fd = -1
        self._size = self.gaps = self._retry_at = 0
        self._torn = False
        self._batch = []
        self._batch_size = self._batch_events = self._batch_wire = 0
        self._gap = None
        self._lose("the file was removed while it was written", events, wire, t)
        if self._gap is not None:  # pragma: no branch - mypy takes the None above for granted
            self._gap = self._gap._replace(t=self.header.start_mono_ns)
        self.write([], 0, 0, t)

    def _put(self, buffers: list[bytes]) -> None:
        """All of it, or an OSError and a file that ends where it did."""
        if self._fd < 0:
            self._open()
        fd = self._fd
        if self._torn:
            os.ftruncate(fd, self._size)
            os.lseek(fd, self._size, os.SEEK_SET)
            self._torn = False
        total = sum(map(len, buffers))
        try:
            if total < _JOIN_BELOW or len(buffers) > _IOV_MAX:
                data = b"".join(buffers)
                done = os.write(fd, data)
            else:
                data = b""
                done = os.writev(fd, buffers)
            if done < total:
                view = memoryview(data or b"".join(buffers))
                while done < total:  # pragma: no branch - a full disk takes a part, and then nothing
                    done += os.write(fd, view[done:])
            if self.durability == "sync":
                os.fdatasync(fd)
        except OSError:
            self._torn = True
            try:
                os.ftruncate(fd, self._size)
            except OSError:
                pass  # tried again before the next write
            raise
        self._size += total

    def _open(self) -> None:
        """Create the file with its header, or open it again at its end."""
        if self._size:
            try:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                self._size = 0  # it was removed: the next try begins anew
                raise
            os.lseek(self._fd, self._size, os.SEEK_SET)
        else:
            os.makedirs(os.path.dirname(self.path) or ".", mode=0o700, exist_ok=True)  # it may have been removed
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Readers ask for this lock to tell a recording in progress from one that was cut off.
            # One of them may hold it just now to look: then this recording goes without.
            # Or somebody removes an old one, under that lock too: no more than a moment is waited for that.
            for _ in range(_LOCK_TRIES if self._size else 1):
                try:
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(_LOCK_SECONDS if self._size else 0)
            if self._size and not os.fstat(self._fd).st_nlink:
                self._size = 0
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if not self._size:
                head = pack_header(self.header)
                if os.write(self._fd, head) < len(head):
                    raise OSError(28, "no space for the header")
                self._size = len(head)
        except OSError:
            os.close(self._fd)
            self._fd = -1
            if not self._size:  # pragma: no branch - what exists can be locked, but on some network file systems
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path)
            raise

    def _lose(self, reason: str, events: int, wire: int, t: int) -> None:
        if self._gap is None:
            self._gap = Gap(t, t, events, wire, reason)
            self.on_trouble(self.path, f"cannot write {self.path}: {reason}")
        else:
            gap = self._gap
            self._gap = Gap(gap.t, t, gap.events + events, gap.bytes + wire, reason)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
