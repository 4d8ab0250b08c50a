"""One connection's recorder: bytes into the tap, events into the recordings that they belong to.

Strategy: what each direction is fed to changes with what it carries. HTTP goes through the tap and finds its recordings (`homes`). When both
directions carry frames there is nothing to route any more: each is fed to its `Track`, and all that was needed before is let go. A fault
of ours in either makes the direction opaque, recorded as such: nothing here raises into the splice.

Where secrets must not reach the disk (`record --redact`), a `Redactor` stands between the tap and all this: it lets through what is whole and masked,
and never a piece. Then there is no fast way, and what is incomplete when the relay is killed is not recorded.

While the standby relays (`standby`), what is no matter for a `Track` is kept, and recorded by the loop's own thread.
"""

from __future__ import annotations

from collections.abc import Callable

from ..recording.events import Link
from ..secrets.redactor import Redactor
from ..wire.events import C2S, S2C, Dir, End, Opaque, Request, Response, WireEvent
from ..wire.tap import Tap
from .homes import Homes
from .lane import Lane, Track
from .provisional import withheld
from .rules import StreamRule
from .streams import Streams

Feed = Callable[[bytes, int], None]
REDACT_LIMIT = 16 << 20  # bytes of a message or body that --redact holds until it is whole


class Inlet:
    """Where one direction's bytes go in, while that is no `Track`."""

    __slots__ = ("feed",)

    def __init__(self, feed: Feed) -> None:
        self.feed = feed


