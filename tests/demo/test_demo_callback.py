"""The callback as a conversation with a scripted control plane behind a real socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from wsproxy.demo import backend, callback
from wsproxy.demo.callback import stream_through_control_plane
from wsproxy.demo.outcome import Chunk, fold

pytestmark = pytest.mark.asyncio

CHUNKS = list(backend.chunks({"model": "demo", "messages": [{"role": "user", "content": "hello"}]}))
Script = Callable[[ServerConnection, list[tuple[float, Any]]], Awaitable[None]]


async def backend_chunks() -> AsyncIterator[Chunk]:
    for chunk in CHUNKS:
        yield chunk


@asynccontextmanager
async def control_plane(script: Script) -> AsyncIterator[tuple[str, list[tuple[float, Any]]]]:
    """Serve `script`; gives the base URL and what came: pairs of time and message, a close as its code."""
    received: list[tuple[float, Any]] = []

    async def handler(ws: ServerConnection) -> None:
        await script(ws, received)
        async for text in ws:
            received.append((time.monotonic(), json.loads(text)))
        received.append((time.monotonic(), ws.protocol.close_code))

    async with serve(handler, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", received


async def through(url: str, *, fixed: bool = False) -> list[Chunk]:
    stream = stream_through_control_plane(url, "an-id", {"model": "demo"}, backend_chunks(), fixed=fixed)
    return [chunk async for chunk in stream]


async def silent(ws: ServerConnection, received: list[tuple[float, Any]]) -> None:
    """Say nothing."""


async def echo(ws: ServerConnection, received: list[tuple[float, Any]]) -> None:
    """Send every chunk back, and END after END."""
    async for text in ws:
        received.append((time.monotonic(), json.loads(text)))
        if received[-1][1]["type"] != "START":
            await ws.send(text)
        if received[-1][1]["type"] == "END":
            return


def saying(*messages: dict[str, Any]) -> Script:
    async def script(ws: ServerConnection, received: list[tuple[float, Any]]) -> None:
        for message in messages:
            await ws.send(json.dumps(message))

    return script


async def test_it_says_start_then_every_chunk_then_end_and_closes_with_1000() -> None:
    async with control_plane(silent) as (url, received):
        await through(url)
    said = [message["type"] if isinstance(message, dict) else message for _, message in received]
    assert said == ["START", *["CHUNK"] * len(CHUNKS), "END", 1000]


async def test_the_bug_ends_a_silent_stream_two_polls_after_its_last_chunk() -> None:
    async with control_plane(silent) as (url, received):
        assert await through(url) == []
    *_, last_chunk, end, close = (at for at, _ in received)
    # Two polls are a hard floor; above it there is only what the machine adds.
    assert 0.100 <= end - last_chunk < 0.250
    assert close - end < 0.050


async def test_an_answer_ends_a_poll_at_once() -> None:
    async with control_plane(echo) as (url, _):
        began = time.monotonic()
        assert await through(url) == CHUNKS
        assert time.monotonic() - began < len(CHUNKS) * callback.POLL_SECONDS


async def test_end_from_the_control_plane_stops_the_stream_and_is_not_answered() -> None:
    script = saying({"type": "CHUNK", "data": CHUNKS[0]}, {"type": "END"})
    async with control_plane(script) as (url, received):
        assert await through(url) == CHUNKS[:1]
    assert not any(message == {"type": "END"} for _, message in received)


async def test_invalid_control_chunks_are_dropped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    required = ["choices", "model", "created"]
    broken = [{key: value for key, value in CHUNKS[0].items() if key != name} for name in required]
    chunks = [{"type": "CHUNK", "data": data} for data in [*broken, None, CHUNKS[1]]]
    async with control_plane(saying(*chunks, {"type": "END"})) as (url, _):
        assert await through(url) == [CHUNKS[1]]
    ours = [record for record in caplog.records if record.name == "callback"]  # asyncio warns on a slow machine
    logged = [record.getMessage().partition("invalid control chunk: ")[2] for record in ours]
    assert logged == ["no choices", "no model", "no created", "no choices, model, created"]


async def test_an_error_from_the_control_plane_ends_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    async with control_plane(saying({"type": "ERROR", "error": "policy broke"})) as (url, _):
        assert await through(url) == []
    assert "policy broke" in caplog.text


async def test_what_came_before_the_connection_was_lost_still_reaches_the_client() -> None:
    async def say_and_leave(ws: ServerConnection, received: list[tuple[float, Any]]) -> None:
        for chunk in CHUNKS[:2]:
            await ws.send(json.dumps({"type": "CHUNK", "data": chunk}))
        await ws.close(1011)

    async with control_plane(say_and_leave) as (url, _):
        assert await through(url) == CHUNKS[:2]


async def test_fixed_waits_for_the_end_of_a_control_plane_that_thinks_longer_than_two_polls() -> None:
    async def slow(ws: ServerConnection, received: list[tuple[float, Any]]) -> None:
        async for text in ws:
            received.append((time.monotonic(), json.loads(text)))
            if received[-1][1]["type"] == "END":
                break
        await asyncio.sleep(3 * callback.POLL_SECONDS)  # this is the thinking, not a wait for somebody else
        await ws.send(json.dumps({"type": "CHUNK", "data": CHUNKS[0]}))
        await ws.send(json.dumps({"type": "END"}))

    async with control_plane(slow) as (url, _):
        assert await through(url, fixed=True) == CHUNKS[:1]


async def test_a_refused_handshake_lets_all_through_unfiltered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve(silent_handler, "127.0.0.1", 0, process_request=refuse) as server:
        url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        assert await through(url) == CHUNKS
    assert "UNFILTERED" in caplog.text


async def silent_handler(ws: ServerConnection) -> None:
    await ws.wait_closed()


def refuse(ws: ServerConnection, request: Any) -> Any:
    return ws.respond(502, "no upstream\n")


async def test_nobody_listening_lets_all_through_unfiltered(caplog: pytest.LogCaptureFixture) -> None:
    async with control_plane(silent) as (url, _):
        pass
    assert fold(await through(url)).text == fold(CHUNKS).text
    assert "UNFILTERED" in caplog.text
