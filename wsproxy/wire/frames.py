"""WebSocket frames of one direction, passively.

Strategy: feed() cuts whatever it is given into frames. Any bytes at all have a reading as frames (RFC 6455, 5.2 fixes the
length of everything), so this parser is total: reserved bits and opcodes, wrong masking, non-minimal lengths and lengths of 2^63
are recorded as they are; judging them is the peers' affair. No frame is ever assembled: what has arrived of a payload is
handed on at once, the rest follows as parts, and a header that announces an exabyte costs its own ten bytes.

Cost: one pass; per frame one slice, one C unmask, one tuple. State: at most 13 bytes of a header, or a mask and two counters.
"""

from __future__ import annotations

from .events import Dir, Frame, Opaque, Part, Piece, WireEvent, mask_at
from .masking import apply_mask

CUT_HEADER = "ended inside a frame header"

_new_frame = tuple.__new__  # skips NamedTuple's argument parsing: 0.15 µs less per frame


class FrameStream:
    """Cuts the bytes of one direction into `Frame`, `Part` and `Piece` events."""

    __slots__ = ("_head", "_length", "_mask", "_offset", "between", "conn", "dir", "frames")

    def __init__(self, conn: int, dir: Dir) -> None:
        self.conn = conn
        self.dir = dir
        self.frames = 0
        self.between = True  # the next byte is the first of a frame
        self._head = b""  # an incomplete frame header
        self._length = 0  # of the open frame: announced, and how much of it came
        self._offset = 0
        self._mask: bytes | None = None

    def feed(self, data: bytes, t: int) -> list[WireEvent]:
        """Events of the next bytes of this direction.

        Args:
            data: any number of bytes, at least one.
            t: when they were read, in nanoseconds.
        """
        events: list[WireEvent] = []
        append = events.append
        conn, dir, frames = self.conn, self.dir, 0
        mask: bytes | None
        pos, end = 0, len(data)
        new_from = 0  # where in `data` the bytes of this call start
        if self._offset < self._length:
            pos = self._more(data, t, events)
        elif self._head:
            new_from = len(self._head)
            data = self._head + data
            end += new_from
        while pos + 2 <= end:
            second = data[pos + 1]
            at = pos + 2
            form = 7
            length = second & 0x7F
            if length == 126:
                at += 2
                if at > end:
                    break
                form = 16
                length = data[pos + 2] << 8 | data[pos + 3]
            elif length == 127:
                at += 8
                if at > end:
                    break
                form = 64
                length = int.from_bytes(data[pos + 2 : at], "big")
            if second >= 0x80:
                start = at + 4
                if start > end:
                    break
                mask = data[at:start]
                stop = start + length
                payload = apply_mask(data[start:stop], mask)
            else:
                mask = None
                start = at
                stop = at + length
                payload = data[at:stop]
            append(_new_frame(Frame, (conn, dir, t, data[pos], mask, length, form, payload)))
            frames += 1
            if stop > end:
                self._length, self._offset, self._mask = length, end - start, mask
                pos = end
                break
            pos = stop
        self.frames += frames
        if pos < end:
            new = data[pos or new_from :]
            if new:
                append(Piece(conn, dir, t, 0, new))
            self._head = data[pos:]
        elif self._head:
            self._head = b""
        self.between = pos == end and self._offset == self._length
        return events

    def take_over(self, held: bytes, t: int) -> list[WireEvent]:
        """Events of bytes that have been said as pieces already."""
        self._head = held
        return self.feed(b"", t)

    @property
    def pending(self) -> bytes:
        """Bytes of an incomplete frame header."""
        return self._head

    def _more(self, data: bytes, t: int, events: list[WireEvent]) -> int:
        """Payload of the open frame; returns how many bytes of `data` it took."""
        take = min(self._length - self._offset, len(data))
        payload = data if take == len(data) else data[:take]
        if self._mask is not None:
            payload = mask_at(payload, self._mask, self._offset)
        events.append(Part(self.conn, self.dir, t, self._offset, payload))
        self._offset += take
        if self._offset == self._length:
            self._length = self._offset = 0
        return take

    def finish(self, t: int) -> list[WireEvent]:
        """What is left when the direction has ended: half a header, if anything."""
        if not self._head:
            return []
        left, self._head = self._head, b""
        return [Opaque(self.conn, self.dir, t, left, CUT_HEADER)]
