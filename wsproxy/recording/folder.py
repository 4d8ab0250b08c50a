"""The folder of recordings: names of files, and what REC on a command line means.

Strategy: a name is `<UTC time>-<stream id>.msgpack`, so a plain sort is by time and a glob finds a stream. Ids come from the network:
a name holds only `[A-Za-z0-9._-]`, at most 80 characters of the id, and, where that changed anything or upper case could
collide on some file systems, eight digits of its SHA-256. The exact id stands in the header.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from pathlib import Path

from ..errors import RecordingError
from .reader import Recording

SUFFIX = ".msgpack"
_STEM = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-(.+)")
_DIGEST = re.compile(r"(^|-)[0-9a-f]{8}$")  # an id that looks as if we had added one gets one too
_KEPT = 80  # characters of a stream id in a file name


def safe_id(stream_id: str) -> str:
    """The form of a stream id in a file name."""
    kept = re.sub(r"[^A-Za-z0-9._-]", "_", stream_id)[:_KEPT].lstrip(".")
    if kept == stream_id and kept == kept.lower() and kept and not _DIGEST.search(kept):
        return kept
    digest = hashlib.sha256(stream_id.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"{kept}-{digest}" if kept else digest


def file_name(stream_id: str, wall_ns: int) -> str:
    """The name of a recording that starts at this time (nanoseconds since the epoch)."""
    seconds, ns = divmod(wall_ns, 1_000_000_000)
    when = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    return f"{when}.{ns // 1000:06d}Z-{safe_id(stream_id)}{SUFFIX}"


def id_in_name(path: Path) -> str:
    """The stream id as far as the file's name tells it."""
    match = _STEM.fullmatch(path.name.removesuffix(SUFFIX))
    return match[2] if match else path.name.removesuffix(SUFFIX)


def recordings(folder: str | os.PathLike[str]) -> list[Path]:
    """The recordings of a folder, oldest first. Raises RecordingError where there is no such folder."""
    try:
        return sorted(path for path in Path(folder).iterdir() if path.name.endswith(SUFFIX))
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise RecordingError(f"{folder}: {why}: name a folder of recordings with --dir") from None


def resolve(reference: str, folder: str | os.PathLike[str]) -> Path:
    """The file that a REC means: a path, `@last`, `@2` (the second last) …, or a unique prefix of a stream id.

    Raises:
        RecordingError: nothing, or more than one thing, is meant.
    """
    try:
        if Path(reference).is_file():
            return Path(reference)
    except (OSError, ValueError):
        pass  # too long for a path, or NUL: an id, then
    if re.fullmatch(r"@(last|[0-9]{1,9})", reference):
        number = 1 if reference == "@last" else int(reference[1:])
        paths = recordings(folder)
        if not 1 <= number <= len(paths):
            raise RecordingError(f"{reference}: {folder} holds {len(paths)} recordings; 'wsproxy ls' lists them")
        return paths[-number]
    if "/" in reference or reference.endswith(SUFFIX):
        raise RecordingError(f"{reference}: no such file")
    paths = recordings(folder)
    prefix = safe_id(reference)
    found = [path for path in paths if id_in_name(path) == prefix]
    if not found:
        found = [path for path in paths if id_in_name(path).startswith(reference)]
    if not found:
        raise RecordingError(f"{reference}: no stream in {folder} starts with that; 'wsproxy ls {folder}' lists them")
    if len(found) > 1 and len({id_in_name(path) for path in found}) > 1:
        some = ", ".join(id_in_name(path) for path in found[:3])
        raise RecordingError(f"{reference}: {len(found)} streams start with that ({some} …): type more of it")
    return found[-1]


def open_recording(reference: str, folder: str | os.PathLike[str] = "recordings") -> Recording:
    """Open the recording that a REC means (see `resolve`)."""
    return Recording(resolve(reference, folder))
