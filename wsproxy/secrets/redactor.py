"""A recording's events without its secrets.

Strategy: a machine per direction of a connection. What stands for itself (a head, a marker) is masked at once; a WebSocket message, an HTTP
body, a run of bytes that nobody can read is held until it is whole. What holds no secret passes as it came, event for event, so the wire bytes
of it can still be proved. What holds one is replaced by a `Redacted` event and one event that holds all of it, decoded and masked. Where the
direction is compressed with a kept window, later messages depend on the replaced one and are stored decoded too.

Whatever cannot be read (it never became whole, cannot be inflated, is longer than the limit, is no protocol of ours and no text either) can hold
anything: it is withheld, and only counted. Pieces that something superseded go.

Limits: a secret that is spread over several messages is not recognized.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from ..recording.events import Event, Gap, Late, Marker, Open, Totals, Trailer, Unknown
from ..wire.deflate import InflateError, Inflater, negotiated
from ..wire.events import (
    DECODED,
    MASKED,
    OP_CLOSE,
    OP_CONT,
    WITHHELD,
    Body,
    Dir,
    End,
    Frame,
    Opaque,
    Part,
    Piece,
    Redacted,
    Request,
    Response,
    WireEvent,
)
from ..wire.frames import CUT_HEADER
from ..wire.host import with_host
from ..wire.http1 import head_fields
from .held import Held, Unreadable, body_data, body_raw, is_text, whole_frame
from .masking import Masker

LIMIT = 64 << 20  # bytes of a message or body, as it was sent and inflated


class Redactor:
    """Masks the secrets of one recording, or of one connection.

    Args:
        limit: bytes of one message or body that are held at most; what is longer is withheld.
    """

    def __init__(self, masker: Masker, *, limit: int = LIMIT) -> None:
        self._masker = masker
        self._limit = limit
        self._directions: dict[tuple[int, Dir], _Direction] = {}

    def feed(self, event: Event) -> list[Event]:
        """The events that may be kept now that this one has come."""
        if isinstance(event, Marker):
            source = None if event.source is None else self._masker.text(event.source)
            return [event._replace(data=self._masker.json(event.data), source=source)]
        if isinstance(event, Open):
            error = None if event.error is None else self._masker.text(event.error)
            return [event._replace(upstream=self._masker.url(event.upstream), error=error)]
        if isinstance(event, Gap):
            out = self._broken() if event.bytes else []
            return [*out, event._replace(reason=self._masker.text(event.reason))]
        if isinstance(event, Unknown):
            return [Unknown(event.kind, self._masker.json(event.fields))]
        if isinstance(event, Totals):
            return [*self._left(conn=event.conn), event]
        if isinstance(event, Trailer | Late):
            return [event]
        return list(self.feed_wire([event]))

    def feed_wire(self, events: Iterable[WireEvent]) -> list[WireEvent]:
        """The same for the events of connections."""
        out: list[WireEvent] = []
        for event in events:
            direction = self._direction(event.conn, event.dir)
            out += direction.feed(event)
            if isinstance(event, Response) and event.status == 101:
                self._negotiate(event)
        return out

    def finish(self) -> list[Event]:
        """What is left when there are no more events."""
        return self._left()

    def _left(self, conn: int | None = None) -> list[Event]:
        out: list[Event] = []
        for (of, _), direction in self._directions.items():
            if conn is None or of == conn:
                out += direction.left()
        return out

    def _broken(self) -> list[Event]:
        out: list[Event] = self._left()
        for direction in self._directions.values():
            if direction.inflater is not None:
                direction.inflater.lose("the recorder lost bytes before it")
        return out

    def _direction(self, conn: int, dir: Dir) -> _Direction:
        found = self._directions.get((conn, dir))
        if found is None:
            found = self._directions[conn, dir] = _Direction(self._masker, self._limit)
        return found

    def _negotiate(self, response: Response) -> None:
        values = [value for name, value in head_fields(response.raw) if name.lower() == "sec-websocket-extensions"]
        deflate = negotiated(values)
        if deflate is not None:
            for dir in ("c2s", "s2c"):
                direction = self._direction(response.conn, dir)
                direction.takeover = deflate.takeover(dir)
                direction.inflater = Inflater(takeover=direction.takeover, limit=self._limit)


class _Direction:
    """One direction of one connection."""

    def __init__(self, masker: Masker, limit: int) -> None:
        self._masker = masker
        self._limit = limit
        self.inflater: Inflater | None = None
        self.takeover = False
        self._replaced = False  # a message of the kept window is not stored as it came
        self._message: Held | None = None
        self._control: Held | None = None
        self._reading: Held | None = None  # whichever of the two gets the next part
        self._length = self._got = 0  # of the frame that is being read
        self._fin = False
        self._body: Held | None = None
        self._fields: dict[str, str] = {}
        self._run: Held | None = None  # of opaque bytes
        self._cut_before = (
            False  # something was withheld before its end: what follows may begin in the midst of a secret
        )
        self._pieces: list[Piece] = []
        self._note: Redacted | None = None  # what an earlier redaction says of the next event

    def feed(self, event: WireEvent) -> list[WireEvent]:
        if isinstance(event, Redacted):
            self._note = event
            return []
        if isinstance(event, Piece):
            self._pieces.append(event)
            return []
        note, self._note = self._note, None
        if isinstance(event, Frame):
            self._pieces.clear()
            return self._frame(event, note)
        if isinstance(event, Part):
            self._pieces.clear()
            return self._part(event, note)
        if isinstance(event, End):
            return [*self.left(), event]
        if not (isinstance(event, Opaque) and not event.raw):
            self._pieces.clear()
        if isinstance(event, Opaque):
            return self._opaque(event, note)
        if isinstance(event, Body):
            return self._body_part(event, note)
        return [*self.left(), *self._head(event, note)]

    def left(self) -> list[WireEvent]:
        """What will not become whole any more."""
        out: list[WireEvent] = []
        for held in (self._message, self._control):
            if held is not None and isinstance(held.first, Frame):
                if self.inflater is not None:
                    self.inflater.lose("an earlier message is incomplete")
                first = held.first
                if held.size or held.note:
                    # Still a frame that never became whole, as a reader should see it.
                    bare = first._replace(b0=first.b0 & 0x8F, mask=None, length=first.length or 1, payload=b"")
                    form = 7 if bare.length < 126 else 16 if bare.length < 65536 else 64
                    out += held.redacted(WITHHELD, bare._replace(form=form))
                    self._cut_before = True
                else:
                    out += held.as_it_is()
        if self._body is not None and isinstance(self._body.first, Body):
            if self._body.size or self._body.note:
                out += self._body.redacted(WITHHELD, self._body.first._replace(raw=b"", end=False, omitted=0))
                self._cut_before = True
            else:
                out += self._body.as_it_is()
        out += self._run_whole()
        if self._pieces:
            first_piece = self._pieces[0]
            wire = sum(len(piece.raw) for piece in self._pieces)
            note = self._note or Redacted(first_piece.conn, first_piece.dir, first_piece.t, WITHHELD, wire)
            out += [note, first_piece._replace(raw=b"")]
        self._message = self._control = self._reading = self._body = self._note = None
        self._pieces = []
        return out

    # --- HTTP --------------------------------------------------------------------------------------------------------

    def _head(self, event: Any, note: Redacted | None) -> list[WireEvent]:
        self._fields = {name.lower(): value.lower() for name, value in head_fields(event.raw)}
        shown = event._replace(raw=self._masker.head(event.raw))
        if isinstance(event, Request):
            shown = shown._replace(target=self._masker.url(event.target))
        else:
            shown = shown._replace(reason=self._masker.text(event.reason))
        if shown == event:
            return [event] if note is None else [note, event]
        if (
            isinstance(shown, Request) and shown.host is not None
        ):  # a digest of the head that went up would let a short secret be guessed
            shown = shown._replace(sent=hashlib.sha256(with_host(shown.raw, shown.host)).hexdigest())
        return [note or Redacted(event.conn, event.dir, event.t, MASKED, len(event.raw)), shown]

    def _body_part(self, event: Body, note: Redacted | None) -> list[WireEvent]:
        held = self._body
        if held is None:
            held = self._body = Held(event, self._limit, note)
        held.add(event)
        if not event.end:
            return []
        self._body = None
        return self._body_whole(held, event)

    def _body_whole(self, held: Held, last: Body) -> list[WireEvent]:
        if not held.size and not held.cut:
            return held.as_it_is()
        try:
            if held.cut:
                raise Unreadable
            # What was redacted before is stored without its content coding.
            fields = self._fields | ({"content-encoding": "identity"} if held.note else {})
            raw = b"".join(held.parts)
            data = body_data(raw, fields, self._limit)
        except Unreadable:
            return held.redacted(WITHHELD, last._replace(raw=b"", omitted=0))
        shown = self._masker.data(data)
        # Chunk extensions and trailers are no data; they are kept, or not, with all of the body.
        if shown == data and (raw == data or self._masker.data(raw) == raw):
            return held.as_it_is()
        return held.redacted(MASKED, last._replace(raw=body_raw(shown, self._fields)))

    # --- WebSocket ---------------------------------------------------------------------------------------------------

    def _frame(self, frame: Frame, note: Redacted | None) -> list[WireEvent]:
        out = self.left() if self._reading is not None else []
        if frame.opcode < 8 and frame.opcode != OP_CONT and self._message is not None:
            out += self.left()
        if frame.opcode >= 8:
            held = self._control = Held(frame, self._limit, note)
        elif self._message is None:
            held = self._message = Held(frame, self._limit, note)
        else:
            held = self._message
        held.add(frame)
        self._reading, self._length, self._got, self._fin = held, frame.length, len(frame.payload), frame.fin
        return out + self._read(frame.t)

    def _part(self, part: Part, note: Redacted | None) -> list[WireEvent]:
        if self._reading is None:  # its frame fell into a gap
            note = note or Redacted(part.conn, part.dir, part.t, WITHHELD, len(part.payload))
            return [note, part._replace(payload=b"")]
        self._reading.add(part)
        self._got += len(part.payload)
        return self._read(part.t)

    def _read(self, t: int) -> list[WireEvent]:
        """A frame has got more: hand on what became whole with it."""
        held = self._reading
        if held is None or self._got < self._length:
            return []
        self._reading = None
        if held is self._control:
            self._control = None
            out = self._message_whole(held, t)
            if self._message is None:
                return out
            self._message.let_in(out)
            return []
        if not self._fin:
            return []
        self._message = None
        return self._message_whole(held, t)

    def _message_whole(self, held: Held, t: int) -> list[WireEvent]:
        first = held.first
        assert isinstance(first, Frame)
        rsv = first.rsv if first.opcode < 8 else 0
        inflater = self.inflater if rsv & 4 else None
        try:
            data = self._message_data(held, first, inflater)
        except Unreadable:
            self._replaced |= inflater is not None and self.takeover
            return held.redacted(WITHHELD, whole_frame(first.conn, first.dir, t, 0x80 | first.opcode, b""))
        start = data[:2] if first.opcode == OP_CLOSE else b""  # the code
        shown = start + self._masker.data(data[len(start) :])
        if shown == data and not (inflater is not None and self._replaced):
            return held.as_it_is()
        self._replaced |= inflater is not None and self.takeover
        how = MASKED if shown != data else DECODED
        return held.redacted(how, whole_frame(first.conn, first.dir, t, 0x80 | first.opcode, shown))

    def _message_data(self, held: Held, first: Frame, inflater: Inflater | None) -> bytes:
        known = 4 if inflater is not None else 0
        if held.cut or (first.rsv & ~known and held.size) or (first.opcode == OP_CONT and held.size):
            if inflater is not None:
                inflater.lose("an earlier message is too long, or incomplete")
            raise Unreadable
        data = b"".join(held.parts)
        if inflater is None:
            return data
        try:
            data, cut = inflater.message(data)
        except InflateError:
            raise Unreadable from None
        if cut:
            raise Unreadable
        return data

    # --- neither -----------------------------------------------------------------------------------------------------

    def _opaque(self, event: Opaque, note: Redacted | None) -> list[WireEvent]:
        out = self.left() if self._body or self._message or self._control else []
        if note is not None:
            return [*out, note, event._replace(raw=self._masker.data(event.raw))]
        if not event.raw or (event.reason == CUT_HEADER and len(event.raw) < 14):
            return [*out, event]
        if self._run is None:
            self._run = Held(event, self._limit)
        self._run.add(event)
        if self._cut_before or any(byte < 32 and byte not in b"\t\r\n" for byte in event.raw):
            out += self._run_whole()
            self._cut_before = True
        return out

    def _run_whole(self) -> list[WireEvent]:
        held, self._run = self._run, None
        if held is None:
            return []
        first = held.first
        assert isinstance(first, Opaque)
        data = b"".join(held.parts)
        if held.cut or self._cut_before or not is_text(data):
            return held.redacted(WITHHELD, first._replace(raw=b""))
        shown = self._masker.data(data)
        return held.as_it_is() if shown == data else held.redacted(MASKED, first._replace(raw=shown))
