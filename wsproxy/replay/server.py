"""Be the server: answer real clients as recorded.

Strategy: one task per connection (`session`), one set of recordings for all of them (`places`), one report. Closing stops listening, lets
connections end by themselves for a while, and cuts the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from ..wire.events import S2C
from . import pacing
from .connection import Connection, address_text, words
from .matching import Match
from .options import Options, Source, open_sources, prepare
from .pacing import Pace
from .places import Places
from .problems import ReplayError
from .recorder import Recorder
from .report import Mismatch, Report
from .session import Session
from .whatif import Edit

_BACKLOG = 4096
_GRACE = 5.0  # seconds for connections to end when the server is closed


def serve(
    recordings: Source | Iterable[Source],
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    edits: Iterable[Edit] = (),
    pace: Pace = pacing.recorded,
    match: Match = "shape",
    ignore: Iterable[str] = (),
    repeat: bool = False,
    record: str | Path | None = None,
    timeout: float | None = None,
    on_mismatch: Callable[[Mismatch], None] | None = None,
) -> Server:
    """Serve what the servers of these recordings said; use it as `async with serve(...) as server`.

    Args:
        recordings: paths, folders, or recordings.
        port: 0 takes a free one; `server.url` has it.
        edits: what-ifs for what the server says.
        pace: of the recorded pauses.
        match: how closely the client is compared.
        ignore: JSON fields that may differ.
        repeat: play a recording again when all that fit were played.
        record: folder for recordings of the replay; none by default.
        timeout: seconds of silence, beside the recorded pause, after which a client is given up; by default never.
        on_mismatch: called with each difference at once.

    Raises:
        WsproxyError: here for a recording that cannot be played, on entering for an address that cannot be had.
    """
    folder = Path(record) if record is not None else None
    options = Options(pace, tuple(edits), match, tuple(ignore), folder, timeout, on_mismatch)
    scenarios, notes = prepare(open_sources(recordings), S2C, options.edits)
    return Server(Places(scenarios, repeat=repeat), host, port, options, notes)


class Server:
    """Serves recordings. An async context manager.

    Attributes:
        url: where it listens, as ws://HOST:PORT.
        places: what it serves.
    """

    def __init__(self, places: Places, host: str, port: int, options: Options, notes: list[str]) -> None:
        self.places = places
        self.url = ""
        self.port = port
        self._host = host
        self._options = options
        self._report = Report("server", notes=notes, on_mismatch=options.on_mismatch)
        self._recorder: Recorder | None = None
        self._since = time.monotonic_ns()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._accept, self._host, self.port, backlog=_BACKLOG)
        except OSError as error:
            address = address_text(self._host, self.port)
            raise ReplayError(
                f"cannot listen on {address}: {words(error)}; give another HOST:PORT with --serve"
            ) from None
        self.port = self._server.sockets[0].getsockname()[1]
        address = address_text(self._host, self.port)
        self.url = f"ws://{address}"
        if self._options.record is not None:
            try:
                note = self._report.note
                self._recorder = Recorder(self._options.record, listen=address, upstream="a recording", on_trouble=note)
            except ReplayError:
                self._server.close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def report(self) -> Report:
        """What was played so far."""
        if self._recorder is not None:
            self._report.recordings = list(self._recorder.paths)
        return self._report

    @property
    def active(self) -> int:
        """Connections that are open now."""
        return len(self._tasks)

    async def idle(self) -> None:
        """Wait until no connection is open."""
        while self._tasks:
            self._quiet.clear()
            await self._quiet.wait()

    async def close(self, grace: float = _GRACE) -> None:
        """Stop listening, let connections end by themselves for `grace` seconds, then cut them."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._tasks and grace > 0:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._recorder is not None:
            self._recorder.close()

    def _accept(self) -> Connection:
        share = self._recorder.connection() if self._recorder is not None else None
        return Connection(S2C, share, opened=self._opened)

    def _opened(self, connection: Connection) -> None:
        session = Session(connection, self.places, self._options, self._report, self._since)
        task = asyncio.get_running_loop().create_task(session.run())
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report.note(f"a connection failed: {type(error).__name__}: {error}")
        if not self._tasks:
            self._quiet.set()
