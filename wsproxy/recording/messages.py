"""The message view: frames defragmented, inflated and decoded.

Strategy: an incremental assembler per recording: feed it events, it returns the messages that became whole with them. It keeps,
per connection and direction, the open message and an inflater; memory is bounded by `limit` per direction. Control frames between
fragments come out at once, as messages of their own. What cannot be read (a gap before it, a bad deflate stream, a cut at the
limit) is a message with an `error`, never an exception.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from ..wire.deflate import InflateError, Inflater, negotiated
from ..wire.events import OP_CLOSE, OP_CONT, WITHHELD, Dir, End, Frame, Opaque, Part, Redacted, Response
from ..wire.http1 import head_fields
from .events import Event, Gap

DEFAULT_LIMIT = 32 << 20  # bytes of data of one message: shown as JSON a byte can become six, in several copies
_WHOLE = frozenset(range(0x81, 0x88))  # FIN and the opcode of a message of data


@dataclass(slots=True)
class Message:
    """A WebSocket message, or a control frame.

    `number` is that of its first event, `t` when that was read and `t_end` when the last part was (nanoseconds since the recording's
    start), `wire` the payload bytes that went over the wire, `frames` how many frames it came in. `redacted` where the data is not what went by:
    "masked", "decoded" or "withheld" (see `Redacted`).
    """

    number: int
    conn: int
    dir: Dir
    t: int
    t_end: int
    opcode: int
    data: bytes
    compressed: bool
    frames: int
    wire: int
    error: str | None = None
    redacted: str | None = None

    @property
    def text(self) -> str:
        """The data as text; bytes that are no UTF-8 become U+FFFD."""
        return self.data.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The data as JSON, or None where it is none (or is the JSON `null`)."""
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError):
            return None

    @property
    def is_control(self) -> bool:
        return self.opcode >= 8

    @property
    def close_code(self) -> int | None:
        """Of a close frame: its code; 1005 where there is none (RFC 6455, 7.1.5)."""
        if self.opcode != OP_CLOSE:
            return None
        return int.from_bytes(self.data[:2], "big") if len(self.data) >= 2 else 1005

    @property
    def close_reason(self) -> str:
        return self.data[2:].decode("utf-8", "replace") if self.opcode == OP_CLOSE else ""


@dataclass(slots=True)
class _Open:
    """A frame that is not whole yet, or a message whose last frame has not come."""

    number: int
    t: int
    b0: int
    length: int  # of the frame that is being read
    parts: list[bytes] = field(default_factory=list)
    size: int = 0  # kept in parts
    wire: int = 0
    got: int = 0  # of the frame that is being read
    frames: int = 1
    cut: bool = False


@dataclass(slots=True)
class _Direction:
    message: _Open | None = None  # data frames
    control: _Open | None = None
    reading: _Open | None = None  # whichever of the two gets the next part
    inflater: Inflater | None = None
    lost: str | None = None  # why the next data frame may not start a message


