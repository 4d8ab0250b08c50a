"""The relay: accept, dial, splice, until it is told to stop.

Strategy: every accepted connection is one small task until the upstream answers, then a `Splice` of callbacks. When the upstream is not there
the relay reads the client's request (to record what was asked), answers 502 and says so. Running out of file descriptors pauses accepting
instead of spinning. `Summary` is what a connection was, for whoever prints it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ..wire.events import C2S, S2C, Dir, WireEvent
from .poller import Poller
from .recorder import ConnectionRecorder
from .rules import StreamRule
from .splice import READ_SIZE, Splice
from .streams import Streams
from .upstream import DialError, Upstream, address_text, bad_gateway, dial

HEAD_SECONDS = 5.0  # how long a client may take to send the request that is answered with 502
QUIET_SECONDS = 60.0
_BACKLOG = 4096
_ACCEPT_AT_ONCE = 64


@dataclass(slots=True)
class Summary:
    """A connection, as it is or was. Times in seconds; `closed_by` sent the first close frame ("client", "server")."""

    conn: int
    client: str
    target: str = ""
    status: int = 0
    frames: dict[Dir, int] = field(default_factory=lambda: {C2S: 0, S2C: 0})
    bytes: dict[Dir, int] = field(default_factory=lambda: {C2S: 0, S2C: 0})
    seconds: float = 0.0
    close_code: int | None = None
    close_reason: str = ""
    closed_by: str = ""
    end: str = ""
    file: str = ""
    error: str | None = None


class Watcher:
    """What wants to know about connections; all methods may be left as they are."""

    #: Called with the events of every connection as they pass, where a live view wants them. None costs nothing.
    events: Callable[[list[WireEvent]], None] | None = None

    def opened(self, summary: Summary) -> None:
        """A connection has sent its first request head."""

    def ended(self, summary: Summary) -> None:
        """A connection is over."""

    def trouble(self, sentence: str) -> None:
        """Something that a person should know now."""

    def remark(self, sentence: str) -> None:
        """Something that a person may like to know."""


@dataclass(slots=True)
class Counters:
    """Totals of the run, for /metrics."""

    accepted: int = 0
    open: int = 0
    refused: int = 0  # answered with 502
    faults: int = 0
    frames: dict[Dir, int] = field(default_factory=lambda: {C2S: 0, S2C: 0})
    bytes: dict[Dir, int] = field(default_factory=lambda: {C2S: 0, S2C: 0})


class Relay:
    """A relay in front of one upstream.

    Args:
        listen: (host, port) to listen on; port 0 takes any free one.
        poller: the selector of the event loop that it will run on.
        connect_timeout: seconds for each address of the upstream.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        upstream: Upstream,
        streams: Streams,
        rule: StreamRule,
        watcher: Watcher,
        poller: Poller,
        *,
        connect_timeout: float = 10.0,
    ) -> None:
        self._listen = listen
        self._upstream = upstream
        self._streams = streams
        self._rule = rule
        self._watcher = watcher
        self._poller = poller
        self._connect_timeout = connect_timeout
        self._sockets: list[socket.socket] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._splices: set[Splice] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._numbers = 0
        self._fault_told = False
        self._quiet_until: dict[str, float] = {}  # what is wrong again and again is told once a minute
        self.counters = Counters()
        self.upstream_error: str | None = None  # of the last dial

    @property
    def port(self) -> int:
        """The port that is listened on."""
        port: int = self._sockets[0].getsockname()[1]
        return port

    @property
    def listening(self) -> list[tuple[str, list[str]]]:
        """The URL of each listener, and where it leads."""
        return [(f"http://{address_text(self._listen[0], self.port)}", [self._upstream.text])]

    def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        self._loop = asyncio.get_running_loop()
        host, port = self._listen
        for family, _, _, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            here = (str(address[0]), self.port if self._sockets else port)
            try:
                sock = socket.create_server(here, family=family, backlog=_BACKLOG)
            except OSError as error:
                if self._sockets and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    continue  # a name with an IPv6 address on a machine without IPv6
                raise
            sock.setblocking(False)
            self._sockets.append(sock)
        for sock in self._sockets:
            self._loop.add_reader(sock, self._acceptable, sock)

    async def stop(self, grace: float) -> None:
        """Stop listening, let connections end by themselves for `grace` seconds, then close what remains."""
        while self._sockets:
            sock = self._sockets.pop()
            self._loop.remove_reader(sock)
            sock.close()
        if grace > 0 and not self._idle.is_set():
            try:
                async with asyncio.timeout(grace):
                    await self._idle.wait()
            except TimeoutError:
                pass
        for task in list(self._opening):
            task.cancel()
        for splice in list(self._splices):
            splice.stop()
        if self._opening:
            await asyncio.wait(self._opening)

    def _acceptable(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                # Level-triggered: the listener would be readable again at once, for ever.
                why = os.strerror(error.errno).lower()
                self._tell_now_and_then("accept", f"cannot accept: {why}; waiting (see ulimit -n)")
                self._loop.remove_reader(listener)
                self._loop.call_later(0.25, self._accept_again, listener)
                return
            opened = time.monotonic_ns()
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._numbers += 1
            self.counters.accepted += 1
            self.counters.open += 1
            self._idle.clear()
            client = address_text(address[0], address[1])
            task = self._loop.create_task(self._open(self._numbers, sock, client, opened))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener, self._acceptable, listener)

    async def _open(self, conn: int, client: socket.socket, address: str, opened: int) -> None:
        recorder = ConnectionRecorder(
            self._streams,
            self._rule,
            conn,
            address,
            self._upstream.text,
            opened,
            watch=self._watcher.events,
            on_request=lambda target: self._watcher.opened(Summary(conn, address, target)),
            on_fault=self._fault,
        )
        try:
            server = await dial(self._upstream, self._connect_timeout)
        except DialError as error:
            self._tell_upstream(error)
            await self._refuse(recorder, conn, client, address, opened, str(error))
            return
        except BaseException:
            client.close()
            self._ended(recorder, conn, address, opened)
            raise
        if self.upstream_error is not None:
            self._watcher.trouble(f"upstream {self._upstream.text} is back")
            self.upstream_error = None

        def over() -> None:
            self._splices.discard(splice)
            self._ended(recorder, conn, address, opened)

        splice = Splice(self._loop, self._poller, client, server, recorder, over)
        self._splices.add(splice)

    def _tell_upstream(self, error: DialError) -> None:
        """Say that the upstream is not there, or that it could not be asked; once, until it changes."""
        why = str(error)
        if error.local:
            self._tell_now_and_then("dial", f"{why}; clients get 502")
        elif self.upstream_error != why:
            self.upstream_error = why
            self._watcher.trouble(f"upstream {self._upstream.text} does not answer: {why}; clients get 502")

    def _tell_now_and_then(self, what: str, sentence: str) -> None:
        now = self._loop.time()
        if now >= self._quiet_until.get(what, 0.0):
            self._quiet_until[what] = now + QUIET_SECONDS
            self._watcher.trouble(sentence)

    async def _refuse(
        self, recorder: ConnectionRecorder, conn: int, client: socket.socket, address: str, opened: int, why: str
    ) -> None:
        """Nobody answers upstream: hear what the client wants, tell it, record both."""
        self.counters.refused += 1
        recorder.error = why
        how = "stopped"
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                while not recorder.head_seen:
                    data = await self._loop.sock_recv(client, READ_SIZE)
                    if not data:
                        break
                    recorder.feed[C2S](data, time.monotonic_ns())
                answer = bad_gateway(self._upstream, why)
                recorder.answering = True
                recorder.feed[S2C](answer, time.monotonic_ns())
                await self._loop.sock_sendall(client, answer)
                client.shutdown(socket.SHUT_WR)
                # Closing with unread bytes would reset the connection and could destroy the answer on its way.
                while data := await self._loop.sock_recv(client, READ_SIZE):
                    recorder.feed[C2S](data, time.monotonic_ns())
                how = "fin"
        except TimeoutError:
            pass
        except OSError:
            how = "reset"
        finally:
            now = time.monotonic_ns()
            recorder.end(C2S, how, now)
            recorder.end(S2C, "fin" if how != "reset" else "aborted", now)
            client.close()
            recorder.close(now)
            self._ended(recorder, conn, address, opened)

    def _ended(self, recorder: ConnectionRecorder, conn: int, client: str, opened: int) -> None:
        self.counters.open -= 1
        if not self.counters.open:
            self._idle.set()
        summary = Summary(conn, client, recorder.target, recorder.status, error=recorder.error)
        summary.seconds = (time.monotonic_ns() - opened) / 1e9
        recorder.summarize(summary.frames, summary.bytes)
        for dir in (C2S, S2C):
            self.counters.frames[dir] += summary.frames[dir]
            self.counters.bytes[dir] += summary.bytes[dir]
        lane = recorder.lane
        if lane is not None:
            summary.file = lane.stream.path
            closes = [packer.close for packer in lane.packers.values() if packer.close is not None]
            if closes:
                first = min(closes, key=lambda frame: frame.t)
                summary.closed_by = "client" if first.dir == C2S else "server"
                summary.close_code = int.from_bytes(first.payload[:2], "big") if len(first.payload) >= 2 else 1005
                summary.close_reason = first.payload[2:].decode("utf-8", "replace")
        summary.end = recorder.end_summary
        self._watcher.ended(summary)

    def _fault(self, error: Exception) -> None:
        self.counters.faults += 1
        if not self._fault_told:
            self._fault_told = True
            self._watcher.trouble(
                f"fault in the recorder ({type(error).__name__}: {error}): traffic flows on, the recording says what it lacks"
            )
