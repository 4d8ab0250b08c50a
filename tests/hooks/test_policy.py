"""Any policy, wrapped at its call site."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from wsproxy.demo.policies import AllCapsPolicy, NoOpPolicy, PolicyContext, RaisingPolicy
from wsproxy.hooks import instrument_policy_stream

from .collector import Collector

Chunk = dict[str, Any]


def chunk(text: str) -> Chunk:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}


async def incoming(*texts: str) -> AsyncIterator[Chunk]:
    for text in texts:
        yield chunk(text)


def text(marker: Chunk) -> str:
    content: str = marker["data"]["choices"][0]["delta"]["content"]
    return content


async def test_what_goes_in_and_what_comes_out_is_marked(relay: Collector) -> None:
    watched = instrument_policy_stream("s", AllCapsPolicy(), incoming("a", "b"))
    out = [one async for one in watched.run(PolicyContext("s"))]
    assert out == [chunk("A"), chunk("B")]
    marks = relay.wait_for(6, "s")
    assert [m["stage"] for m in marks] == ["policy.start", *("policy.chunk_in", "policy.chunk_out") * 2, "policy.end"]
    assert [(m["index"], text(m)) for m in marks[1:5]] == [(0, "a"), (0, "A"), (1, "b"), (1, "B")]
    assert marks[0]["data"] == {"policy": "AllCapsPolicy"}
    end = marks[5]["data"]
    assert (end["policy"], end["total_chunks"], end["chunks_in"]) == ("AllCapsPolicy", 2, 2)
    assert "error" not in end and "closed_early" not in end


async def test_a_policy_that_raises_raises_and_its_end_says_so(relay: Collector) -> None:
    with pytest.raises(RuntimeError, match="always fails"):
        async for _ in instrument_policy_stream("s", RaisingPolicy(), incoming("a", "b")).run(PolicyContext("s")):
            pass
    end = relay.wait_for(1, "s", "policy.end")[0]["data"]
    assert end["error_type"] == "RuntimeError" and "always fails" in end["error"] and end["total_chunks"] == 1


@pytest.mark.parametrize("how", ["aclose", "dropped"])
async def test_an_endpoint_that_wants_no_more_is_told(relay: Collector, how: str) -> None:
    stream = instrument_policy_stream("s", NoOpPolicy(), incoming("a", "b")).run(PolicyContext("s"))
    if how == "aclose":
        async with aclosing(stream) as closing:  # type: ignore[type-var]
            await anext(closing)
    else:
        await anext(stream)
        del stream
    end = relay.wait_for(1, "s", "policy.end")[0]["data"]
    assert end["closed_early"] is True and end["total_chunks"] == 1


async def test_a_policy_may_be_called_in_another_way(relay: Collector) -> None:
    async def rewrite(chunks: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        async for one in chunks:
            yield one
            yield one

    watched = instrument_policy_stream("s", "Doubling", incoming("a"))
    assert len([one async for one in watched.outgoing(rewrite(watched.incoming))]) == 2
    end = relay.wait_for(1, "s", "policy.end")[0]["data"]
    assert (end["policy"], end["chunks_in"], end["total_chunks"]) == ("Doubling", 1, 2)


async def test_an_incoming_stream_that_is_only_waited_for_in_turns_is_marked_to_its_end(relay: Collector) -> None:
    """A policy that polls its stream with a timeout cancels `__anext__`, which ends a generator but not a queue."""

    class Queue:
        def __init__(self) -> None:
            self.queue: asyncio.Queue[Chunk] = asyncio.Queue()

        def __aiter__(self) -> Queue:
            return self

        async def __anext__(self) -> Chunk:
            return await self.queue.get()

    class Polls:
        async def generate_response_stream(self, context: Any, stream: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(stream), 0.01)
            queue.queue.put_nowait(chunk("late"))
            yield await anext(stream)

    queue = Queue()
    out = [one async for one in instrument_policy_stream("s", Polls(), queue).run(None)]
    assert out == [chunk("late")]
    assert text(relay.wait_for(1, "s", "policy.chunk_in")[0]) == "late"


async def test_an_incoming_stream_that_is_only_iterable_is_marked_too(relay: Collector) -> None:
    class Socket:
        async def __aiter__(self) -> AsyncIterator[Chunk]:
            yield chunk("a")

    out = [one async for one in instrument_policy_stream("s", NoOpPolicy(), Socket()).run(PolicyContext("s"))]  # type: ignore[arg-type]
    assert out == [chunk("a")]
    relay.wait_for(1, "s", "policy.chunk_in")


async def test_a_policy_that_swallows_everything_is_seen_to(relay: Collector) -> None:
    class Swallows:
        async def generate_response_stream(self, context: Any, stream: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
            async for _ in stream:
                pass
            return
            yield

    assert [one async for one in instrument_policy_stream("s", Swallows(), incoming("a", "b")).run(None)] == []
    end = relay.wait_for(1, "s", "policy.end")[0]["data"]
    assert (end["chunks_in"], end["total_chunks"]) == (2, 0)


async def test_disabled_the_streams_are_the_policys_own(disabled: None) -> None:
    source = incoming("a")
    watched = instrument_policy_stream("s", NoOpPolicy(), source)
    assert watched.incoming is source
    out = NoOpPolicy().generate_response_stream(PolicyContext("s"), source)
    assert watched.outgoing(out) is out
    assert len([one async for one in watched.run(PolicyContext("s"))]) == 1
