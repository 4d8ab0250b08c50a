"""Reads one recording, as a stream: memory is bounded by one event, not by the file.

Strategy: the file is fed to msgpack in blocks and every map becomes an event at once. What ends a recording is never an exception:
a torn last event (the relay was killed inside a write, or is inside one now) and damage are both told in `Recording.ending` after the
events that are whole. An exception means that there is nothing to read at all: no file, not a recording, a newer format.

Recordings may come from strangers: declared lengths, nesting and the size of one event are bounded.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from ..errors import RecordingError
from ..wire.events import Dir, End, Frame, Opaque, Part, Request, Superseding
from ..wire.host import with_host
from .events import Event, Header, Marker, Trailer
from .format import FormatError, read_event, read_header
from .messages import DEFAULT_LIMIT, Assembler, Message

_BLOCK = 1 << 18
_FIRST_BLOCK = 1 << 14  # for a header, or a short recording: memory for a large block takes longer than reading these
_EVENT_LIMIT = 4 << 20  # bytes of one event; small things unpack to seventy times their size
_POLL = 0.05  # seconds between looks at a growing file


class Ending(NamedTuple):
    """How a recording ends.

    `state` is "finished" (a trailer is last), "open" (a relay is writing it now), "unfinished" (whole events, but no
    trailer), "torn" (the last event is not whole) or "damaged" (bytes that are no event). `offset` is where whole events end,
    `left` how many bytes come after that.
    """

    state: str
    offset: int
    left: int
    reason: str | None


class Recording:
    """One recording on disk. Iterating does not change it; every method reads the file anew, lazily.

    Args:
        path: the file.

    Raises:
        RecordingError: no such file, not a recording, or written in a newer format.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        #: How the recording ends; known after `events()` was read to its end.
        self.ending: Ending | None = None
        #: Called with how many bytes have been read, block by block, whenever the recording is read.
        self.on_read: Callable[[int], None] | None = None
        try:
            for _, m in self._maps(None):
                self.header: Header = read_header(m)
                break
            else:
                raise RecordingError(f"{self.path}: empty, or cut off inside its header: nothing was recorded")
        except FormatError as error:
            raise RecordingError(f"{self.path}: {error}") from None
        except OSError as error:
            raise RecordingError(f"{self.path}: {(error.strerror or str(error)).lower()}") from None

    def events(self, *, follow: Callable[[], bool] | None = None) -> Iterator[Event]:
        """All events after the header, in the order in which they were recorded.

        Args:
            follow: wait for more at the end of the file, as long as this returns True and the relay has the file open.
        """
        maps = self._maps(follow)
        next(maps, None)  # the header
        event: Event | None = None
        for offset, m in maps:
            try:
                event = read_event(m)
            except FormatError as error:
                self.ending = Ending("damaged", offset, os.path.getsize(self.path) - offset, str(error))
                return
            yield event
        if isinstance(event, Trailer) and self.ending is not None and self.ending.state == "unfinished":
            self.ending = self.ending._replace(state="finished", reason=None)
        elif self.ending is not None and self.ending.state in ("unfinished", "torn") and self.is_open():
            self.ending = self.ending._replace(state="open", reason="a relay is writing it")

    def is_open(self) -> bool:
        """Whether a relay on this machine has the recording open for writing."""
        try:
            with open(self.path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def frames(self) -> Iterator[Frame]:
        """WebSocket frames, parts joined. A frame that never became whole has a payload shorter than its `length`."""
        return join_frames(self.events())

    def messages(self, *, limit: int = DEFAULT_LIMIT) -> Iterator[Message]:
        """WebSocket messages, defragmented and inflated; control frames are messages of their own.

        Args:
            limit: bytes of one message's data at most; what is longer is cut and says so.
        """
        assembler = Assembler(limit)
        for number, event in enumerate(self.events(), 1):
            yield from assembler.feed(number, event)
        yield from assembler.finish()

    def markers(self) -> Iterator[Marker]:
        """Stage markers, in the order in which they arrived."""
        return (event for event in self.events() if isinstance(event, Marker))

    def wire(self, dir: Dir, *, conn: int | None = None, forwarded: bool = False) -> Iterator[bytes]:
        """The bytes of one direction as they came over the wire, in pieces.

        Args:
            conn: of which connection; by default the first that a WebSocket ran on, else the first.
            forwarded: as they went out again: request heads with the Host that the relay put into them, if it was asked to.
        """
        if conn is None:
            conn = self._main_connection()
        direction = Superseding()
        for event in self.events():
            if getattr(event, "conn", None) == conn and getattr(event, "dir", None) == dir:
                if forwarded and isinstance(event, Request) and event.host is not None:
                    event = event._replace(raw=with_host(event.raw, event.host))
                yield from direction.wire_bytes(event)  # type: ignore[arg-type]
        rest = direction.rest()
        if rest:
            yield rest

    def _main_connection(self) -> int:
        first = 0
        for event in self.events():
            conn = getattr(event, "conn", 0)
            if isinstance(event, Frame):
                return conn
            first = first or conn
        return first

    def _maps(self, follow: Callable[[], bool] | None) -> Iterator[tuple[int, Any]]:
        """(offset, object) of every whole msgpack object; sets `ending` when there are no more."""
        unpacker = msgpack.Unpacker(
            raw=False,
            unicode_errors="backslashreplace",
            strict_map_key=False,
            max_buffer_size=_EVENT_LIMIT + _BLOCK,
            max_array_len=1 << 17,
            max_map_len=1 << 17,
        )
        fed = offset = 0
        size = _FIRST_BLOCK
        with open(self.path, "rb", buffering=0) as file:
            while True:
                try:
                    block = file.read(size)
                except OSError as error:
                    raise RecordingError(f"{self.path}: {(error.strerror or str(error)).lower()}") from None
                if not block:
                    if follow is None or not follow() or not (self.is_open() or file.seek(0, os.SEEK_END) > fed):
                        break
                    file.seek(fed)
                    time.sleep(_POLL)
                    continue
                fed += len(block)
                size = min(4 * size, _BLOCK)
                if self.on_read is not None:
                    self.on_read(fed)
                try:
                    unpacker.feed(block)
                    for m in unpacker:
                        yield offset, m
                        offset = unpacker.tell()
                except (
                    Exception
                ) as error:  # msgpack raises ValueError, its own, TypeError (unhashable keys), BufferFull
                    self.ending = Ending("damaged", offset, os.fstat(file.fileno()).st_size - offset, _why(error))
                    return
        if offset < fed:
            self.ending = Ending("torn", offset, fed - offset, "the last event is not whole")
        else:
            self.ending = Ending("unfinished", offset, 0, "no trailer: the relay did not finish it")


def _why(error: Exception) -> str:
    return f"not msgpack ({type(error).__name__}{': ' + str(error) if str(error) else ''})"


def join_frames(events: Iterable[Event]) -> Iterator[Frame]:
    """Frames with their parts joined, in the order in which they became whole (or were given up)."""
    reading: dict[tuple[int, Dir], tuple[Frame, list[bytes]]] = {}
    missing: dict[tuple[int, Dir], int] = {}
    for event in events:
        if not isinstance(event, Frame | Part | Opaque | End):
            continue
        key = (event.conn, event.dir)
        if isinstance(event, Part):
            if key not in reading:  # its frame fell into a gap
                continue
            reading[key][1].append(event.payload)
            missing[key] -= len(event.payload)
            if missing[key] > 0:
                continue
        if key in reading:
            yield _joined(*reading.pop(key))
        if isinstance(event, Frame):
            if len(event.payload) == event.length:
                yield event
            else:
                reading[key] = (event, [event.payload])
                missing[key] = event.length - len(event.payload)
    for frame, parts in reading.values():
        yield _joined(frame, parts)


def _joined(frame: Frame, parts: list[bytes]) -> Frame:
    return frame._replace(payload=b"".join(parts))
