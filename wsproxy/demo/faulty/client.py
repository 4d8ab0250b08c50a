"""What goes wrong with the client: it loses interest."""

from __future__ import annotations

import json
from typing import Final

import aiohttp

from wsproxy.demo.client import ReadStream
from wsproxy.demo.outcome import Chunk

CHUNKS: Final = 2


async def read_two_and_leave(response: aiohttp.ClientResponse) -> tuple[list[Chunk], bool]:
    """Two chunks; then the connection is closed."""
    chunks: list[Chunk] = []
    async for line in response.content:
        if line.startswith(b"data: {"):
            chunks.append(json.loads(line.removeprefix(b"data: ")))
        if len(chunks) == CHUNKS:
            break
    response.close()
    return chunks, False


READERS: Final[dict[str, ReadStream]] = {"client-leaves": read_two_and_leave}
