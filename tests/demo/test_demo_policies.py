"""The policies alone: chunks in, chunks out. The judge is the real one, served in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from wsproxy.demo import backend
from wsproxy.demo.outcome import Chunk, fold
from wsproxy.demo.policies import POLICIES, PolicyContext

pytestmark = pytest.mark.asyncio


def asked(prompt: str) -> list[Chunk]:
    return list(backend.chunks({"model": "demo", "messages": [{"role": "user", "content": prompt}]}))


async def run(policy: str, chunks: list[Chunk], context: PolicyContext) -> list[Chunk]:
    async def incoming() -> AsyncIterator[Chunk]:
        for chunk in chunks:
            yield chunk

    return [chunk async for chunk in POLICIES[policy]().generate_response_stream(context, incoming())]


@pytest.fixture
async def judge() -> AsyncIterator[str]:
    async with TestServer(backend.application(chunk_interval=0, judge_delay=0)) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_noop_passes_every_chunk_as_it_came() -> None:
    context = PolicyContext("id")
    chunks = asked("hello")
    assert await run("noop", chunks, context) == chunks
    assert context.decided == "passed"


async def test_allcaps_raises_the_text_and_leaves_its_input_alone() -> None:
    chunks, same = asked("hello"), asked("hello")
    out = await run("allcaps", chunks, PolicyContext("id"))
    assert fold(out).text == fold(chunks).text.upper()
    assert len(out) == len(chunks)
    assert chunks == same


async def test_judge_lets_text_pass(judge: str) -> None:
    context = PolicyContext("id", judge_url=judge)
    assert await run("judge", asked("hello"), context) == asked("hello")
    assert context.decided == "passed"


async def test_judge_replaces_a_destructive_tool_call_by_one_chunk(judge: str) -> None:
    context = PolicyContext("id", judge_url=judge)
    out = await run("judge", asked("delete it"), context)
    assert len(out) == 1
    assert fold(out).text == "BLOCKED by judge (p=0.97): destructive SQL (DROP)"
    assert fold(out).finish_reasons == ["stop"]
    assert context.decided == "blocked"


async def test_judge_releases_an_allowed_tool_call_whole(judge: str) -> None:
    chunks = asked("delete it")
    for chunk in chunks:
        for call in chunk["choices"][0]["delta"].get("tool_calls") or ():
            call["function"]["arguments"] = call["function"]["arguments"].replace("DROP", "READ")
    context = PolicyContext("id", judge_url=judge)
    assert await run("judge", chunks, context) == chunks
    assert context.decided == "passed"


async def test_a_tool_call_that_breaks_off_is_not_let_out_unjudged(judge: str) -> None:
    context = PolicyContext("id", judge_url=judge)
    out = await run("judge", asked("delete it")[:-1], context)
    assert fold(out).tool_arguments == ""
    assert context.decided == "blocked"


async def test_text_comes_out_of_the_judge_before_the_stream_ends(judge: str) -> None:
    gate: asyncio.Queue[Chunk] = asyncio.Queue()

    async def incoming() -> AsyncIterator[Chunk]:
        while True:
            yield await gate.get()

    stream = POLICIES["judge"]().generate_response_stream(PolicyContext("id", judge_url=judge), incoming())
    first: Any = asked("hello")[0]
    gate.put_nowait(first)
    assert await anext(stream) == first
