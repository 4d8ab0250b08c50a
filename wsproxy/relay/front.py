"""What happens to an accepted connection until it is spliced: TLS, its route, the dial; or a refusal.

Strategy: one coroutine from `accept` to the splice. Each step is there only where it was asked for: a handshake where the listener speaks TLS, a
look at the first head where there are routes, a handshake upstream where that is `wss`; plain and direct means dial and splice, and no byte is
read before. What is read before the splice is recorded like anything else and goes up first.

When there is no upstream for it (absent, untrusted, no route; no TLS where TLS was due) the relay hears what the client wants, to have it in
the recording, and answers for it: a JSON body that says why.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..wire import http1
from ..wire.events import C2S, S2C, Request
from ..wire.host import with_host
from .dial import TLS_HINT, DialError, Dialler, bad_gateway
from .ends import AGAIN, READ_SIZE, Channel, End, LayeredEnd, SocketChannel
from .gate import Gate
from .news import News, Summary
from .poller import Poller
from .recorder import ConnectionRecorder
from .routes import Listener, Route, path_of
from .splice import Splice
from .streams import Streams
from .tls import HANDSHAKE_SECONDS, HandshakeError, shake_hands
from .tls_channel import TlsChannel
from .upstream import Upstream, json_answer

HEAD_SECONDS = 5.0  # how long a client may take to send the request that decides its route, or that the relay answers
_TLS_RECORD = b"\x16"


@dataclass(slots=True)
class _Visit:
    """One accepted connection on its way."""

    conn: int
    client: socket.socket
    address: str
    opened: int
    channel: Channel  # to the client
    recorder: ConnectionRecorder


class _Spliced:
    """What is kept of a connection while it is spliced: there may be thousands. Called when that is over."""

    __slots__ = ("address", "conn", "front", "opened", "upstream")

    def __init__(self, front: Front, conn: int, address: str, opened: int, upstream: str) -> None:
        self.front = front
        self.conn = conn
        self.address = address
        self.opened = opened
        self.upstream = upstream

    def __call__(self, splice: Splice) -> None:
        self.front.over(splice, self)


class Front:
    """What stands behind one listener.

    Args:
        splices: where a splice is kept while it runs.
        on_ended: called when a connection is over, spliced or not.
    """

    def __init__(
        self,
        listener: Listener,
        streams: Streams,
        news: News,
        poller: Poller,
        dialler: Dialler,
        splices: set[Splice],
        on_ended: Callable[[], None],
    ) -> None:
        self._listener = listener
        self._streams = streams
        self._news = news
        self._poller = poller
        self._dialler = dialler
        self._splices = splices
        self._on_ended = on_ended
        self._fault = news.fault
        self._loop = asyncio.get_running_loop()

    async def open(self, conn: int, client: socket.socket, address: str, opened: int) -> None:
        """Bring a connection to its splice, or to its end."""
        route = self._listener.routes.direct
        recorder = self._recorder(conn, address, route, opened)
        visit = _Visit(conn, client, address, opened, SocketChannel(client), recorder)
        spliced = False
        try:
            spliced = await self._go(visit)
        finally:
            if not spliced:
                client.close()
                visit.recorder.close(time.monotonic_ns())
                self._ended(visit.recorder, conn, address, opened)

    async def _go(self, visit: _Visit) -> bool:
        """Whether it came to a splice."""
        if self._listener.tls is not None:
            try:
                session = await shake_hands(visit.client, self._listener.tls, HANDSHAKE_SECONDS)
            except HandshakeError as error:
                await self._no_tls(visit, error)
                return False
            visit.channel = TlsChannel(visit.client, session)
        early, route = b"", self._listener.routes.direct
        if route is None:
            early, target = await self._first_head(visit)
            route = self._listener.routes.of(target) if target else self._listener.routes.default
            if route is None:
                await self._refuse(visit, no_route(target, self._listener), early, "no route for this request")
                return False
            visit.recorder = self._recorder(visit.conn, visit.address, route, visit.opened)
        upstream = route.upstream
        try:
            server, established = await self._dialler.dial(upstream)
        except DialError as error:
            self._news.upstream_fails(upstream.text, error)
            self._news.counters.refused += 1
            await self._refuse(visit, bad_gateway(upstream, error), early, str(error))
            return False
        self._news.upstream_answers(upstream.text)
        below = SocketChannel(server) if established is None else TlsChannel(server, established)
        self._splice(visit, upstream, server, below, early)
        return True

    def _splice(self, visit: _Visit, upstream: Upstream, server: socket.socket, below: Channel, early: bytes) -> None:
        recorder = visit.recorder
        if upstream.tls or upstream.host_header is not None or self._listener.routes.direct is None:
            below = self._gate(recorder, upstream, below)
            recorder.forwarded_as = _forwarded_as(upstream)

        ends = self._end(visit.client, visit.channel), self._end(server, below)
        spliced = _Spliced(self, visit.conn, visit.address, visit.opened, upstream.text)
        self._splices.add(Splice(self._loop, self._poller, *ends, recorder, spliced, early))

    def over(self, splice: Splice, spliced: _Spliced) -> None:
        """A splice has ended."""
        self._splices.discard(splice)
        recorder = splice.recorder
        if recorder.end_summary.startswith("lost: TLS"):
            self._news.now_and_then(recorder.end_summary, f"{spliced.upstream}: {recorder.end_summary}")
        self._ended(recorder, spliced.conn, spliced.address, spliced.opened)

    def _end(self, sock: socket.socket, channel: Channel) -> End:
        if isinstance(channel, SocketChannel):
            return End(sock, self._poller)
        return LayeredEnd(sock, self._poller, channel, self._loop)

    def _gate(self, recorder: ConnectionRecorder, upstream: Upstream, below: Channel) -> Gate:
        routes = self._listener.routes

        def broken(why: str) -> bytes:
            error = DialError(why.removeprefix("TLS: "), fault="refuses the TLS connection", hint=TLS_HINT)
            sentence = f"upstream {upstream.text} {error.fault}: {error}; clients get 502"
            self._news.now_and_then(sentence, sentence)
            self._news.counters.refused += 1
            return bad_gateway(upstream, error)

        def answering() -> None:
            recorder.answering = True

        def misdirected(target: str) -> str | None:
            return routes.misdirected(target, upstream)

        return Gate(below, upstream.host_header, None if routes.direct else misdirected, broken, answering)

    def _recorder(self, conn: int, address: str, route: Route | None, opened: int) -> ConnectionRecorder:
        """Of a connection whose route is known, or is not, or will never be."""
        watcher = self._news.watcher
        return ConnectionRecorder(
            self._streams,
            (route or self._listener.routes.routes[-1]).rule,
            conn,
            address,
            route.upstream.text if route else "",
            opened,
            watch=watcher.events,
            on_request=lambda target: watcher.opened(Summary(conn, address, target)),
            on_fault=self._fault,
        )

    def _ended(self, recorder: ConnectionRecorder, conn: int, address: str, opened: int) -> None:
        self._news.ended(recorder, conn, address, opened)
        self._on_ended()

    # --- before the dial ---------------------------------------------------------------------------------------------

    async def _first_head(self, visit: _Visit) -> tuple[bytes, str]:
        """What the client sends until its first request head is whole, and the target of that; "" if there will be none."""
        early, stop, searched = b"", 0, 0
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                while not stop and http1.could_be_request(early) and len(early) <= http1.HEAD_LIMIT:
                    data = await self._receive(visit)
                    if not data:
                        break
                    early, searched = early + data, len(early)
                    stop = http1.head_end(early, searched)
        except TimeoutError:
            pass  # a client that waits for the server to speak first
        try:
            return early, http1.parse_request(early[:stop]).target
        except http1.NotHttp:
            return early, ""

    async def _receive(self, visit: _Visit) -> bytes:
        while True:
            try:
                return visit.channel.recv(READ_SIZE)
            except AGAIN:
                await self._until(self._loop.add_reader, self._loop.remove_reader, visit.client)

    async def _send(self, visit: _Visit, data: bytes) -> None:
        view = memoryview(data)
        while view or visit.channel.backlog:
            try:
                visit.channel.flush()
                view = view[visit.channel.send(view) :] if view else view
            except AGAIN:
                pass
            if view or visit.channel.backlog:
                await self._until(self._loop.add_writer, self._loop.remove_writer, visit.client)

    async def _until(self, watch: Callable[..., None], forget: Callable[..., bool], sock: socket.socket) -> None:
        """Wait until the kernel is ready."""
        ready = self._loop.create_future()

        def is_ready() -> None:
            if not ready.done():
                ready.set_result(None)

        watch(sock, is_ready)
        try:
            await ready
        finally:
            forget(sock)

    # --- no upstream for it ------------------------------------------------------------------------------------------

    async def _no_tls(self, visit: _Visit, error: HandshakeError) -> None:
        """A client that does not speak TLS, or not with us."""
        if not error.received:  # it looked whether anybody is there
            return
        why = f"no TLS with the client: {error}"
        self._news.now_and_then(why, f"client {visit.address}: {why}")
        if error.received.startswith(_TLS_RECORD):
            visit.recorder.error = why
            for dir in (C2S, S2C):
                visit.recorder.end(dir, "aborted", time.monotonic_ns())
            return
        hint = "this port speaks TLS: use https:// or wss://"
        answer = json_answer("400 Bad Request", {"error": "no TLS", "reason": str(error), "hint": hint})
        await self._refuse(visit, answer, error.received, why)

    async def _refuse(self, visit: _Visit, answer: bytes, early: bytes, why: str) -> None:
        """Hear what the client wants, tell it why not, record both."""
        recorder = visit.recorder
        recorder.error = why
        how = "stopped"
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                if early:
                    recorder.take(C2S, early, time.monotonic_ns())
                while not recorder.head_seen:
                    data = await self._receive(visit)
                    if not data:
                        break
                    recorder.take(C2S, data, time.monotonic_ns())
                recorder.answering = True
                recorder.take(S2C, answer, time.monotonic_ns())
                await self._send(visit, answer)
                visit.channel.finish(cut=False)
                # Closing with unread bytes would reset the connection and could destroy the answer on its way.
                while data := await self._receive(visit):
                    recorder.take(C2S, data, time.monotonic_ns())
                how = "fin"
        except TimeoutError:
            pass
        except OSError:
            how = "reset"
        finally:
            now = time.monotonic_ns()
            recorder.end(C2S, how, now)
            recorder.end(S2C, "fin" if how != "reset" else "aborted", now)


def _forwarded_as(upstream: Upstream) -> Callable[[Request], Request] | None:
    """What the recording says of a request head that the gate rewrites."""
    host = upstream.host_header
    if host is None:
        return None

    def forwarded_as(request: Request) -> Request:
        sent = hashlib.sha256(with_host(request.raw, host)).hexdigest()
        return request._replace(host=host, sent=sent)

    return forwarded_as


def no_route(target: str, listener: Listener) -> bytes:
    """The 404 of a request that no route is for."""
    known = ", ".join(route.prefix for route in listener.routes.routes)
    return json_answer(
        "404 Not Found",
        {
            "error": "no route",
            "path": path_of(target) if target else "",
            "reason": f"this relay has routes for {known} and no --upstream for the rest",
            "hint": "ask below one of these, or give the relay an --upstream",
        },
    )
