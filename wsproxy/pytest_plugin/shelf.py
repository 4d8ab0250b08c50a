"""Where a cassette stands, and how one takes the place of another.

Strategy: a cassette of one recording is the file `<name>.msgpack`; of several, the folder `<name>/` of numbered recordings. A new one is
written under a hidden name beside its place and renamed into it, under a lock of the folder that holds them: others see the old one or the
new one, and what is interrupted leaves the old one.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".msgpack"
Copy = Callable[[Path, Path], None]


class Shelf:
    """The place of one cassette.

    Args:
        folder: of all cassettes of a test module; need not exist.
        name: of this one.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.file = folder / f"{name}{SUFFIX}"
        self.many = folder / name
        self._old = folder / f".{name}.old"

    @property
    def path(self) -> Path:
        """What to call it: the file, unless there is a folder."""
        return self.many if self.many.is_dir() and not self.file.exists() else self.file

    def recordings(self) -> list[Path]:
        """The recordings of the cassette in their order; empty where there is none. Raises OSError."""
        if not self.folder.is_dir():
            return []
        with _locked(self.folder, fcntl.LOCK_SH):
            if self.file.exists():
                return [self.file]
            place = self.many if self.many.is_dir() else self._old  # an exchange was cut between its two renames
            return sorted(path for path in place.iterdir() if path.suffix == SUFFIX) if place.is_dir() else []

    def prepare(self) -> None:
        """Find out, before anything is recorded, whether a cassette can be put here. Raises OSError."""
        self._staging().rmdir()

    def put(self, sources: Sequence[tuple[Path, Copy]]) -> None:
        """Put a cassette of these recordings here, in place of what was.

        Args:
            sources: recordings, each with what copies it to a new path.

        Raises:
            OSError: it could not be written; the old one is as it was. Whatever a copy raises, too.
        """
        staging = self._staging()
        try:
            for number, (source, copy) in enumerate(sources, 1):
                copy(source, staging / f"{number:03d}{SUFFIX}")
            with _locked(self.folder, fcntl.LOCK_EX):
                if len(sources) == 1:
                    os.replace(staging / f"001{SUFFIX}", self.file)
                    shutil.rmtree(self.many, ignore_errors=True)
                else:
                    self._put_folder(staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def sweep(self) -> None:
        """Nothing was put here: remove the folders that `prepare` made, if they are empty."""
        with suppress(OSError):
            self.folder.rmdir()
            self.folder.parent.rmdir()

    def _put_folder(self, staging: Path) -> None:
        if self.many.exists():
            shutil.rmtree(self._old, ignore_errors=True)
            self.many.rename(self._old)
        staging.rename(self.many)
        self.file.unlink(missing_ok=True)
        shutil.rmtree(self._old, ignore_errors=True)

    def _staging(self) -> Path:
        path = self.folder / f".{self.many.name}.{secrets.token_hex(4)}"
        path.mkdir(parents=True)  # another worker may have swept the folder just now
        return path


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)
