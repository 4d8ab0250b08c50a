"""Which recordings the events of one connection belong to.

Strategy: before the first byte is forwarded it is recorded, so a home is needed at once, also for bytes that do not tell yet whose
they are. These go into a recording of the connection's own; when the stream is known (a head became whole, a JSON body named
a call id) the events move to the stream's recording and the provisional file goes. A WebSocket whose stream is unknown, and
anything that is not HTTP, simply stays there.
"""

from __future__ import annotations

from ..errors import RecordingError
from ..recording.events import Gap
from ..recording.format import pack_event
from ..wire import http1
from ..wire.events import C2S, Body, Dir, End, Frame, Opaque, Part, Piece, Redacted, Request, Response, WireEvent
from ..wire.tap import Tap
from .lane import Lane
from .provisional import events_of, has_body
from .rules import BODY_LIMIT, StreamRule
from .stream import Stream
from .streams import Streams

CONTINUED = "what these pieces are part of stands in another recording"
_EXCHANGES_KEPT = 64  # of a connection that goes on and on


class Homes:
    """The recordings of one connection.

    Args:
        tap: whose events they are.
        conn: the connection's number; `client` and `upstream` are its two sides.
        opened: when it was accepted.

    Attributes:
        last: the lane that the last event went into.
        error: why the upstream was not reached, for recordings that are begun from now on.
    """

    __slots__ = (
        "_client",
        "_conn",
        "_keep_provisional",
        "_lanes",
        "_moved_out",
        "_of_exchange",
        "_opened",
        "_pieces_in",
        "_provisional",
        "_rule",
        "_searching",
        "_streams",
        "_tap",
        "_upstream",
        "error",
        "last",
    )

    def __init__(
        self, streams: Streams, rule: StreamRule, tap: Tap, conn: int, client: str, upstream: str, opened: int
    ) -> None:
        self._streams = streams
        self._rule = rule
        self._tap = tap
        self._conn = conn
        self._client = client
        self._upstream = upstream
        self._opened = opened
        self.error: str | None = None
        self._lanes: dict[Stream, Lane] = {}
        self._of_exchange: dict[int, Lane] = {}
        self._searching: dict[int, list[bytes]] = {}  # exchange → its body so far
        self._provisional: Lane | None = None
        self._keep_provisional = False
        self._pieces_in: dict[Dir, Lane] = {}  # where pieces stand that nothing has superseded
        self._moved_out: list[Lane] = []  # provisional recordings that are not needed any more
        self.last: Lane | None = None

    def leave(self) -> tuple[Lane, ...]:
        """No event comes any more: all lanes, which the caller has to release."""
        lanes = tuple(self._lanes.values())
        self._lanes.clear()
        return lanes

    def record(self, events: list[WireEvent], t: int) -> None:
        """Find each event's recording, then write: one write per recording."""
        for event in events:
            if isinstance(event, Request):
                self._request(event, t)
            elif isinstance(event, Body) and event.exchange in self._searching and event.dir == C2S:
                self._search(event, t)
        batch: list[WireEvent] = []
        lane: Lane | None = None
        note: list[WireEvent] = []  # what is redacted stands before what it is said of
        for event in events:
            if isinstance(event, Redacted):
                note = [event]
                continue
            home = self._home(event, t)
            self._follow_pieces(event, home, t)
            if home is not lane and batch and lane is not None:
                lane.add(batch, t)
                batch = []
            lane = home
            batch += [*note, event]
            note = []
        if lane is not None:
            lane.add(batch, t)
        while self._moved_out:  # only now: what was forwarded must be on disk somewhere at every instant
            gone = self._moved_out.pop()
            self._lanes.pop(gone.stream, None)
            gone.stream.discard()
        if len(self._of_exchange) > _EXCHANGES_KEPT:
            current = min(self._tap.s2c.exchange, *self._searching, self._tap.exchanges)
            self._of_exchange = {n: lane for n, lane in self._of_exchange.items() if n >= current}

    def last_or_own(self, t: int) -> Lane:
        """Where bytes go that nobody can read."""
        return self.last or self._own(t)

    def give_up_searching(self, t: int) -> None:
        """The client has ended: bodies that broke off will name no stream."""
        for exchange in list(self._searching):
            del self._searching[exchange]
            self._settle(exchange, self._lane(self._streams.rest(self._opened), t), t)

    def _home(self, event: WireEvent, t: int) -> Lane:
        if isinstance(event, Request | Response | Body):
            lane = self._of_exchange.get(event.exchange) or self._own(t)
        elif isinstance(event, Piece):
            # Half of a next head: nobody knows whose. (Pieces of frames have exchange 0.)
            lane = self._of_exchange.get(event.exchange) or (None if event.exchange else self.last) or self._own(t)
            if event.exchange:
                return lane
        elif isinstance(event, Frame | Part | Opaque):
            lane = self.last or self._own(t)
        else:
            assert isinstance(event, End)
            lane = self.last or self._provisional or self._lane(self._streams.rest(self._opened), t)
        if lane is self._provisional and getattr(event, "exchange", 0) not in self._searching:
            self._keep_provisional = True
        self.last = lane
        return lane

    def _follow_pieces(self, event: WireEvent, home: Lane, t: int) -> None:
        """Pieces are superseded by the next event of their direction; where that stands elsewhere, say so beside them."""
        dir = event.dir
        if isinstance(event, Piece):
            self._pieces_in[dir] = home
        elif not isinstance(event, End):
            before = self._pieces_in.pop(dir, None)
            if before is None or before is home or before in self._moved_out:
                return
            if before is self._provisional and not self._searching and not self._keep_provisional:
                self._provisional = None
                self._moved_out.append(before)
            else:
                before.add([Opaque(self._conn, dir, t, b"", CONTINUED)], t)

    def _request(self, request: Request, t: int) -> None:
        stream_id = self._rule.of_head(request.target, request.raw)
        if stream_id is not None:
            self._settle(request.exchange, self._lane(self._streams.of(stream_id, self._opened), t), t)
            return
        head = http1.parse_request(request.raw)
        if http1.wants_upgrade(head):
            self._of_exchange[request.exchange] = self._own(t)
        elif self._rule.may_be_in_body(request.raw) and has_body(head):
            self._searching[request.exchange] = []
        else:
            self._settle(request.exchange, self._lane(self._streams.rest(self._opened), t), t)

    def _search(self, body: Body, t: int) -> None:
        parts = self._searching[body.exchange]
        parts.append(body.raw)
        if not body.end and sum(map(len, parts)) <= BODY_LIMIT:
            return
        del self._searching[body.exchange]
        raw = b"".join(parts)
        stream_id = self._rule.of_body(raw) or self._rule.of_body(http1.dechunk(raw)) if body.end else None
        stream = self._streams.of(stream_id, self._opened) if stream_id else self._streams.rest(self._opened)
        self._settle(body.exchange, self._lane(stream, t), t)

    def _settle(self, exchange: int, lane: Lane, t: int) -> None:
        """The exchange belongs to this lane: what the provisional recording has of it moves there."""
        self._of_exchange[exchange] = lane
        provisional = self._provisional
        if provisional is None:
            return
        stream = provisional.stream
        stream.writer.write_out(t)
        base = stream.writer.header.start_mono_ns
        moved: list[WireEvent] = []
        try:
            with self._streams.disk.guarded():
                moved = events_of(stream.path, exchange, base)
            if moved:
                lane.add(list(moved), t)
        except RecordingError as error:
            gap = Gap(t, t, 0, 0, f"moving events here: {error}")
            lane.stream.writer.write([pack_event(gap, lane.stream.writer.header.start_mono_ns)], 0, 0, t)
        leaves = not self._searching and not self._keep_provisional
        for dir, home in list(self._pieces_in.items()):
            if home is not provisional:
                continue
            if any(isinstance(event, Piece) and event.dir == dir for event in moved):
                self._pieces_in[dir] = lane
                if not leaves:
                    provisional.add([Opaque(self._conn, dir, t, b"", CONTINUED)], t)
            elif leaves:
                del self._pieces_in[dir]
        if leaves:
            self._provisional = None
            self.last = lane if self.last is provisional else self.last
            self._moved_out.append(provisional)

    def _own(self, t: int) -> Lane:
        if self._provisional is None:
            self._provisional = self._lane(self._streams.own(self._conn, self._opened), t)
        return self._provisional

    def _lane(self, stream: Stream, t: int) -> Lane:
        lane = self._lanes.get(stream)
        if lane is None:
            lane = self._lanes[stream] = stream.lane(
                self._conn, self._client, self._upstream, self.error, self._opened, t
            )
        return lane
