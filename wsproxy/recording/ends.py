"""The two ends of a long recording, for who needs only what it comes to: `wsproxy ls` of ten thousand files.

Strategy: the last map of a finished recording is its trailer, with the counts of the whole file. It is found from the end: the last place where a
map of kind "trailer" begins, if that ends where the file does. The events before it are found the same way: the first place in the last block
from which map follows map up to the trailer. From the start come the header and the first block's events. Whatever is not so (no trailer, as
in a recording that was cut off or is being written; a tail that does not fit) is None: then all of it must be read.

This is for a list. The proof that a recording is what its trailer says is `wsproxy verify`, which reads it all.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import msgpack

from .events import Event, Header, Trailer
from .format import FormatError, read_event, read_header

HEAD, TAIL = 32 << 10, 16 << 10  # bytes that are read of either end
SHORT_HEAD, SHORT_TAIL = 8 << 10, 4 << 10  # that are tried first: they suffice of most streams
WHOLE = 2 * (HEAD + TAIL)  # a file up to twice what is read of it is as quick to read whole
_KIND = b"\xa4kind"
_TRAILER = _KIND + b"\xa7trailer"


class Ends(NamedTuple):
    """The first and the last events of a finished recording (none is in both), and its trailer."""

    header: Header
    first: list[Event]
    last: list[Event]
    trailer: Trailer


def ends(path: str | os.PathLike[str], head_size: int = HEAD, tail_size: int = TAIL) -> Ends | None:
    """Read both ends of a recording; None where that does not suffice. Raises OSError.

    Args:
        head_size: bytes that are read of the start.
        tail_size: bytes that are read of the end.
    """
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        if size <= 2 * (head_size + tail_size):
            return None
        head = file.read(head_size)
        file.seek(size - tail_size)
        tail = file.read(tail_size)
    at = tail.rfind(_TRAILER) - 1
    if at < 0:
        return None
    trailer = _run(tail[at:])
    if trailer is None or len(trailer) != 1:
        return None
    last = _up_to(tail[:at])
    first = _maps(head)[0]
    try:
        return Ends(
            read_header(first[0]),
            [read_event(m) for m in first[1:]],
            [read_event(m) for m in last],
            _trailer(read_event(trailer[0])),
        )
    except (FormatError, IndexError):
        return None


def _trailer(event: Event) -> Trailer:
    if not isinstance(event, Trailer):
        raise FormatError("no trailer")
    return event


def _up_to(data: bytes) -> list[Any]:
    """The maps of the longest run of events that ends where `data` does."""
    at = data.find(_KIND)
    while at > 0:
        if data[at - 1] >> 4 == 8:  # a map of less than 16 keys
            run = _run(data[at - 1 :])
            if run is not None:
                return run
        at = data.find(_KIND, at + 1)
    return []


def _run(data: bytes) -> list[Any] | None:
    """The maps of which `data` consists; None if it does not."""
    maps, end = _maps(data)
    return maps if end == len(data) else None


def _maps(data: bytes) -> tuple[list[Any], int]:
    """The whole maps at the start of `data`, and where they end."""
    unpacker = msgpack.Unpacker(raw=False, unicode_errors="backslashreplace", strict_map_key=False)
    unpacker.feed(data)
    maps: list[Any] = []
    end = 0
    try:
        for m in unpacker:
            if type(m) is not dict or type(m.get("kind")) is not str:
                break
            maps.append(m)
            end = unpacker.tell()
    except Exception:  # msgpack raises ValueError, its own, TypeError (unhashable keys)
        pass
    return maps, end
