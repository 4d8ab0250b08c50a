"""The relay: its listeners, and all connections that they have brought, until it is told to stop.

Strategy: every accepted connection is one small task (`front`) until the upstream answers, then a `Splice` of callbacks. Running out of file
descriptors pauses accepting instead of spinning.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time

from .dial import Dialler
from .front import Front
from .keepalive import DEFAULT_SECONDS, ask_when_silent
from .news import Counters, News, Watcher
from .poller import Poller
from .routes import Listener
from .splice import Splice
from .streams import Streams
from .upstream import address_text

_BACKLOG = 4096
_ACCEPT_AT_ONCE = 64


class Relay:
    """A relay: listeners, and the upstreams behind them.

    Args:
        listeners: where to listen, and where each leads; port 0 takes any free one.
        poller: the selector of the event loop that it will run on.
        keepalive: seconds of silence after which TCP asks whether a client is still there; 0 never.
    """

    def __init__(
        self,
        listeners: list[Listener],
        streams: Streams,
        watcher: Watcher,
        poller: Poller,
        dialler: Dialler,
        keepalive: int = DEFAULT_SECONDS,
    ) -> None:
        self._keepalive = keepalive
        self._listeners = listeners
        self._streams = streams
        self._poller = poller
        self.dialler = dialler
        self._news = News(watcher)
        self._sockets: list[socket.socket] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._splices: set[Splice] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._numbers = 0
        self.ports: list[int] = []  # that are listened on, one per listener

    @property
    def counters(self) -> Counters:
        return self._news.counters

    @property
    def splices(self) -> set[Splice]:
        """The connections that are spliced."""
        return self._splices

    def fault(self, error: Exception) -> None:
        """Something went wrong inside, and no connection's end is the consequence."""
        self._news.fault(error)

    @property
    def upstream_error(self) -> str | None:
        """Why the last dial of an upstream failed, if one does fail; that of the first."""
        return next(iter(self._news.upstream_errors.values()), None)

    @property
    def upstream_errors(self) -> dict[str, str]:
        """All upstreams whose last dial failed, and why."""
        return self._news.upstream_errors

    @property
    def listening(self) -> list[tuple[str, list[str]]]:
        """The URL of each listener, and where it leads."""
        return [
            (listener.url(port), listener.routes.upstreams)
            for listener, port in zip(self._listeners, self.ports, strict=True)
        ]

    def start(self) -> None:
        """Listen. Raises CannotListen where an address cannot be had."""
        self._loop = asyncio.get_running_loop()
        for listener in self._listeners:
            front = Front(
                listener, self._streams, self._news, self._poller, self.dialler, self._splices, self._connection_ended
            )
            try:
                self._listen(listener, front)
            except OSError as error:
                raise CannotListen(listener, error) from None

    def _listen(self, listener: Listener, front: Front) -> None:
        port = listener.port
        own: list[socket.socket] = []
        for family, _, _, _, address in socket.getaddrinfo(
            listener.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            here = (str(address[0]), own[0].getsockname()[1] if own else port)
            try:
                sock = socket.create_server(here, family=family, backlog=_BACKLOG)
            except OSError as error:
                if own and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    continue  # a name with an IPv6 address on a machine without IPv6
                raise
            sock.setblocking(False)
            own.append(sock)
            self._sockets.append(sock)
        self.ports.append(own[0].getsockname()[1])
        for sock in own:
            self._loop.add_reader(sock, self._acceptable, sock, front)

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

    def _acceptable(self, listener: socket.socket, front: Front) -> None:
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
                self._news.now_and_then("accept", f"cannot accept: {why}; waiting (see ulimit -n)")
                self._loop.remove_reader(listener)
                self._loop.call_later(0.25, self._accept_again, listener, front)
                return
            opened = time.monotonic_ns()
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ask_when_silent(sock, self._keepalive)
            self._numbers += 1
            self.counters.accepted += 1
            self.counters.open += 1
            self._idle.clear()
            client = address_text(address[0], address[1])
            task = self._loop.create_task(front.open(self._numbers, sock, client, opened))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    def _accept_again(self, listener: socket.socket, front: Front) -> None:
        if listener.fileno() >= 0:
            self._loop.add_reader(listener, self._acceptable, listener, front)

    def _connection_ended(self) -> None:
        if not self.counters.open:
            self._idle.set()


class CannotListen(Exception):
    """An address cannot be had; `listener` says which, `error` why."""

    def __init__(self, listener: Listener, error: OSError) -> None:
        super().__init__(str(error))
        self.listener = listener
        self.error = error
