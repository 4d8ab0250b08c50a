"""What a folder holds, without opening a file: names, sizes and times of many recordings at once.

Strategy: one pass over the folder, one `stat` per file, no more. A name tells when a recording began and most of its stream's id; when it was
last written is the file's own time. What would have to be read (outcome, state) is asked of `Recording` and `ends`, for those that are left.

Cost: some 3 µs a file.
"""

from __future__ import annotations

import calendar
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import RecordingError
from .folder import SUFFIX, id_in_name
from .format import FORMAT

_NAMED = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.(\d{6})Z-.+\.msgpack", re.ASCII)
_FIRST = b"\xa4kind\xa6header\xa6format\xa7" + FORMAT.encode()  # behind the first byte of every recording


@dataclass(frozen=True, slots=True)
class Entry:
    """One file. Times in nanoseconds since the epoch; `began` is None where the name does not tell it."""

    path: str
    name: str
    size: int
    began: int | None
    written: int

    @property
    def stream(self) -> str:
        """The stream id as far as the file's name tells it."""
        return id_in_name(Path(self.name))

    @property
    def since(self) -> int:
        """When it began, or else was last written."""
        return self.written if self.began is None else self.began


def catalogue(folder: str | os.PathLike[str]) -> list[Entry]:
    """The recordings of a folder, in the order of their names: by time. Raises RecordingError where there is no such folder."""
    try:
        return sorted(scan(folder), key=lambda entry: entry.name)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise RecordingError(f"{os.fspath(folder)}: {why}: name a folder of recordings") from None


def scan(folder: str | os.PathLike[str]) -> Iterator[Entry]:
    """The same, in no order, as they are found. Raises OSError."""
    with os.scandir(folder) as found:
        for item in found:
            if not item.name.endswith(SUFFIX):
                continue
            try:
                status = item.stat()
            except OSError:
                continue  # gone in between, or a link to nowhere
            if stat.S_ISREG(status.st_mode):
                yield Entry(item.path, item.name, status.st_size, began(item.name), status.st_mtime_ns)


def began(name: str) -> int | None:
    """When the recording of this name began."""
    match = _NAMED.fullmatch(name)
    if match is None:
        return None
    try:
        seconds = calendar.timegm(tuple(map(int, match.groups()[:6])))
    except ValueError:
        return None
    return seconds * 1_000_000_000 + int(match[7]) * 1000


def is_ours(entry: Entry) -> bool:
    """Whether a relay gave this file its name and its first bytes: nothing else is ever removed unasked."""
    return entry.began is not None and is_recording(entry.path)


def is_recording(path: str) -> bool:
    """Whether this is a file of its own (no link) that begins as recordings do."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    with open(fd, "rb", buffering=0) as file:
        return file.read(1 + len(_FIRST))[1:] == _FIRST


def remove(entry: Entry, unless: Callable[[str], bool] = lambda _: False) -> bool:
    """Remove a recording that nobody writes; False where somebody does, or it is gone.

    The lock that a relay holds on what it writes is ours while the file goes: two who clean up do not meet, nor one who
    cleans up and one who writes.

    Args:
        unless: asked with the path, last of all; True keeps the file.

    Raises:
        OSError: it cannot be removed.
    """
    try:
        fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink == 0 or unless(entry.path):
            return False
        os.unlink(entry.path)
    except (BlockingIOError, FileNotFoundError):
        return False
    finally:
        os.close(fd)
    return True
