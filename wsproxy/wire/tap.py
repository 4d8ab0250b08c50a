"""The tap: two byte streams of one connection in, events out.

Strategy: each direction has a reader and the reader changes with what it reads: HTTP heads → a body → HTTP heads …, and
after a 101 WebSocket frames, or opaque bytes when nothing here can tell what they are. The two directions know of each other only
through `_pending`: the requests that wait for their answers (HEAD has no body; a 101 turns both directions over).

While an upgrade is unanswered the client's further bytes may be frames or another request: they are held, as pieces (which are
recorded at once), and read when the answer has come. Nothing raises on foreign bytes; what has no reading as HTTP/1.x is
opaque from there to the end of its direction. `feed` is passive: it sees bytes, it never changes or delays them.

Cost: in frames, that of `FrameStream.feed`; in HTTP, one search and one regex pass per head. Memory: one incomplete head at
most (128 KiB).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import http1
from .events import C2S, S2C, Body, Dir, End, Opaque, Piece, Request, Response, WireEvent
from .frames import FrameStream
from .http1 import HEAD_LIMIT, BodyReader, NotHttp

PIPELINE_LIMIT = 1_000  # unanswered requests of one connection; bounds what the tap remembers


class _Pending(NamedTuple):
    """A request that waits for its answer."""

    exchange: int
    method: str
    upgrade: bool
    websocket: bool


class Tap:
    """Turns the bytes of a connection into events.

    `c2s` and `s2c` are the two directions; feed them with what was read, in the order in which it was read.
    """

    __slots__ = ("c2s", "conn", "exchanges", "pending", "s2c")

    def __init__(self, conn: int) -> None:
        self.conn = conn
        self.pending: list[_Pending] = []  # a deque would cost every connection 760 bytes
        self.exchanges = 0
        self.c2s = _Direction(self, C2S)
        self.s2c = _Direction(self, S2C)

    def direction(self, dir: Dir) -> _Direction:
        return self.c2s if dir == C2S else self.s2c

    @property
    def both_in_frames(self) -> bool:
        """Whether this is a WebSocket by now, in both directions."""
        return self.c2s.frames is not None and self.s2c.frames is not None

    @property
    def in_http(self) -> bool:
        """Whether both directions are still read as HTTP/1.x."""
        return self.c2s.in_http and self.s2c.in_http

    def turn_over(self, t: int, *, websocket: bool, reason: str) -> list[WireEvent]:
        """Both directions leave HTTP; the client's held bytes get their reading (the caller reads on with its own)."""
        for direction in (self.c2s, self.s2c):
            direction.leave_http(websocket=websocket, reason=reason)
        return self.c2s.read_held(t)


