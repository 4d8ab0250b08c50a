"""What the tap saw: one small tuple per thing that went over the wire.

Strategy: an event carries exactly the bytes that it stands for, so that `wire_bytes(event)` of all events of one
direction, joined, are the bytes that went by. The one exception is `Piece`: bytes of something not yet complete
(half a frame header, half an HTTP head). They are an event of their own because the relay must be able to record
whatever it forwards; the next event of the same connection and direction that is no piece contains these
bytes again and supersedes them. (`Superseding` in this module is that rule, in one place.)

`t` is in nanoseconds; which zero it counts from is the owner's affair (the relay's monotonic clock on the way in,
the recording's start on the way out). `conn` numbers the connections of one relay run from 1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, TypeAlias

Dir: TypeAlias = Literal["c2s", "s2c"]

C2S: Dir = "c2s"
S2C: Dir = "s2c"

MASKED, DECODED, WITHHELD = "masked", "decoded", "withheld"  # how an event was redacted

OP_CONT, OP_TEXT, OP_BINARY, OP_CLOSE, OP_PING, OP_PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


class Request(NamedTuple):
    """An HTTP request head, `raw` to the empty line included. `exchange` counts from 1 per connection.

    `host` is the Host that the relay put in place of the client's, on request, and `sent` the SHA-256 (hex) of the head that the
    upstream got so: `wire.host.with_host(raw, host)`.
    """

    conn: int
    dir: Dir
    t: int
    exchange: int
    method: str
    target: str
    raw: bytes
    host: str | None = None
    sent: str | None = None


class Response(NamedTuple):
    """An HTTP response head. `exchange` is 0 where no request was seen; `by` is "relay" for an answer of our own."""

    conn: int
    dir: Dir
    t: int
    exchange: int
    status: int
    reason: str
    raw: bytes
    by: str | None = None


class Body(NamedTuple):
    """Bytes of an HTTP body as they stood on the wire (chunk framing included).

    `omitted` counts further bytes that passed here and were not kept; `end` tells the last event of a body.
    """

    conn: int
    dir: Dir
    t: int
    exchange: int
    raw: bytes
    end: bool
    omitted: int = 0


class Frame(NamedTuple):
    """A WebSocket frame (RFC 6455, 5.2), or its first part.

    `b0` is the first byte (fin, rsv1-3, opcode); `mask` the 4-byte key or None; `length` the announced payload length;
    `form` how many bits the length was written in (7, 16 or 64); `payload` is unmasked and still compressed.
    Where `len(payload) < length`, `Part` events bring the rest.
    """

    conn: int
    dir: Dir
    t: int
    b0: int
    mask: bytes | None
    length: int
    form: int
    payload: bytes

    @property
    def fin(self) -> bool:
        return self.b0 >= 0x80

    @property
    def rsv(self) -> int:
        """RSV1, RSV2, RSV3 as a number from 0 to 7 (RSV1 is 4)."""
        return (self.b0 >> 4) & 7

    @property
    def opcode(self) -> int:
        return self.b0 & 15


class Part(NamedTuple):
    """More payload of the frame that is open in this direction, unmasked. `offset` is where in the payload it stands."""

    conn: int
    dir: Dir
    t: int
    offset: int
    payload: bytes


class Opaque(NamedTuple):
    """Bytes that are neither HTTP/1.x nor WebSocket; `reason` says why, on the first of a run."""

    conn: int
    dir: Dir
    t: int
    raw: bytes
    reason: str | None = None


class Piece(NamedTuple):
    """Bytes of something incomplete; superseded by the next event of this direction that is no piece."""

    conn: int
    dir: Dir
    t: int
    exchange: int
    raw: bytes


class End(NamedTuple):
    """The end of one direction: `how` is "fin", "reset", "aborted" (the other side went) or "stopped" (the relay did).

    `undelivered` counts bytes that the relay had read, and recorded, and could not hand on.
    """

    conn: int
    dir: Dir
    t: int
    how: str
    undelivered: int = 0


class Redacted(NamedTuple):
    """The next event of this direction that is no `Redacted` does not hold what went by.

    `how` is "masked" (secrets in it are), "decoded" (nothing is masked, but it depended on something that was: stored inflated) or "withheld" (it
    could not be read, so nothing of it is kept). It stands for `wire` bytes; for a WebSocket message also for so many `frames`, `payload` bytes in
    these, and the reserved bits `rsv` of the first. `t` is when the first of it was read.
    """

    conn: int
    dir: Dir
    t: int
    how: str
    wire: int
    frames: int = 0
    payload: int = 0
    rsv: int = 0


WireEvent: TypeAlias = Request | Response | Body | Frame | Part | Opaque | Piece | End | Redacted

_LEN16 = struct.Struct(">BBH")
_LEN64 = struct.Struct(">BBQ")


def frame_header(frame: Frame) -> bytes:
    """The header bytes of a frame as they stood on the wire, mask key included."""
    masked = 0x80 if frame.mask is not None else 0
    if frame.form == 7:
        head = bytes((frame.b0, masked | frame.length))
    elif frame.form == 16:
        head = _LEN16.pack(frame.b0, masked | 126, frame.length)
    else:
        head = _LEN64.pack(frame.b0, masked | 127, frame.length)
    return head + frame.mask if frame.mask is not None else head


def mask_at(payload: bytes, mask: bytes, offset: int) -> bytes:
    """Mask (or unmask) payload bytes that stand `offset` bytes into their frame."""
    from .masking import apply_mask  # loading `websockets` takes 25 ms, and who only looks at a recording masks nothing

    turn = offset & 3
    return apply_mask(payload, mask[turn:] + mask[:turn] if turn else mask)


class Superseding:
    """Turns the events of one direction of one connection back into the bytes that went by.

    Cost: memory for the pieces that are pending (tens of bytes; at most one HTTP head).
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._mask: bytes | None = None

    def wire_bytes(self, event: WireEvent) -> Iterator[bytes]:
        """The bytes that this event settles. Pieces settle nothing until `rest()`."""
        if isinstance(event, Piece):
            self._pieces.append(event.raw)
            return
        if isinstance(event, End | Redacted):
            return
        self._pieces.clear()
        if isinstance(event, Frame):
            self._mask = event.mask
            yield frame_header(event)
            yield mask_at(event.payload, event.mask, 0) if event.mask is not None else event.payload
        elif isinstance(event, Part):
            yield mask_at(event.payload, self._mask, event.offset) if self._mask is not None else event.payload
        else:
            yield event.raw

    def rest(self) -> bytes:
        """The pieces that nothing superseded: the last bytes before the recorder ended."""
        return b"".join(self._pieces)


def rebuild(events: Iterable[WireEvent]) -> bytes:
    """The wire bytes of the events of one direction of one connection."""
    direction = Superseding()
    return b"".join([part for event in events for part in direction.wire_bytes(event)]) + direction.rest()