class Assembler:
    """Turns events into messages.

    Args:
        limit: bytes of one message at most, compressed and inflated alike.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self._directions: dict[tuple[int, Dir], _Direction] = {}
        self._redacted: dict[tuple[int, Dir], Redacted] = {}  # said of the next frame
        self._notes: dict[int, Redacted] = {}  # by the number of the frame

    def feed(self, number: int, event: Event) -> list[Message]:
        """The messages that this event completes.

        Args:
            number: of the event in its recording, from 1.
        """
        if isinstance(event, Frame):
            if self._redacted and (event.conn, event.dir) in self._redacted:
                self._notes[number] = self._redacted.pop((event.conn, event.dir))
            direction = self._direction(event.conn, event.dir)
            conn, dir, t, b0, _, length, _, payload = event
            if (  # a whole message in a frame of its own, as nearly all are: 1 µs instead of 3
                b0 & 0x8F in _WHOLE
                and direction.message is None
                and direction.reading is None
                and not self._notes
                and len(payload) == length <= self._limit
            ):
                compressed = bool(b0 & 0x40) and direction.inflater is not None
                error = None
                if compressed and direction.inflater is not None:
                    payload, error = self._inflated(direction.inflater, payload)
                return [Message(number, conn, dir, t, t, b0 & 15, payload, compressed, 1, length, error)]
            return self._as_they_went(self._frame(number, event, direction))
        if isinstance(event, Part):
            direction = self._direction(event.conn, event.dir)
            if direction.reading is None:  # its frame fell into a gap
                return []
            return self._payload(direction, direction.reading, event.payload, event)
        if isinstance(event, Response) and event.status == 101:
            self._negotiate(event)
        elif isinstance(event, Gap):
            return self._as_they_went(self._gap(event))
        elif isinstance(event, End | Opaque):
            direction = self._direction(event.conn, event.dir)
            return self._as_they_went(
                self._give_up(event.conn, event.dir, direction, event.t, "the connection ended inside it")
            )
        elif isinstance(event, Redacted) and event.frames:
            self._redacted[event.conn, event.dir] = event
        return []

    def finish(self) -> list[Message]:
        """The messages that are incomplete at the end of the recording."""
        out: list[Message] = []
        for (conn, dir), direction in self._directions.items():
            open_message = direction.message or direction.control
            t = open_message.t if open_message else 0
            out += self._give_up(conn, dir, direction, t, "the recording ends inside it")
        return self._as_they_went(out)

    def _as_they_went(self, messages: list[Message]) -> list[Message]:
        """Messages that are not stored as they went by get the figures of what did."""
        for message in messages if self._notes else ():
            note = self._notes.pop(message.number, None)
            if note is not None:
                message.t, message.wire, message.frames = note.t, note.payload, note.frames
                message.compressed = bool(note.rsv & 4)
                message.redacted = note.how
                if note.how == WITHHELD:
                    why = "it could not be read, so its secrets could not be masked"
                    message.error = f"{message.error or why}: withheld"
        return messages

    def _direction(self, conn: int, dir: Dir) -> _Direction:
        found = self._directions.get((conn, dir))
        if found is None:
            found = self._directions[conn, dir] = _Direction()
        return found

    def _negotiate(self, response: Response) -> None:
        values = [value for name, value in head_fields(response.raw) if name.lower() == "sec-websocket-extensions"]
        deflate = negotiated(values)
        if deflate is not None:
            for dir in ("c2s", "s2c"):
                inflater = Inflater(takeover=deflate.takeover(dir), limit=self._limit)
                self._direction(response.conn, dir).inflater = inflater

    def _frame(self, number: int, frame: Frame, direction: _Direction) -> list[Message]:
        out: list[Message] = []
        if direction.reading is not None:
            lost = self._give_up(frame.conn, frame.dir, direction, frame.t, "its end is missing")
            out += lost
        if frame.opcode >= 8:
            open_message = direction.control = _Open(number, frame.t, frame.b0, frame.length)
        elif direction.message is None:
            open_message = direction.message = _Open(number, frame.t, frame.b0, frame.length)
        elif frame.opcode == OP_CONT:
            open_message = direction.message
            open_message.length, open_message.got = frame.length, 0
            open_message.frames += 1
            open_message.b0 = (open_message.b0 & 0x7F) | (frame.b0 & 0x80)
        else:
            out += self._give_up(
                frame.conn, frame.dir, direction, frame.t, "a new message started before its last frame"
            )
            open_message = direction.message = _Open(number, frame.t, frame.b0, frame.length)
        direction.reading = open_message
        return out + self._payload(direction, open_message, frame.payload, frame)

    def _payload(
        self, direction: _Direction, open_message: _Open, payload: bytes, event: Frame | Part
    ) -> list[Message]:
        open_message.got += len(payload)
        open_message.wire += len(payload)
        if open_message.size + len(payload) > self._limit:
            open_message.cut = True
            payload = payload[: self._limit - open_message.size]
        if payload:
            open_message.parts.append(payload)
            open_message.size += len(payload)
        if open_message.got < open_message.length:
            return []
        direction.reading = None
        if not open_message.b0 & 0x80 and open_message is direction.message:
            return []
        if open_message is direction.message:
            direction.message = None
        else:
            direction.control = None
        return [self._message(event.conn, event.dir, direction, open_message, event.t)]

    def _message(self, conn: int, dir: Dir, direction: _Direction, got: _Open, t_end: int) -> Message:
        data = b"".join(got.parts)
        opcode = got.b0 & 15
        error = f"longer than {self._limit:,} bytes: cut there" if got.cut else None
        compressed = bool(got.b0 & 0x40) and opcode < 8 and direction.inflater is not None
        if compressed and direction.inflater is not None:
            if got.cut:
                direction.inflater.lose("an earlier message is too long to be inflated")
            else:
                data, error = self._inflated(direction.inflater, data)
        if opcode == OP_CONT:
            error = error or "a continuation of nothing"
        return Message(got.number, conn, dir, got.t, t_end, opcode, data, compressed, got.frames, got.wire, error)

    def _inflated(self, inflater: Inflater, payload: bytes) -> tuple[bytes, str | None]:
        """(data, what is wrong with it) of the joined payloads of a message."""
        try:
            data, cut = inflater.message(payload)
        except InflateError as why:
            return payload, str(why)
        return data, f"inflates to more than {self._limit:,} bytes: cut there" if cut else None

    def _give_up(self, conn: int, dir: Dir, direction: _Direction, t: int, why: str) -> list[Message]:
        out = []
        for got in (direction.control, direction.message):
            if got is not None and (got is direction.message or got.got < got.length):
                compressed = bool(got.b0 & 0x40) and got.b0 & 15 < 8 and direction.inflater is not None
                if compressed and direction.inflater is not None:
                    direction.inflater.lose(f"an earlier message is incomplete: {why}")
                out.append(
                    Message(
                        got.number,
                        conn,
                        dir,
                        got.t,
                        t,
                        got.b0 & 15,
                        b"".join(got.parts),
                        compressed,
                        got.frames,
                        got.wire,
                        f"incomplete: {why}",
                    )
                )
        direction.control = direction.message = direction.reading = None
        return out

    def _gap(self, gap: Gap) -> list[Message]:
        """Anything may be missing, in any direction: open messages are given up, kept windows are lost."""
        out: list[Message] = []
        if gap.bytes:
            for (conn, dir), direction in self._directions.items():
                out += self._give_up(conn, dir, direction, gap.t, "the recorder lost its end")
                if direction.inflater is not None:
                    direction.inflater.lose(f"the recorder lost {gap.bytes:,} bytes before it ({gap.reason})")
        return out
