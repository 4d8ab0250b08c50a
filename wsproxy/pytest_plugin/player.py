"""Plays a cassette: the replay server, in a thread and an event loop of its own.

Strategy: the test's own loop, if it has one, may be blocked by the test and may be of any kind; so nothing here touches it. The thread of the
test asks through the player's loop and waits for its answers.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from ..replay import Mismatch, Server, at_once, recorded, serve
from ..replay.loop import run
from ..wire.events import S2C
from .episodes import Front
from .settings import Settings

_log = logging.getLogger("wsproxy.cassette")
_TURNS = 20  # of the loop; what a peer on this machine has sent is read, answered and judged within them
_GRACE = 0.5  # seconds for connections that the test left open
Result = TypeVar("Result")


class Player:
    """A cassette that is played.

    Args:
        recordings: of the cassette.
        settings: of the test.
        otherwise: gives the port of a server for what the cassette does not have; without it that is refused.

    Attributes:
        port: where clients connect.

    Raises:
        WsproxyError: it cannot be played.
    """

    def __init__(
        self, recordings: Sequence[Path], settings: Settings, otherwise: Callable[[], Awaitable[int]] | None
    ) -> None:
        self.mismatches: list[Mismatch] = []
        self._otherwise = otherwise
        self._server: Server = serve(
            recordings,
            pace=at_once if settings.pace == "max" else recorded,
            match=settings.match,
            ignore=settings.ignore,
            timeout=settings.timeout,
            on_mismatch=self._mismatch,
        )
        self._ready: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="wsproxy cassette", daemon=True)
        self._thread.start()
        self.port, self._loop, self._stop = self._ready.result()

    @property
    def notes(self) -> list[str]:
        """What the replay found worth knowing."""
        return list(self._server.report.notes)

    def settle(self) -> None:
        """Hear what clients have said until now."""
        if self._thread.is_alive():
            self._ask(self._turn())

    def close(self) -> None:
        """Let connections end, and end. May be called again."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def unplayed(self) -> list[str]:
        """What the cassette has and nobody asked for, in words. After `close`."""
        places, said = self._server.places, self._server.report
        rest = [f"WebSocket {s.script.upgrade.target}" for s in places.websockets if not s.given and s.script.upgrade]
        rest += [f"{a.exchange.request.method} {a.exchange.target}" for a in places.answers if not a.given]
        owed = sum(len(served.script.messages_of(S2C)) for served in places.websockets if served.given)
        if said.sent.messages < owed:
            rest.append(f"{owed - said.sent.messages} of the server's {owed} messages")
        return rest

    def _mismatch(self, mismatch: Mismatch) -> None:
        self.mismatches.append(mismatch)
        shown = mismatch.to_json()
        _log.warning("%s, %s: expected %s, got %s", shown["place"], shown["field"], shown["expected"], shown["got"])

    # --- in the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            run(self._play())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _play(self) -> None:
        stop = asyncio.Event()
        async with self._server as server:
            front = Front(server, self._otherwise) if self._otherwise is not None else None
            port = await front.listen() if front is not None else server.port
            self._ready.set_result((port, asyncio.get_running_loop(), stop))
            await stop.wait()
            if front is not None:
                await front.close(_GRACE)
            await server.close(_GRACE)

    async def _turn(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    def _ask(self, what: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()
