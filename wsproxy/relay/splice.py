"""The splice: bytes from one socket to the other, unchanged, recorded before they are forwarded.

Strategy: two non-blocking sockets and four callbacks of the event loop, no transports and no streams: one `recv`, the recorder, one
`send`. What the receiver does not take at once is kept (at most one read) and reading stops until it has gone, so a slow
reader slows its writer and memory per connection is bounded. Ends pass through as they came: a FIN becomes a FIN after
the last byte, a reset becomes a reset once what was read before it has been delivered.

Reads are of 64 KiB at most into one buffer of the process: a `recv` that could fill 256 KiB costs 22 µs for a small frame, this
one 7 (PERFORMANCE.md in the design); bytes are copied out of it once.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import struct
import termios
import time
from collections.abc import Callable

from ..wire.events import C2S, S2C, Dir
from .recorder import ConnectionRecorder

READ_SIZE = 65536
DRAIN_SECONDS = 2.0  # how long a reset waits for what came before it to be taken
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Flow:
    """One direction of a splice."""

    __slots__ = ("dir", "dst", "ended", "finish", "loop", "pending", "recorder", "splice", "src")

    def __init__(self, splice: Splice, dir: Dir, src: socket.socket, dst: socket.socket) -> None:
        self.splice = splice
        self.loop = splice.loop
        self.recorder = splice.recorder
        self.dir = dir
        self.src = src
        self.dst = dst
        self.pending: memoryview | bytes = b""
        self.ended = False  # the source will bring nothing more
        self.finish = False  # pass the FIN on when nothing is pending

    def readable(self) -> None:
        """The source has bytes, or its end."""
        try:
            data = self.src.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.splice.reset(self, error)
            return
        if not data:
            self.loop.remove_reader(self.src)
            self.finish = True
            if not self.pending:
                self._pass_end()
            return
        self.recorder.feed[self.dir](data, time.monotonic_ns())
        try:
            sent = self.dst.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._receiver_gone(error, len(data))
            return
        if sent < len(data):
            self.pending = memoryview(data)[sent:]
            self.loop.remove_reader(self.src)
            self.loop.add_writer(self.dst, self.writable)

    def writable(self) -> None:
        """The receiver takes bytes again."""
        try:
            sent = self.dst.send(self.pending)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._receiver_gone(error, len(self.pending))
            return
        self.pending = self.pending[sent:]
        if self.pending:
            return
        self.pending = b""
        self.loop.remove_writer(self.dst)
        if self.finish:
            self._pass_end()
        elif self.splice.resetting is not None:
            self.splice.drain()
        else:
            self.loop.add_reader(self.src, self.readable)

    def _pass_end(self) -> None:
        self.ended = True
        self.recorder.end(self.dir, "fin", time.monotonic_ns())
        try:
            self.dst.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the receiver is gone: its own direction tells
        self.splice.check_over()

    def _receiver_gone(self, error: OSError, undelivered: int) -> None:
        """The receiver takes no more. Its own direction may still bring what it said before."""
        self.loop.remove_writer(self.dst)
        self.loop.remove_reader(self.src)
        self.pending = b""
        if not self.ended:
            self.ended = True
            self.recorder.end(self.dir, "aborted", time.monotonic_ns(), undelivered)
        self.splice.receiver_gone(self)


class Splice:
    """Two connected sockets and a recorder.

    Args:
        on_over: called once, when both sockets are closed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: socket.socket,
        server: socket.socket,
        recorder: ConnectionRecorder,
        on_over: Callable[[], None],
    ) -> None:
        self.loop = loop
        self.recorder = recorder
        self._on_over = on_over
        self._over = False
        self._drain_until = 0.0
        self._reset_end = ("reset", 0)  # how, and when it was seen
        self.c2s = Flow(self, C2S, client, server)
        self.s2c = Flow(self, S2C, server, client)
        self.resetting: Flow | None = None  # whose source has sent a reset
        loop.add_reader(client, self.c2s.readable)
        loop.add_reader(server, self.s2c.readable)

    def check_over(self) -> None:
        """Close when both directions have ended."""
        if self.c2s.ended and self.s2c.ended and self.resetting is None:
            self._close(reset=None)

    def reset(self, flow: Flow, error: OSError) -> None:
        """The source of a flow was reset (or died): what came before is delivered, then the other side is reset."""
        self.loop.remove_reader(flow.src)
        if self.resetting is not None:
            self._close(reset=None)
            return
        self.resetting = flow
        now = time.monotonic_ns()
        how = "reset" if error.errno in (errno.ECONNRESET, errno.EPIPE) else f"lost: {(error.strerror or '').lower()}"
        back = self.c2s if flow is self.s2c else self.s2c
        # What was pending towards the dead side can go nowhere.
        self.loop.remove_writer(flow.src)
        if not back.ended:
            back.ended = True
            self.loop.remove_reader(back.src)
            self.recorder.end(back.dir, "aborted", now, len(back.pending))
        back.pending = b""
        self._reset_end = (how, now)
        self._drain_until = self.loop.time() + DRAIN_SECONDS
        self.loop.call_later(DRAIN_SECONDS, self.drain)
        if not flow.pending:
            self.drain()

    def drain(self) -> None:
        """Send the reset on, once the receiver's kernel has acknowledged what came before it (or had its time)."""
        flow = self.resetting
        if flow is None or self._over:
            return
        try:
            unsent = int.from_bytes(fcntl.ioctl(flow.dst, termios.TIOCOUTQ, bytes(4)), "little")
        except OSError:
            unsent = 0
        if (unsent or flow.pending) and self.loop.time() < self._drain_until:
            if not flow.pending:
                self.loop.call_later(0.005, self.drain)
            return
        if not flow.ended:
            flow.ended = True
            self.recorder.end(flow.dir, *self._reset_end, unsent + len(flow.pending))
        self._close(reset=flow.dst)

    def receiver_gone(self, flow: Flow) -> None:
        """Nobody takes what this flow brings: its source learns it by a reset, when the other direction has ended."""
        back = self.c2s if flow is self.s2c else self.s2c
        if back.ended:
            self._close(reset=flow.src)
        # Otherwise the receiver's own end (a reset, most likely) is about to be read.

    def stop(self) -> None:
        """The relay stops: record it, close both sides."""
        if self._over:
            return
        now = time.monotonic_ns()
        for flow in (self.c2s, self.s2c):
            if not flow.ended:
                flow.ended = True
                self.recorder.end(flow.dir, "stopped", now, len(flow.pending))
        self._close(reset=None)

    def _close(self, reset: socket.socket | None) -> None:
        if self._over:
            return
        self._over = True
        for sock in (self.c2s.src, self.s2c.src):
            self.loop.remove_reader(sock)
            self.loop.remove_writer(sock)
            if sock is reset:
                try:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                except OSError:
                    pass  # it is gone already
            sock.close()
        self.recorder.close(time.monotonic_ns())
        self._on_over()
