"""What has begun and is not whole yet, and its reading once it is: a WebSocket message, an HTTP body, a run of bytes.

Strategy: a secret may be cut anywhere by frames, fragments, chunks and reads, so it can only be found in what is whole. Until then the events
are held; beyond the limit they are only counted, and what they held is withheld.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from ..recording.format import LARGEST
from ..wire.events import Body, Dir, Frame, Opaque, Part, Piece, Redacted, WireEvent, frame_header
from ..wire.http1 import dechunk


@dataclass(slots=True)
class Held:
    """The events of one thing, in order; `among` are finished events of other things (a ping between fragments) that stand between them."""

    first: Frame | Body | Opaque | Piece
    limit: int
    note: Redacted | None = None  # it was redacted before
    events: list[WireEvent] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    among: list[WireEvent] = field(default_factory=list)
    size: int = 0  # bytes of content, kept or not
    wire: int = 0
    frames: int = 0
    cut: bool = False

    def add(self, event: Frame | Part | Body | Opaque | Piece) -> None:
        """One more event of it."""
        content = event.payload if isinstance(event, Frame | Part) else event.raw
        self.size += len(content)
        self.wire += len(content)
        if isinstance(event, Frame):
            self.frames += 1
            self.wire += len(frame_header(event))
        elif isinstance(event, Body) and event.omitted:
            self.wire += event.omitted
            self.cut = True
        if self.size > self.limit or self.cut:
            self.cut = True
            self.events.clear()
            self.parts.clear()
        else:
            self.events.append(event)
            self.parts.append(content)

    def let_in(self, events: list[WireEvent]) -> None:
        """Finished events of another thing that came in between."""
        self.among += events
        if not self.cut:
            self.events += events

    def as_it_is(self) -> list[WireEvent]:
        """Nothing has to change."""
        return self.events if self.note is None else [self.note, *self.events]

    def redacted(self, how: str, instead: WireEvent) -> list[WireEvent]:
        """One event in place of all."""
        first = self.first
        note = self.note._replace(how=how) if self.note else None
        if note is None:
            note = Redacted(first.conn, first.dir, first.t, how, min(self.wire, LARGEST))
            if isinstance(first, Frame):
                note = note._replace(frames=self.frames, payload=self.size, rsv=first.rsv)
        return [*self.among, note, instead]


def whole_frame(conn: int, dir: Dir, t: int, b0: int, payload: bytes) -> Frame:
    """An unmasked frame, its length in the shortest form."""
    size = len(payload)
    return Frame(conn, dir, t, b0, None, size, 7 if size < 126 else 16 if size < 65536 else 64, payload)


class Unreadable(Exception):
    """No secret can be found in it, so nothing of it may be kept."""


def body_data(raw: bytes, fields: dict[str, str], limit: int) -> bytes:
    """The data of a whole body. Raises Unreadable.

    Args:
        fields: of its head, in lower case.
        limit: bytes at most.
    """
    data = dechunk(raw) if _is_chunked(fields) else raw
    coding = fields.get("content-encoding", "identity")
    if coding in ("gzip", "x-gzip", "deflate") and data:
        reader = zlib.decompressobj(47)
        try:
            data = reader.decompress(data, limit)
        except zlib.error:
            raise Unreadable from None
        if reader.unconsumed_tail or reader.unused_data or not reader.eof:
            raise Unreadable
    elif coding != "identity" and data:
        raise Unreadable
    return data


def body_raw(data: bytes, fields: dict[str, str]) -> bytes:
    """A body as a reader with this head expects it, in one chunk where it was chunked."""
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data) if _is_chunked(fields) and data else data


def _is_chunked(fields: dict[str, str]) -> bool:
    return "chunked" in fields.get("transfer-encoding", "")


def is_text(data: bytes) -> bool:
    """Whether bytes are UTF-8 without any control character."""
    try:
        return not any(byte < 32 and byte not in b"\t\r\n" for byte in data) and data.decode("utf-8") is not None
    except UnicodeDecodeError:
        return False
