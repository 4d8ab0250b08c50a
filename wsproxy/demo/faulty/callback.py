"""What goes wrong in the callback: how it uses its stream to the control plane.

Strategy: the callback sends and polls through a `ControlStream`; each fault is one with one of these changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

from websockets.exceptions import ConnectionClosed

from wsproxy.demo.callback import ControlStream
from wsproxy.demo.outcome import Chunk

LOST: Final = 3
"""The number of the chunk, from 1, that is not forwarded."""
FORGOTTEN: Final = 2
"""The number of the chunk, from 1, that is not handed to the client."""
PATIENCE_SECONDS: Final = 5.0
"""How long a fault waits for what it is to lose."""


class WithoutStart(ControlStream):
    """Never says START."""

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] != "START":
            await super().send(message)


class Speechless(ControlStream):
    """Raises when START is to be sent, as a request does that cannot be written as JSON."""

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "START":
            raise TypeError("Object of type Logging is not JSON serializable")
        await super().send(message)


class Losing(ControlStream):
    """Loses the third chunk on its way up."""

    _chunks = 0

    async def send(self, message: dict[str, Any]) -> None:
        self._chunks += message["type"] == "CHUNK"
        if message["type"] != "CHUNK" or self._chunks != LOST:
            await super().send(message)


class Lingering(ControlStream):
    """Gives up as ever, and closes only when the control plane's next message is on the wire: nobody reads it."""

    async def give_up(self) -> None:
        await super().give_up()
        await asyncio.wait((self._receiver,))
        with suppress(TimeoutError, ConnectionClosed):
            await asyncio.wait_for(self.ws.recv(), PATIENCE_SECONDS)


class Forgetful(ControlStream):
    """Takes the second chunk, and does not hand it on."""

    _given = 0

    async def first_answers(self, timeout: float) -> AsyncIterator[Chunk]:
        async for chunk in super().first_answers(timeout):
            self._given += 1
            if self._given != FORGOTTEN:
                yield chunk


class Blind(ControlStream):
    """Receives the control plane's messages and never looks whether there are any."""

    async def first_answers(self, timeout: float) -> AsyncIterator[Chunk]:
        return
        yield  # what makes it a generator

    async def answers_until_silence(self, timeout: float) -> AsyncIterator[Chunk]:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.get(), PATIENCE_SECONDS)
        return
        yield


CONTROL_STREAMS: Final[dict[str, type[ControlStream]]] = {
    "no-start": WithoutStart,
    "start-raises": Speechless,
    "not-forwarded": Losing,
    "not-yielded": Forgetful,
    "late-frame": Lingering,
    "never-polled": Blind,
}
