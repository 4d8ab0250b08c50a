"""What a server's long-polling and server-sent events have to tell: items that a POST brings, numbered from 0."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

LAST = "that is all"


class News:
    def __init__(self) -> None:
        self._items: list[str] = []
        self._came = asyncio.Condition()

    async def tell(self, text: str) -> None:
        async with self._came:
            self._items.append(text)
            self._came.notify_all()

    async def item(self, number: int) -> str:
        """The item of this number; waits until there is one."""
        async with self._came:
            await self._came.wait_for(lambda: number < len(self._items))
            return self._items[number]

    async def events(self) -> AsyncIterator[bytes]:
        """All items as server-sent events, each when it comes; to the last."""
        number = 0
        while True:
            item = await self.item(number)
            yield f"id: {number}\ndata: {item}\n\n".encode()
            number += 1
            if item == LAST:
                return
