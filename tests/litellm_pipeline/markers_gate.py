"""What stands where hooks look for the relay's control port, and can be as unwell as a relay can be.

Strategy: a TCP server of this process whose `mood` is set from outside: nobody listens; it accepts and never answers;
it answers everything with 500; it passes all bytes on to a real relay. A change of mood ends the connections that
there are, as the end of a relay would. What was asked of it is counted, so that a test can know that its mood was
felt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

PATIENCE_SECONDS = 20.0
READ_BYTES = 64 << 10

Mood = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Gate:
    """Listens on loopback, on one port for as long as the context lasts."""

    def __init__(self) -> None:
        self.port = 0
        self.felt = 0  # requests, or parts of them, that came since the mood was set
        self._mood: Mood | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._news = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def set(self, mood: Mood | None) -> None:
        """From now on be in this mood; None: nobody listens."""
        await self._close()
        self._mood, self.felt = mood, 0
        if mood is not None:
            await self._listen()

    async def felt_until(self, count: int) -> None:
        """Wait until so much was asked of it."""
        async with self._news:
            await asyncio.wait_for(self._news.wait_for(lambda: self.felt >= count), PATIENCE_SECONDS)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if self._mood is not None:
                await self._mood(_Counted(reader, self._count), writer)  # type: ignore[arg-type]
        except (ConnectionError, asyncio.CancelledError):
            pass  # the hooks have gone, or the mood has changed
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _count(self) -> None:
        async with self._news:
            self.felt += 1
            self._news.notify_all()


class _Counted:
    """A reader that tells when something came."""

    def __init__(self, reader: asyncio.StreamReader, came: Callable[[], Awaitable[None]]) -> None:
        self._reader = reader
        self._came = came

    async def read(self, size: int) -> bytes:
        data = await self._reader.read(size)
        if data:
            await self._came()
        return data


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take everything, and never answer."""
    while await reader.read(READ_BYTES):
        pass


async def failing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer everything with 500, and close."""
    while await reader.read(READ_BYTES):
        writer.write(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()


def passing_to(port: int) -> Mood:
    """Pass all bytes on to what listens at a port, and its answers back."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, relay = await asyncio.open_connection("127.0.0.1", port)
        try:
            await _either(_pump(reader, relay), _pump(there, writer))
        finally:
            relay.transport.abort()

    return pass_on


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()


async def _either(*ways: Awaitable[None]) -> None:
    """Until one of them has ended: both have, then."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        with suppress(ConnectionError):
            await asyncio.gather(*tasks, return_exceptions=True)
