"""The demo's OpenAI client: asks the proxy and folds what comes back.

Strategy: an ordinary HTTP request, answered in one piece or as server-sent events; both become the same list of chunks.
How an event stream is read is a function, so that a client that leaves in the middle is another one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp

from wsproxy.demo.outcome import Answer, Chunk, fold

CLIENT_KEY = "sk-demo-client-key-not-a-real-one"
"""The bearer key of the demo's client; it shows up in recordings, where it must be masked."""

ReadStream = Callable[[aiohttp.ClientResponse], Awaitable[tuple[list[Chunk], bool]]]
"""Reads a streamed response: its chunks, and whether its `[DONE]` came."""


def session() -> aiohttp.ClientSession:
    """The client's connections, with its key."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60),
        headers={"authorization": f"Bearer {CLIENT_KEY}"},
        raise_for_status=True,
    )


async def read_to_the_end(response: aiohttp.ClientResponse) -> tuple[list[Chunk], bool]:
    """Every chunk, until `[DONE]` or the end."""
    chunks: list[Chunk] = []
    with suppress(aiohttp.ClientPayloadError):  # the proxy broke off: what came is the answer
        async for line in response.content:
            if not line.startswith(b"data: "):
                continue
            event = line.removeprefix(b"data: ").strip()
            if event == b"[DONE]":
                return chunks, True
            chunks.append(json.loads(event))
    return chunks, False


async def ask(
    client: aiohttp.ClientSession,
    url: str,
    prompt: str,
    *,
    stream: bool,
    judge_delay: float | None = None,
    read: ReadStream = read_to_the_end,
) -> Answer:
    """Ask the proxy at `url`, and give what came back.

    Args:
        stream: as server-sent events, or in one piece.
        judge_delay: seconds that the judge is to take for this question.
        read: reads the event stream.

    Raises:
        aiohttp.ClientError: the proxy could not be asked or refused.
    """
    began = time.monotonic()
    body = {"model": "demo", "messages": [{"role": "user", "content": prompt}], "stream": stream}
    headers = {} if judge_delay is None else {"x-judge-delay": str(judge_delay)}
    async with client.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response:
        chunks, done = await read(response) if stream else (_as_chunks(await response.json()), True)
        total = fold(chunks)
        return Answer(
            stream_id=response.headers["x-litellm-call-id"],
            text=total.text,
            tool_arguments=total.tool_arguments,
            finish_reasons=tuple(total.finish_reasons),
            chunks=tuple(chunks),
            done=done,
            seconds=time.monotonic() - began,
        )


def _as_chunks(completion: dict[str, Any]) -> list[Chunk]:
    """A response in one piece as the one chunk that says the same."""
    choices = [
        {"index": choice["index"], "delta": choice["message"], "finish_reason": choice["finish_reason"]}
        for choice in completion["choices"]
    ]
    return [{**completion, "object": "chat.completion.chunk", "choices": choices}]
