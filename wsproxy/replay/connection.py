"""A TCP connection that speaks in the project's own events, and records itself.

Strategy: a protocol that stamps and taps what it reads, queues the events, and wakes the one coroutine that plays the connection. That
coroutine alone decides: it takes events, sends bytes, ends its side or both, and waits for whatever comes first, news or a moment. What was
read and not yet taken is bounded by not reading on; what was sent and not yet accepted by waiting until the kernel took it.

Cost: per read one tap, one queue append, one wake-up; nothing per frame but the event itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import struct
import time
from collections import deque
from collections.abc import Callable

from ..wire.events import C2S, S2C, Body, Dir, End, Frame, Opaque, Part, Piece, WireEvent
from ..wire.tap import Tap
from .recorder import Share

_WAITING_LIMIT = 1 << 20  # payload bytes that are read ahead of the player
_EVENTS_LIMIT = 10_000
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        dir: the direction in which we speak.
        share: where it is recorded, if it is.
        opened: called when the connection is there.

    Attributes:
        tap: what reads both directions.
        client: the address of the client's end.
        ended: how the peer's direction ended ("fin", "reset"), None while it is open.
    """

    def __init__(
        self, dir: Dir, share: Share | None = None, *, opened: Callable[[Connection], None] | None = None
    ) -> None:
        self.dir: Dir = dir
        self.peer_dir: Dir = S2C if dir == C2S else C2S
        self.share = share
        self.tap = Tap(share.conn if share is not None else 1)
        self.ended: str | None = None
        self.finished = False  # we have sent our FIN, or more
        self.received = 0  # bytes
        self.sent = 0
        self.client = ""
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._events: deque[WireEvent] = deque()
        self._waiting = 0  # payload bytes in _events
        self._reading = True
        self._paused = False
        self._lost = False
        self._aborted = False  # by us
        self._news: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()

    # --- what asyncio calls --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = transport.get_extra_info("peername" if self.dir == S2C else "sockname")
        if isinstance(name, tuple):
            self.client = address_text(name[0], name[1])
        if self.share is not None:
            self.share.client = self.client
        if self._opened is not None:
            self._opened(self)

    def data_received(self, data: bytes) -> None:
        t = time.monotonic_ns()
        self.received += len(data)
        self._queue(self.tap.direction(self.peer_dir).feed(data, t))

    def eof_received(self) -> bool:
        self._end("fin")
        return self._transport is not None and self._transport.can_write_eof()  # we may have more to say; TLS cannot

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._end("reset" if exc is not None else "aborted" if self._aborted else "fin")
        self._wake()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def _end(self, how: str) -> None:
        if self.ended is None:
            self.ended = how
            self._queue(self.tap.direction(self.peer_dir).finish(how, time.monotonic_ns()))

    def _queue(self, events: list[WireEvent]) -> None:
        if self.share is not None:
            self.share.add(events)
        for event in events:
            if isinstance(event, Frame | Part):
                self._waiting += len(event.payload)
            elif isinstance(event, Body | Opaque):
                self._waiting += len(event.raw)
            elif isinstance(event, Piece):
                continue
            self._events.append(event)
        if self._reading and (self._waiting > _WAITING_LIMIT or len(self._events) > _EVENTS_LIMIT):
            assert self._transport is not None
            self._reading = False
            self._transport.pause_reading()
        self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # --- what the player calls -----------------------------------------------------------------------------------------

    def take(self) -> list[WireEvent]:
        """The events since the last call."""
        events = list(self._events)
        self._events.clear()
        self._read_on()
        return events

    def next(self) -> WireEvent | None:
        """The next event; the others stay. None where there is none yet."""
        if not self._events:
            return None
        event = self._events.popleft()
        if not self._events:
            self._read_on()
        return event

    def _read_on(self) -> None:
        self._waiting = 0
        if not self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    @property
    def has_news(self) -> bool:
        return bool(self._events)

    @property
    def gone(self) -> bool:
        """Nothing can be sent any more."""
        return self._lost or self._transport is None or self._transport.is_closing()

    @property
    def is_full(self) -> bool:
        """The peer takes what was sent too slowly: wait before sending more."""
        return self._paused

    async def wait(self, until: int | None = None) -> None:
        """Until there are events, or the peer takes more, or this moment has come (nanoseconds, monotonic)."""
        if self._events:
            return
        self._news = self._loop.create_future()
        timer = self._loop.call_at(until / 1e9, self._wake) if until is not None else None
        try:
            await self._news
        finally:
            self._news = None
            if timer is not None:
                timer.cancel()

    async def pause(self, until: int) -> None:
        """Until this moment, whatever happens meanwhile."""
        while time.monotonic_ns() < until and not self.gone:
            over = self._loop.create_future()
            timer = self._loop.call_at(until / 1e9, _settle, over)
            try:
                await over
            finally:
                timer.cancel()

    def send(self, data: bytes) -> None:
        """Hand bytes over. Those of a connection that is gone are dropped, as the kernel would."""
        if not data or self.gone or self.finished:
            return
        assert self._transport is not None
        self.sent += len(data)
        # The tap must see the response to an upgrade, to know frames; frames themselves only if they are recorded.
        direction = self.tap.direction(self.dir)
        if self.share is not None or direction.frames is None:
            t = time.monotonic_ns()
            turned = not self.tap.both_in_frames
            events = direction.feed(data, t)
            if self.share is not None:
                self.share.add([event for event in events if event.dir == self.dir])
            if turned:  # bytes of the peer that were held until the upgrade was answered
                late = [event for event in events if event.dir != self.dir]
                if late:
                    self._queue(late)
        self._transport.write(data)

    def finish(self) -> None:
        """Send a FIN; the other side may go on."""
        if self.finished:
            return
        self.finished = True
        self._record_end("fin")
        if self._transport is not None and not self.gone:
            if self._transport.can_write_eof():
                with contextlib.suppress(OSError):  # reset a moment ago: `connection_lost` will tell
                    self._transport.write_eof()
            else:  # TLS has no half-close
                self._transport.close()

    def reset(self) -> None:
        """Abort: RST instead of FIN."""
        self.finished = self._aborted = True
        self._record_end("reset")
        if self._transport is not None and not self._lost:
            sock = self._transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def close(self, stream_id: str) -> None:
        """It is over, for both sides; `stream_id` takes what was recorded and not claimed."""
        if not self.finished:
            self.finish()
        if self._transport is not None:
            self._transport.close()
        if self.share is not None:
            if self.ended is None:
                self.ended = "stopped"
                self.share.add(self.tap.direction(self.peer_dir).finish("stopped", time.monotonic_ns()))
            self.share.close(stream_id)
            self.share = None

    def _record_end(self, how: str) -> None:
        if self.share is not None:
            events = self.tap.direction(self.dir).finish(how, time.monotonic_ns())
            self.share.add([event for event in events if isinstance(event, End | Opaque)])


def address_text(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def words(error: OSError) -> str:
    """What the system says of an error. Event loops put their own words into it; the number is the fact."""
    number = error.errno
    if number is None:  # of several addresses: each has its own
        found = re.search(r"\[Errno (\d+)\]", str(error))
        number = int(found[1]) if found else None
    return os.strerror(number).lower() if number and number > 0 else (error.strerror or str(error)).lower()


def _settle(future: asyncio.Future[None]) -> None:
    """The moment has come; Ctrl-C may have cancelled the wait in the same turn of the loop."""
    if not future.done():
        future.set_result(None)
