"""The splice: bytes from one socket to the other, unchanged, recorded before they are forwarded.

Strategy: two ends (`ends.End`: a non-blocking socket, with or without a layer such as TLS) and two directions between them (`Flow`). One
`recv`, the recorder, one `send`. What the receiver does not take at once is kept (at most one read) and reading stops until it has gone, so
a slow reader slows its writer and memory per connection is bounded. Ends pass through as they came: a FIN becomes a FIN after the last byte, a
reset becomes a reset once what was read before it has been delivered (or had two seconds).

A reset may show in three ways: as ECONNRESET when reading, as an error when sending (which takes the error off the socket: the next read
then looks like a FIN), or, on a socket that is not being read, only as a condition of the descriptor. All three end in `Splice.reset`.

Reads are of 256 KiB at most where the allocator keeps blocks of that size (`allocator`), else of 64 KiB: large frames go in a quarter of the
calls, and the file system takes 256 KiB at twice the speed of 64.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from time import monotonic_ns as now

from ..wire.events import C2S, S2C, Dir
from .ends import AGAIN, READ_SIZE, End, LayerFailure
from .link import link_of
from .poller import READ, Poller
from .recorder import ConnectionRecorder

DRAIN_SECONDS = 2.0  # how long a reset waits for what came before it to be taken
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Flow:
    """One direction of a splice."""

    __slots__ = (
        "_sink",
        "_source",
        "dir",
        "dst",
        "ended",
        "finishing",
        "held",
        "pending",
        "reading",
        "recorder",
        "splice",
        "src",
    )

    def __init__(self, splice: Splice, dir: Dir, src: End, dst: End) -> None:
        self.splice = splice
        self.recorder = splice.recorder
        self._source = src.source
        self._sink = dst.sink
        self.dir = dir
        self.src = src
        self.dst = dst
        self.pending: memoryview | bytes = b""  # read and recorded, not yet taken by the receiver
        self.held: bytes | None = None  # read, and being recorded: the standby sends it if that takes too long
        self.reading = True
        self.finishing = False  # the source has sent FIN; it is passed on when nothing is pending
        self.ended = False  # its end is recorded

    @property
    def end(self) -> End:
        """Whose readiness this is served for."""
        return self.src

    def ready(self, events: int = READ) -> None:
        """The source has bytes, or its end. The poller calls this itself where the source is a plain socket: one call less per frame."""
        if events != READ or not self.reading:
            self.src.ready(events)
            return
        try:
            data = self._source.recv(READ_SIZE)
        except AGAIN:
            return
        except OSError as error:
            self.source_failed(error)
            return
        if data:
            self.take(data, now())
        else:
            self.source_ended()

    # The parts of `ready` that `native`, which stands for it, leaves to Python.

    def take(self, data: bytes, t: int) -> None:
        """Record what was read, and send it on."""
        self.held = data
        (self.recorder.c2s if self.dir == C2S else self.recorder.s2c).feed(data, t)
        if self.held is None:
            return
        self.held = None
        try:
            sent = self._sink.send(data)
        except AGAIN:
            sent = 0
        except OSError:
            sent = -1
        if sent < len(data):
            self.sent(data, sent)

    def sent(self, data: bytes, sent: int) -> None:
        """Not all that was recorded could be sent: as many bytes, or -1 where the receiver is gone."""
        if sent < 0:
            self.receiver_gone(len(data))
            return
        self.pending = memoryview(data)[sent:]
        self.stop_reading()
        self.dst.update()

    def source_failed(self, error: OSError) -> None:
        """Reading failed, for good."""
        self.splice.reset(self, how(error))

    def source_ended(self) -> None:
        """The source will say no more."""
        self.stop_reading()
        if self.src.broken:
            self.splice.reset(self, "reset")
            return
        self.finishing = True
        if not self.pending and not self.dst.backlog:
            self._pass_fin()

    def flush(self) -> None:
        """The receiver takes bytes again, or a layer has handed on all that it took."""
        if self.pending:
            try:
                sent = self._sink.send(self.pending)
            except AGAIN:
                return
            except OSError:
                self.receiver_gone(len(self.pending))
                return
            self.pending = self.pending[sent:]
            if self.pending:
                return
            self.pending = b""
        self.dst.update()
        if self.dst.backlog:
            return
        if self.splice.resetting is self:
            self.splice.drain()
        elif self.ended:
            self.splice.check_over()
        elif self.finishing:
            self._pass_fin()
        else:
            self.reading = True
            self.src.update()

    def stop_reading(self) -> None:
        self.reading = False
        self.src.update()

    def broke_unread(self) -> None:
        """The source broke while nobody was reading from it."""
        if self.finishing or self.ended:
            self.splice.reset(self, "reset")
            return
        # Its bytes are still to be read, when the receiver has room. What goes the other way has nowhere to go.
        self.src.forget()
        self.src.broken = True
        back = self.src.outgoing
        if not back.ended:
            back.abandon(len(back.pending))

    def _pass_fin(self) -> None:
        self.ended = True
        self.recorder.end(self.dir, "fin", now())
        self.dst.finish(cut=self.src.cut)
        self.splice.check_over()

    def receiver_gone(self, undelivered: int) -> None:
        """The receiver takes no more. What it said before is still to be read, and its end after that."""
        self.dst.broken = True
        self.abandon(undelivered)
        back = self.dst.incoming
        if back.finishing or back.ended:
            self.splice.reset(back, "reset")

    def abandon(self, undelivered: int) -> None:
        """Nothing more goes this way."""
        self.pending = b""
        self.reading = False
        if not self.ended:
            self.ended = True
            self.recorder.end(self.dir, "aborted", now(), undelivered + _unacknowledged(self.dst))
        self.src.update()
        if not self.dst.broken:
            self.dst.update()


class Splice:
    """Two connected ends and a recorder.

    Args:
        on_over: called once with the splice, when both sockets are closed.
        early: what the client has sent already. It goes first; it is recorded here.
    """

    __slots__ = (
        "_drain_until",
        "_loop",
        "_on_over",
        "_over",
        "_poller",
        "_reset_end",
        "c2s",
        "recorder",
        "resetting",
        "s2c",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        poller: Poller,
        client: End,
        server: End,
        recorder: ConnectionRecorder,
        on_over: Callable[[Splice], None],
        early: bytes = b"",
    ) -> None:
        self._loop = loop
        self._poller = poller
        self.recorder = recorder
        self._on_over = on_over
        self._over = False
        self._drain_until = 0.0
        self._reset_end = ("reset", 0)  # how, and when it was seen
        self.resetting: Flow | None = None  # whose source was reset
        ends = client, server
        self.c2s = Flow(self, C2S, *ends)
        self.s2c = Flow(self, S2C, *reversed(ends))
        for end in ends:
            end.incoming = self.c2s if end is ends[0] else self.s2c
            end.outgoing = self.s2c if end is ends[0] else self.c2s
        if early:
            recorder.take(C2S, early, now())
            self.c2s.pending = memoryview(early)
            self.c2s.reading = False
        for end in ends:
            end.update()

    @property
    def over(self) -> bool:
        """Whether both sockets are closed."""
        return self._over

    def check_over(self) -> None:
        """Close when both directions have ended, and no layer has anything left to hand on."""
        c2s, s2c = self.c2s, self.s2c
        if c2s.ended and s2c.ended and self.resetting is None and not (c2s.dst.backlog or s2c.dst.backlog):
            self._close(reset=None)

    def reset(self, flow: Flow, how: str) -> None:
        """The source of a flow was reset, or lost: what came before is delivered, then the other side is reset."""
        if self._over or self.resetting is not None:
            # Both sides are gone.
            self._end_resetting(0)
            self._close(reset=None)
            return
        self.resetting = flow
        t = now()
        self._reset_end = (how, t)
        flow.src.broken = True
        flow.src.forget()
        back = flow.src.outgoing
        flow.reading = False
        back.pending, undelivered = b"", len(back.pending) + _unacknowledged(flow.src)
        back.reading = False
        if not back.ended:
            back.ended = True
            self.recorder.end(back.dir, "aborted", t, undelivered)
        self._poller.wake()
        self._drain_until = self._loop.time() + DRAIN_SECONDS
        if flow.pending or flow.dst.backlog:
            flow.dst.update()
            self._loop.call_later(DRAIN_SECONDS, self.drain)
        else:
            flow.dst.forget()
            self.drain()

    def drain(self) -> None:
        """Send the reset on, once the receiver's kernel has acknowledged what came before it (or had its time)."""
        flow = self.resetting
        if flow is None or self._over:
            return
        self._poller.wake()
        unsent = _unsent(flow.dst)
        above = flow.pending or flow.dst.backlog  # its going tells, the kernel's has to be asked for
        if (unsent or above) and self._loop.time() < self._drain_until:
            if not above:
                self._loop.call_later(0.005, self.drain)
            return
        self._end_resetting(unsent + len(flow.pending))
        self._close(reset=flow.dst)

    def _end_resetting(self, undelivered: int) -> None:
        flow = self.resetting
        if flow is not None and not flow.ended:
            flow.ended = True
            self.recorder.end(flow.dir, *self._reset_end, undelivered)

    def stop(self) -> None:
        """The relay stops: record it, close both sides."""
        if self._over:
            return
        t = now()
        for flow in (self.c2s, self.s2c):
            if not flow.ended:
                flow.ended = True
                self.recorder.end(flow.dir, "stopped", t, len(flow.pending))
        self._close(reset=None)

    def _close(self, reset: End | None) -> None:
        if self._over:
            return
        self._over = True
        links = link_of(self.c2s.src.sock), link_of(self.s2c.src.sock)
        for end in (self.c2s.src, self.s2c.src):
            end.forget()
            if end is reset:
                try:
                    end.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                except OSError:
                    pass  # it is gone already
            end.sock.close()
        self.recorder.close(now(), *links)
        self._poller.wake()
        self._on_over(self)


def _unsent(end: End) -> int:
    """Bytes that the kernel has taken and the peer's has not acknowledged."""
    try:
        return int.from_bytes(fcntl.ioctl(end.sock, termios.TIOCOUTQ, bytes(4)), "little")
    except OSError:
        return 0


def _unacknowledged(end: End) -> int:
    """The same of a peer that is gone. Under a layer the kernel's bytes are not those of the recording, so none are told."""
    return _unsent(end) if type(end) is End else 0


def how(error: OSError) -> str:
    """How a direction ended whose source cannot be read."""
    if isinstance(error, LayerFailure):
        return f"lost: {error}"
    if error.errno in (errno.ECONNRESET, errno.EPIPE):
        return "reset"
    return f"lost: {errno.errorcode.get(error.errno or 0, 'error')}"