class _Direction:
    """One direction of a tap."""

    __slots__ = (
        "_body",
        "_buffer",
        "_consumed",
        "_held",
        "_hold_next",
        "_reason",
        "_searched",
        "_tap",
        "conn",
        "dir",
        "exchange",
        "feed",
        "frames",
    )

    def __init__(self, tap: Tap, dir: Dir) -> None:
        self._tap = tap
        self.dir = dir
        self.conn = tap.conn
        self._buffer = b""  # an incomplete head, or held bytes
        self._searched = 0
        self._consumed = 0  # what a failing step had already turned into events, of the buffer at hand
        self._body: BodyReader | None = None
        self.exchange = 0  # that of the last head; 0 where no request was seen
        self._held = False
        self._hold_next = False  # an upgrade was asked for, and its request's body is still coming
        self._reason: str | None = None
        self.frames: FrameStream | None = None
        #: Takes the next bytes of this direction, returns their events. Changes when the protocol does.
        self.feed: Callable[[bytes, int], list[WireEvent]] = self._feed_http

    def leave_http(self, *, websocket: bool, reason: str) -> None:
        """Read what follows as frames or as opaque bytes. Opaque bytes stay opaque: where frames start is lost."""
        if self.feed != self._feed_http:
            return
        self._held = False
        self._body = None
        if websocket:
            self.frames = FrameStream(self.conn, self.dir)
            self.feed = self.frames.feed
        else:
            self._reason = reason
            self.feed = self._feed_opaque

    @property
    def pending(self) -> bytes:
        """Bytes that were read and whose event is still to come."""
        return self.frames.pending if self.frames is not None else self._buffer

    @property
    def in_http(self) -> bool:
        return self.feed == self._feed_http

    @property
    def in_body(self) -> bool:
        """Whether a body is not whole yet."""
        return self._body is not None

    @property
    def is_opaque(self) -> bool:
        return self.feed == self._feed_opaque

    def read_held(self, t: int) -> list[WireEvent]:
        """Give the bytes that were held to whoever reads now. They were pieces, and are not said as pieces again."""
        held, self._searched, self._held = self._buffer, 0, False
        if not held:
            return []
        if self.feed == self._feed_http:
            return self.feed(b"", t)
        self._buffer = b""
        return self.feed(held, t) if self.frames is None else self.frames.take_over(held, t)

    def finish(self, how: str, t: int, undelivered: int = 0) -> list[WireEvent]:
        """The events of this direction's end: what was left incomplete, then `End`."""
        events: list[WireEvent] = []
        if self.frames is not None:
            events += self.frames.finish(t)
        elif self._buffer:
            left, self._buffer = self._buffer, b""
            why = "the upgrade was never answered" if self._held else "ended inside an HTTP head"
            events.append(Opaque(self.conn, self.dir, t, left, why))
        elif isinstance(self._body, http1.UntilClose):
            self._body = None
            events.append(Body(self.conn, self.dir, t, self.exchange, b"", True))
        events.append(End(self.conn, self.dir, t, how, undelivered))
        return events

    def _feed_opaque(self, data: bytes, t: int) -> list[WireEvent]:
        reason, self._reason = self._reason, None
        return [Opaque(self.conn, self.dir, t, data, reason)]

    def _feed_http(self, data: bytes, t: int) -> list[WireEvent]:
        events: list[WireEvent] = []
        known = len(self._buffer)
        buffer = self._buffer + data if known else data
        self._buffer = b""
        pos = 0
        try:
            while pos < len(buffer) and self.feed == self._feed_http and not self._held:
                step = self._step_body if self._body is not None else self._step_head
                after = step(buffer, pos, t, events)
                if after == pos:
                    break
                pos = after
            if self._held and len(buffer) - pos > HEAD_LIMIT:
                self._consumed = pos
                raise NotHttp("128 KiB sent before the upgrade was answered")
        except NotHttp as why:
            self._body = None
            self.leave_http(websocket=False, reason=str(why))
            pos = self._consumed
        rest = buffer[pos:] if pos else buffer
        if rest and self.feed == self._feed_http:
            new = rest if pos or not known else buffer[known:]
            if new:
                events.append(Piece(self.conn, self.dir, t, self._piece_of(), new))
            self._buffer = rest
        elif rest:
            events += self.feed(rest, t)
        return events

    def _piece_of(self) -> int:
        """The exchange that an incomplete head, or held bytes, belong to."""
        if self.dir == C2S:
            return self._tap.exchanges if self._held else self._tap.exchanges + 1
        return self._tap.pending[0].exchange if self._tap.pending else 0

    def _step_body(self, buffer: bytes, pos: int, t: int, events: list[WireEvent]) -> int:
        assert self._body is not None
        self._consumed = pos
        stop, whole = self._body.take(buffer, pos)
        events.append(Body(self.conn, self.dir, t, self.exchange, buffer[pos:stop], whole))
        if whole:
            self._body = None
            self._held, self._hold_next = self._hold_next, False
        return stop

    def _step_head(self, buffer: bytes, pos: int, t: int, events: list[WireEvent]) -> int:
        self._consumed = pos
        here = buffer[pos:] if pos else buffer
        stop = http1.head_end(here, self._searched)
        if not stop:
            self._searched = len(here)
            could_be = http1.could_be_request if self.dir == C2S else http1.could_be_response
            if not could_be(here):
                raise NotHttp(f"no HTTP/1.x {'request' if self.dir == C2S else 'response'}")
            if len(here) > HEAD_LIMIT:
                raise NotHttp("an HTTP head of more than 128 KiB")
            return pos
        self._searched = 0
        raw = here[:stop]
        if self.dir == C2S:
            self._request(raw, t, events, pos + stop)
        else:
            self._response(raw, t, events, pos + stop)
        return pos + stop

    def _request(self, raw: bytes, t: int, events: list[WireEvent], after: int) -> None:
        head = http1.parse_request(raw)
        if len(self._tap.pending) >= PIPELINE_LIMIT:
            raise NotHttp(f"more than {PIPELINE_LIMIT:,} requests without an answer")
        self._tap.exchanges += 1
        self.exchange = self._tap.exchanges
        events.append(Request(self.conn, C2S, t, self.exchange, head.method, head.target, raw))
        self._consumed = after
        upgrade = http1.wants_upgrade(head)
        websocket = "websocket" in head.tokens("upgrade")
        self._tap.pending.append(_Pending(self.exchange, head.method, upgrade, websocket))
        self._body = http1.request_body(head)
        self._held = upgrade and self._body is None
        self._hold_next = upgrade and self._body is not None

    def _response(self, raw: bytes, t: int, events: list[WireEvent], after: int) -> None:
        head = http1.parse_response(raw)
        pending = self._tap.pending
        request = pending[0] if pending else _Pending(0, "GET", False, False)
        self.exchange = request.exchange
        events.append(Response(self.conn, S2C, t, request.exchange, head.status, head.reason, raw))
        self._consumed = after
        if 100 <= head.status < 200 and head.status != 101:
            return
        if pending:
            pending.pop(0)
        if head.status == 101:
            protocol = ", ".join(head.values("upgrade")) or "nothing named"
            websocket = request.websocket and "websocket" in head.tokens("upgrade")
            events += self._tap.turn_over(t, websocket=websocket, reason=f"101 switched to {protocol}")
            return
        if request.method == "CONNECT" and 200 <= head.status < 300:
            events += self._tap.turn_over(t, websocket=False, reason="inside a CONNECT tunnel")
            return
        self._body = http1.response_body(head, request.method)
        if request.upgrade:
            events += self._tap.c2s.resume(t)

    def resume(self, t: int) -> list[WireEvent]:
        """The upgrade was refused: what was held is HTTP after all."""
        self._hold_next = False
        return self.read_held(t) if self._held else []
