"""The file of a recording that is being written: all of what is to be appended, or an error and a file that ends where it did.

Strategy: `size` is what holds whole events. A write that fails leaves torn bytes behind them, which are cut off at once or, if that cannot be done,
before the next write. The file is created by its first write, with the header in front, and opened again at its end after it was closed.

Cost: one `write` below 32 KiB (joined: one copy), one `writev` above (no copy of large payloads).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time

from .events import Header
from .format import pack_header

JOIN_BELOW = 32 * 1024
_IOV_MAX = 1000
_LOCK_TRIES, _LOCK_SECONDS = 5, 0.0002


class RecordingFile:
    """One file.

    Args:
        path: it must not exist.
        header: written first.
        sync: every write waits until it is on the disk.

    Attributes:
        size: bytes of the file that are whole events.
    """

    __slots__ = ("_fd", "_sync", "_torn", "header", "path", "size")

    def __init__(self, path: str, header: Header, *, sync: bool) -> None:
        self.path = path
        self.header = header
        self.size = 0
        self._sync = sync
        self._fd = -1
        self._torn = False  # bytes of a failed write may stand behind what is whole

    def _append(self, buffers: list[bytes]) -> None:
        """All of it, or an OSError and a file that ends where it did."""
        if self._fd < 0:
            self._open()
        fd = self._fd
        if self._torn:
            os.ftruncate(fd, self.size)
            os.lseek(fd, self.size, os.SEEK_SET)
            self._torn = False
        total = sum(map(len, buffers))
        try:
            if total < JOIN_BELOW or len(buffers) > _IOV_MAX:
                data = b"".join(buffers)
                done = os.write(fd, data)
            else:
                data = b""
                done = os.writev(fd, buffers)
            if done < total:
                view = memoryview(data or b"".join(buffers))
                while done < total:
                    done += os.write(fd, view[done:])
            if self._sync:
                os.fdatasync(fd)
        except OSError:
            self._torn = True
            try:
                os.ftruncate(fd, self.size)
            except OSError:
                pass  # tried again before the next write
            raise
        self.size += total

    def _open(self) -> None:
        """Create the file with its header, or open it again at its end."""
        if self.size:
            try:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                self.size = 0  # it was removed: the next try begins anew
                raise
            os.lseek(self._fd, self.size, os.SEEK_SET)
        else:
            os.makedirs(os.path.dirname(self.path) or ".", mode=0o700, exist_ok=True)  # it may have been removed
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Readers ask for this lock to tell a recording in progress from one that was cut off.
            # One of them may hold it just now to look: then this recording goes without.
            # Or somebody removes an old one, under that lock too: no more than a moment is waited for that.
            for _ in range(_LOCK_TRIES if self.size else 1):
                try:
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(_LOCK_SECONDS if self.size else 0)
            if self.size and not os.fstat(self._fd).st_nlink:
                self.size = 0
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            if not self.size:
                head = pack_header(self.header)
                if os.write(self._fd, head) < len(head):
                    raise OSError(28, "no space for the header")
                self.size = len(head)
        except OSError:
            os.close(self._fd)
            self._fd = -1
            if not self.size:  # pragma: no branch - only a disk on the network refuses to lock what it opened
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path)
            raise

    def _close_file(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
