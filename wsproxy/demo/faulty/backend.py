"""What goes wrong in the backend: the pace of its answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final

from wsproxy.demo.backend import Pace, paced
from wsproxy.demo.outcome import Chunk

STALLS_AFTER: Final = 3
STALL_SECONDS: Final = 2.0


async def stalling(answer: Iterable[Chunk], interval: float) -> AsyncIterator[Chunk]:
    """As fast as ever, with one long silence in the middle."""
    number = 0
    async for chunk in paced(answer, interval):
        if number == STALLS_AFTER:
            await asyncio.sleep(STALL_SECONDS)
        yield chunk
        number += 1


PACES: Final[dict[str, Pace]] = {"stall": stalling}
