"""One connection's recorder: bytes into the tap, events into the recordings that they belong to.

Strategy: before the first byte is forwarded it is recorded, so a home is needed at once, also for bytes that do not tell yet whose
they are. These go into a recording of the connection's own; when the stream is known (a head became whole, a JSON body named
a call id) the events move to the stream's recording and the provisional file goes. A WebSocket whose stream is unknown, and
anything that is not HTTP, simply stays there.

When both directions carry frames there is nothing to route any more: `feed` becomes a closure of four calls per read.

Where secrets must not reach the disk (`record --redact`), a `Redactor` stands between the tap and all this: it lets through what is whole and masked,
and never a piece. Then there is no fast way, and what is incomplete when the relay is killed is not recorded.

Nothing here raises into the splice: a fault in the tap or in this module makes the direction opaque, recorded as such.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import RecordingError
from ..recording.format import Gap, Link, pack_event
from ..secrets.redactor import Redactor
from ..wire import http1
from ..wire.events import (
    C2S,
    S2C,
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
from ..wire.tap import Tap
from .lane import Lane
from .provisional import events_of, has_body, withheld
from .rules import BODY_LIMIT, StreamRule
from .streams import Stream, Streams

Feed = Callable[[bytes, int], None]
REDACT_LIMIT = 16 << 20  # bytes of a message or body that --redact holds until it is whole
CONTINUED = "what these pieces are part of stands in another recording"


class ConnectionRecorder:
    """Records one connection.

    `feed` maps each direction to the function that takes its next bytes; look it up anew for every read.

    Args:
        conn: the connection's number in this run.
        opened: when it was accepted (nanoseconds, monotonic), as all times here.
        watch: called with all events, for a live view; None costs nothing.
        on_request: called once, with the target of the first request.
        on_fault: called with what went wrong in here.
    """

    __slots__ = (
        "_bytes",
        "_client",
        "_conn",
        "_fast_dirs",
        "_frames",
        "_keep_provisional",
        "_lanes",
        "_last",
        "_moved_out",
        "_of_exchange",
        "_on_fault",
        "_on_request",
        "_opened",
        "_pieces_in",
        "_provisional",
        "_redactor",
        "_rule",
        "_searching",
        "_streams",
        "_tap",
        "_upstream",
        "_watch",
        "answering",
        "end_summary",
        "error",
        "feed",
        "forwarded_as",
        "status",
        "target",
    )

    def __init__(
        self,
        streams: Streams,
        rule: StreamRule,
        conn: int,
        client: str,
        upstream: str,
        opened: int,
        *,
        watch: Callable[[list[WireEvent]], None] | None = None,
        on_request: Callable[[str], None] = lambda _: None,
        on_fault: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._streams = streams
        self._rule = rule
        self._tap = Tap(conn)
        self._conn = conn
        self._client = client
        self._upstream = upstream
        self._opened = opened
        self._watch = watch
        self._redactor = None if streams.masker is None else Redactor(streams.masker, limit=REDACT_LIMIT)
        self._on_fault = on_fault
        self._on_request = on_request
        self._lanes: dict[Stream, Lane] = {}
        self._of_exchange: dict[int, Lane] = {}
        self._searching: dict[int, list[bytes]] = {}  # exchange → its body so far
        self._provisional: Lane | None = None
        self._keep_provisional = False
        self._pieces_in: dict[Dir, Lane] = {}  # where pieces stand that nothing has superseded
        self._moved_out: list[Lane] = []  # provisional recordings that are not needed any more
        self._last: Lane | None = None
        self._fast_dirs: set[Dir] = set()
        self.error: str | None = None  # why the upstream was not reached
        self.answering = False  # the relay itself speaks for the upstream
        self.forwarded_as: Callable[[Request], Request] | None = None  # tells what the upstream gets, if not just that
        self.target = ""  # of the first request
        self.status = 0  # of the last response
        self.end_summary = ""  # how it ended, if not with a FIN from both sides
        self._frames = {C2S: 0, S2C: 0}
        self._bytes = {C2S: 0, S2C: 0}
        self.feed: dict[Dir, Feed] = {C2S: self._guarded(C2S), S2C: self._guarded(S2C)}

    @property
    def lane(self) -> Lane | None:
        """The recording that the connection's last event went into."""
        return self._last

    @property
    def head_seen(self) -> bool:
        """Whether a request head was whole, or it is clear that none will be."""
        return self._tap.exchanges > 0 or self._tap.c2s.is_opaque

    def end(self, dir: Dir, how: str, t: int, undelivered: int = 0) -> None:
        """One direction has ended: "fin", "reset", "aborted" or "stopped"."""
        if not self.end_summary and how != "fin":
            who = "client" if dir == C2S else "server"
            self.end_summary = f"{how} by the {who}" if how == "reset" or how.startswith("lost") else how
        try:
            if dir in self._fast_dirs and self._last is not None:
                self._fast_dirs.discard(dir)
                self._last.count_events(dir, self._tap.direction(dir).pending)
            if dir == C2S:
                for exchange in list(self._searching):  # bodies that broke off: they will name no stream
                    del self._searching[exchange]
                    self._settle(exchange, self._lane(self._streams.rest(self._opened), t), t)
            self._record(self._kept(self._tap.direction(dir).finish(how, t, undelivered)), t)
        except Exception as error:
            self._on_fault(error)

    def close(self, t: int, client: Link | None = None, server: Link | None = None) -> None:
        """The connection is over; what is known of the ways to both peers."""
        try:
            for lane in list(self._lanes.values()):
                self._fill_frame_counts(lane)
                for dir, account in lane.accounts.items():
                    self._frames[dir] += account.frames
                    self._bytes[dir] += account.bytes
                lane.stream.release(lane, t, client, server)
            self._lanes.clear()
        except Exception as error:
            self._on_fault(error)

    def summarize(self, frames: dict[Dir, int], bytes: dict[Dir, int]) -> None:
        """Fill in what passed, once closed."""
        frames.update(self._frames)
        bytes.update(self._bytes)

    def _fill_frame_counts(self, lane: Lane) -> None:
        if lane is self._last:
            for dir in (C2S, S2C):
                frames = self._tap.direction(dir).frames
                if frames is not None:
                    lane.accounts[dir].frames = frames.frames

    # --- feeding -----------------------------------------------------------------------------------------------------

    def _guarded(self, dir: Dir) -> Feed:
        direction = self._tap.direction(dir)

        def feed(data: bytes, t: int) -> None:
            try:
                self._record(self._kept(direction.feed(data, t)), t)
                if self._tap.both_in_frames:
                    self._go_fast()
            except Exception as error:
                self._make_opaque(dir, data, t, error)

        return feed

    def _kept(self, events: list[WireEvent]) -> list[WireEvent]:
        """What may be recorded now of what the tap saw."""
        return events if self._redactor is None else self._redactor.feed_wire(events)

    def _go_fast(self) -> None:
        lane = self._last
        if lane is None or self._watch is not None or self._redactor is not None:
            return
        for dir in (C2S, S2C):
            self._fast_dirs.add(dir)
            lane.count_reads(dir, self._tap.direction(dir).pending)
            self.feed[dir] = self._fast(dir, lane)

    def _fast(self, dir: Dir, lane: Lane) -> Feed:
        frames = self._tap.direction(dir).frames
        assert frames is not None
        record = lane.frames_recorder(dir, frames.feed)

        def feed(data: bytes, t: int) -> None:
            try:
                record(data, t)
            except Exception as error:
                self._make_opaque(dir, data, t, error)

        return feed

    def _make_opaque(self, dir: Dir, data: bytes, t: int, error: Exception) -> None:
        """A fault of ours: from here on this direction is recorded as bytes."""
        self._on_fault(error)
        self._fast_dirs.discard(dir)
        words = "" if self._redactor is not None else f": {error}"
        reason: str | None = f"the recorder failed: {type(error).__name__}{words}"

        def feed(data: bytes, t: int) -> None:
            nonlocal reason
            try:
                opaque = Opaque(self._conn, dir, t, data, reason)
                (self._last or self._own(t)).add([opaque] if self._redactor is None else withheld(opaque), t)
                reason = None
            except Exception as error:
                self._on_fault(error)

        self.feed[dir] = feed
        feed(data, t)

    # --- routing -----------------------------------------------------------------------------------------------------

    def _record(self, events: list[WireEvent], t: int) -> None:
        """Find each event's recording, then write: one write per recording."""
        if self._watch is not None and events:
            self._watch(events)
        for event in events:
            if isinstance(event, Request):
                self._request(event, t)
            elif isinstance(event, Body) and event.exchange in self._searching and event.dir == C2S:
                self._search(event, t)
            elif isinstance(event, Response):
                self.status = event.status
        batch: list[WireEvent] = []
        lane: Lane | None = None
        note: list[WireEvent] = []  # what is redacted stands before what it is said of
        for event in events:
            if isinstance(event, Redacted):
                note = [event]
                continue
            if self.answering and isinstance(event, Response):
                event = event._replace(by="relay")
            elif self.forwarded_as is not None and isinstance(event, Request):
                event = self.forwarded_as(event)
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
        if len(self._of_exchange) > 64:
            current = min(self._tap.s2c.exchange, *self._searching, self._tap.exchanges)
            self._of_exchange = {n: lane for n, lane in self._of_exchange.items() if n >= current}

    def _home(self, event: WireEvent, t: int) -> Lane:
        if isinstance(event, Request | Response | Body):
            lane = self._of_exchange.get(event.exchange) or self._own(t)
        elif isinstance(event, Piece):
            # Half of a next head: nobody knows whose. (Pieces of frames have exchange 0.)
            lane = self._of_exchange.get(event.exchange) or (None if event.exchange else self._last) or self._own(t)
            if event.exchange:
                return lane
        elif isinstance(event, Frame | Part | Opaque):
            lane = self._last or self._own(t)
        else:
            assert isinstance(event, End)
            lane = self._last or self._provisional or self._lane(self._streams.rest(self._opened), t)
        if lane is self._provisional and getattr(event, "exchange", 0) not in self._searching:
            self._keep_provisional = True
        self._last = lane
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
        if not self.target:
            self.target = request.target
            self._on_request(request.target)
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
        stream.writer.flush(t)
        base = stream.writer.header.start_mono_ns
        moved: list[WireEvent] = []
        try:
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
            self._last = lane if self._last is provisional else self._last
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
