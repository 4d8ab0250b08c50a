"""New episodes: what a cassette has is played, what it does not have goes to the real server, on one port.

Strategy: a front takes each connection, reads the client's requests with the project's tap, and asks the cassette about each one. It gets a
connection to the replay server or to the relay, which carries bytes both ways until a request wants the other; a WebSocket keeps its
own to the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from ..replay import Server
from ..replay.places import Answer, Served
from ..wire import http1
from ..wire.events import Body, Opaque, Piece, Request, WireEvent
from ..wire.tap import Tap

_READ = 1 << 16
_TURNS = 100  # of the loop; the server, which is in this loop too, has read what was sent long before
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Front:
    """Takes connections for a replay server and for a real one.

    Args:
        server: what is played.
        otherwise: gives the port of the relay in front of the real server; asked when it is needed first.
    """

    def __init__(self, server: Server, otherwise: Callable[[], Awaitable[int]]) -> None:
        self._replay = server
        self._otherwise = otherwise
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.choosing = asyncio.Lock()  # held from the question whether something is there until it is taken

    async def listen(self) -> int:
        """Begin; the port."""
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, grace: float) -> None:
        """Stop listening, let connections end by themselves for `grace` seconds, then cut them."""
        if self._server is not None:
            self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        line = _Line(self, reader, writer)
        try:
            await line.run()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            await line.close()
            self._tasks.discard(task)

    def partner(self, request: Request, body: bytes) -> Served | Answer | None:
        """What the cassette has for this request and has not given yet. It is not taken."""
        places = self._replay.places
        if _wants_websocket(request):
            found = places.websocket(request.target)
            if not isinstance(found, str):
                found[0].given -= 1
                return found[0]
        answer = places.answer(request.method, request.target, body)
        if answer is None:
            return None
        answer[0].given -= 1
        return answer[0]

    async def port(self, *, played: bool) -> int:
        """Where a request goes."""
        return self._replay.port if played else await self._otherwise()


class _Line:
    """One connection of a client, and the one behind it that has its turn."""

    def __init__(self, front: Front, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._front = front
        self._reader = reader
        self._writer = writer
        self._played: bool | None = None
        self._behind: asyncio.StreamWriter | None = None
        self._answers: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Carry the client's bytes until it ends, then the rest of the answers."""
        tap = Tap(1)
        waiting: list[bytes] = []  # the request that is not whole yet
        request: Request | None = None
        upgraded = False
        while data := await self._reader.read(_READ):
            if upgraded:
                await self._send(data)
                continue
            for event in tap.c2s.feed(data, time.monotonic_ns()):
                if isinstance(event, Piece) and not upgraded:
                    continue  # comes again, whole
                waiting.append(_raw(event))
                if isinstance(event, Request):
                    request = event
                    if b"100-continue" in event.raw.lower():
                        self._writer.write(_CONTINUE)
                if upgraded or request is None:
                    await self._turn(played=self._played or False)
                    await self._send(b"".join(waiting))
                elif _is_whole(request, event):
                    tap.pending.clear()
                    await self._ask(request, waiting)
                    upgraded, request = _wants_websocket(request), None
                else:
                    continue
                waiting.clear()
        if self._behind is not None and self._answers is not None:
            self._behind.write_eof()
            await self._answers

    async def close(self) -> None:
        """Both ends."""
        await self._leave()
        self._writer.close()

    async def _ask(self, request: Request, raw: list[bytes]) -> None:
        """Send a whole request to who has the answer; what is played is taken before anyone else can ask."""
        async with self._front.choosing:
            partner = self._front.partner(request, b"".join(raw[1:]))
            given = partner.given if partner is not None else 0
            await self._turn(played=partner is not None)
            await self._send(b"".join(raw))
            for _ in range(_TURNS):
                if partner is None or partner.given > given:
                    break
                await asyncio.sleep(0)

    async def _turn(self, *, played: bool) -> None:
        """Have the right connection behind this one."""
        if self._behind is not None and self._played == played and not self._behind.is_closing():
            return
        await self._leave()
        port = await self._front.port(played=played)
        reader, self._behind = await asyncio.open_connection("127.0.0.1", port)
        self._played = played
        self._answers = asyncio.create_task(self._carry(reader))

    async def _leave(self) -> None:
        answers, behind, self._answers, self._behind = self._answers, self._behind, None, None
        if behind is not None:
            behind.close()
        if answers is not None:
            answers.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await answers

    async def _send(self, data: bytes) -> None:
        assert self._behind is not None
        self._behind.write(data)
        await self._behind.drain()

    async def _carry(self, reader: asyncio.StreamReader) -> None:
        """The answers, until they end."""
        try:
            while data := await reader.read(_READ):
                self._writer.write(data)
                await self._writer.drain()
        except ConnectionError:
            self._writer.transport.abort()
            raise
        if not self._writer.is_closing():
            self._writer.write_eof()


def _raw(event: WireEvent) -> bytes:
    return event.raw if isinstance(event, Request | Body | Opaque | Piece) else b""


def _wants_websocket(request: Request) -> bool:
    head = http1.parse_request(request.raw)
    return http1.wants_upgrade(head) and "websocket" in head.tokens("upgrade")


def _is_whole(request: Request, event: WireEvent) -> bool:
    if isinstance(event, Body):
        return event.end
    return http1.request_body(http1.parse_request(request.raw)) is None