class ConnectionRecorder:
    """Records one connection.

    Args:
        conn: the connection's number in this run.
        opened: when it was accepted (nanoseconds, monotonic), as all times here.
        watch: called with all events, for a live view; None costs nothing.
        on_request: called once, with the target of the first request.
        on_fault: called with what went wrong in here.

    Attributes:
        c2s, s2c: `feed` of these takes what each direction brings; look them up anew for every read.
        answering: the relay itself speaks for the upstream.
        forwarded_as: tells what the upstream gets of a request, if not just that.
        target: of the first request; `status` of the last response.
        end_summary: how it ended, if not with a FIN from both sides.
    """

    __slots__ = (
        "_before_frames",
        "_catching_up",
        "_conn",
        "_disk",
        "_lane",
        "_lanes",
        "_later",
        "_on_fault",
        "_on_request",
        "_passed",
        "_redactor",
        "_watch",
        "answering",
        "c2s",
        "end_summary",
        "forwarded_as",
        "s2c",
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
        tap = Tap(conn)
        self._before_frames: tuple[Tap, Homes] | None = (tap, Homes(streams, rule, tap, conn, client, upstream, opened))
        self._conn = conn
        self._disk = streams.disk
        self._watch = watch
        self._redactor = None if streams.masker is None else Redactor(streams.masker, limit=REDACT_LIMIT)
        self._on_fault = on_fault
        self._on_request: Callable[[str], None] | None = on_request
        self._lane: Lane | None = None  # where all frames go
        self._lanes: tuple[Lane, ...] = ()  # all that are open then
        self._passed: tuple[tuple[Dir, int, int], ...] = ()
        self._later: list[tuple[Dir, bytes, int]] | None = None  # forwarded by the standby, and not recorded yet
        self._catching_up = False
        self.answering = False
        self.forwarded_as: Callable[[Request], Request] | None = None
        self.target = ""
        self.status = 0
        self.end_summary = ""
        self.c2s: Inlet | Track = Inlet(self._guarded(C2S))
        self.s2c: Inlet | Track = Inlet(self._guarded(S2C))

    @property
    def lane(self) -> Lane | None:
        """The recording that the connection's last event went into."""
        return self._before_frames[1].last if self._before_frames is not None else self._lane

    @property
    def error(self) -> str | None:
        """Why the upstream was not reached, for whatever is recorded from then on."""
        return self._before_frames[1].error if self._before_frames is not None else None

    @error.setter
    def error(self, why: str | None) -> None:
        if self._before_frames is not None:
            self._before_frames[1].error = why

    @property
    def head_seen(self) -> bool:
        """Whether a request head was whole, or it is clear that none will be."""
        if self._before_frames is None:
            return True
        tap, _ = self._before_frames
        return tap.exchanges > 0 or tap.c2s.is_opaque

    def take(self, dir: Dir, data: bytes, t: int) -> None:
        """Record what was read."""
        self._inlet(dir).feed(data, t)

    def end(self, dir: Dir, how: str, t: int, undelivered: int = 0) -> None:
        """One direction has ended: "fin", "reset", "aborted" or "stopped"."""
        if not self.end_summary and how != "fin":
            who = "client" if dir == C2S else "server"
            self.end_summary = f"{how} by the {who}" if how == "reset" or how.startswith("lost") else how
        self._catch_up()
        try:
            if self._before_frames is not None:
                tap, homes = self._before_frames
                if dir == C2S:
                    homes.give_up_searching(t)
                self._record(tap.direction(dir).finish(how, t, undelivered), t)
            elif self._lane is not None:
                cut = self._lane.track(dir).count_events()
                left = [] if cut is None else cut.finish(t)
                self._lane.add([*left, End(self._conn, dir, t, how, undelivered)], t)
        except Exception as error:
            self._on_fault(error)

    def close(self, t: int, client: Link | None = None, server: Link | None = None) -> None:
        """The connection is over; what is known of the ways to both peers."""
        self._catch_up()
        try:
            lanes, self._lanes = self._lanes, ()
            if self._before_frames is not None:
                lanes = self._before_frames[1].leave()
            self._passed = tuple(
                (dir, lane.track(dir).frames, lane.track(dir).bytes) for lane in lanes for dir in (C2S, S2C)
            )
            for lane in lanes:
                lane.stream.release(lane, t, client, server)
        except Exception as error:
            self._on_fault(error)

    def summarize(self, frames: dict[Dir, int], bytes: dict[Dir, int]) -> None:
        """Add what passed, once closed."""
        for dir, frames_passed, bytes_passed in self._passed:
            frames[dir] += frames_passed
            bytes[dir] += bytes_passed

    def _inlet(self, dir: Dir) -> Inlet | Track:
        return self.c2s if dir == C2S else self.s2c

    # --- feeding -----------------------------------------------------------------------------------------------------

    def _guarded(self, dir: Dir) -> Feed:
        """What takes a direction's bytes until all are frames."""
        assert self._before_frames is not None
        tap, _ = self._before_frames
        direction, disk = tap.direction(dir), self._disk

        def feed(data: bytes, t: int) -> None:
            if disk.lent:
                self._postpone(dir, data, t)
                return
            self._catch_up()
            try:
                self._record(direction.feed(data, t), t)
                self._catch_up()
                if tap.both_in_frames and self._inlet(dir).feed is feed:
                    self._go_fast()
            except Exception as error:
                self.failed(dir, data, t, error)

        return feed

    def _record(self, events: list[WireEvent], t: int) -> None:
        """Tell of what the tap saw, and record of it what may be recorded now."""
        assert self._before_frames is not None
        if self._redactor is not None:
            events = self._redactor.feed_wire(events)
        if self._watch is not None and events:
            self._watch(events)
        for at, event in enumerate(events):
            if isinstance(event, Request):
                if self._on_request is not None:
                    self.target = event.target
                    self._on_request(event.target)
                    self._on_request = None
                if self.forwarded_as is not None:
                    events[at] = self.forwarded_as(event)
            elif isinstance(event, Response):
                self.status = event.status
                if self.answering:
                    events[at] = event._replace(by="relay")
        self._before_frames[1].record(events, t)

    def _go_fast(self) -> None:
        """Both directions carry frames. What a live view or a redactor has to see goes on as it is."""
        assert self._before_frames is not None
        tap, homes = self._before_frames
        lane = homes.last
        if lane is None or self._watch is not None or self._redactor is not None:
            return
        self._lane, self._lanes = lane, homes.leave()
        for dir in (C2S, S2C):
            frames = tap.direction(dir).frames
            assert frames is not None
            lane.track(dir).count_reads(frames, self)
        self.c2s, self.s2c = lane.c2s, lane.s2c
        self._before_frames = None

    def failed(self, dir: Dir, data: bytes, t: int, error: Exception) -> None:
        """A fault of ours, in recording what was read: from there on this direction is recorded as bytes."""
        self._on_fault(error)
        words = "" if self._redactor is not None else f": {error}"
        reason: str | None = f"the recorder failed: {type(error).__name__}{words}"
        if self._lane is not None:
            cut = self._lane.track(dir).count_events()
            data = data if cut is None else cut.pending + data

        def feed(data: bytes, t: int) -> None:
            nonlocal reason
            try:
                opaque = Opaque(self._conn, dir, t, data, reason)
                lane = self._lane if self._before_frames is None else self._before_frames[1].last_or_own(t)
                if lane is not None:
                    lane.add([opaque] if self._redactor is None else withheld(opaque), t)
                reason = None
            except Exception as error:
                self._on_fault(error)

        if dir == C2S:
            self.c2s = Inlet(feed)
        else:
            self.s2c = Inlet(feed)
        feed(data, t)

    # --- while the standby relays ------------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether the standby may read more of this connection."""
        disk = self._disk
        return self._before_frames is None or disk.queued + disk.postponed < disk.limit

    def _postpone(self, dir: Dir, data: bytes, t: int) -> None:
        """Recorded by the loop's thread, which may be stuck in the middle of this very recorder. (Frames on the fast way need not wait.)"""
        if not self._later:
            self._later = []
            self._disk.post(self._catch_up)
        self._later.append((dir, data, t))
        self._disk.postponed += len(data)

    def _catch_up(self) -> None:
        """Record what the standby has forwarded. (Called by what it calls, it leaves the rest to the first.)"""
        if self._later and not self._catching_up:
            self._catching_up = True
            while self._later:
                dir, data, t = self._later.pop(0)
                self._disk.postponed -= len(data)
                self.take(dir, data, t)
            self._catching_up = False
