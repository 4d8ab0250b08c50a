"""The end-to-end validation: a single chunk through all six steps of the real pipeline, by its correlation id.

    1 callback    2 wire up    3 endpoint    4 policy    3 endpoint    5 wire down    6 callback, client

Strategy: the stream's id is LiteLLM's call id, as the client reads it in its answer; the recording is found by it.
Both ways of hooking are followed: without a line of code in the callback, and by call sites. First from the recording
itself, every chunk at every stage; then as `wsproxy trace` tells it of one.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from wsproxy.analysis.journey.chunks import digest, identify

from .marked import Sighting, Stream, Streams, told
from .questions import BLOCKED

STEPS = dict.fromkeys(("callback.backend_chunk",), 1)
STEPS |= dict.fromkeys(("ws.sent", "wire.c2s"), 2)
STEPS |= dict.fromkeys(("endpoint.chunk_in", "endpoint.chunk_out"), 3)
STEPS |= dict.fromkeys(("policy.chunk_in", "policy.chunk_out"), 4)
STEPS |= dict.fromkeys(("wire.s2c", "ws.received"), 5)
STEPS |= dict.fromkeys(("client.control_in", "client.normalized", "client.to_client", "callback.yielded"), 6)
CHUNK = 3
WORDS = "backend: "

asked = pytest.mark.parametrize(("name", "rewrite"), [("passed", str), ("shouted", str.upper)])


def text(chunk: dict[str, Any]) -> str:
    return chunk["choices"][0]["delta"].get("content") or ""


def journeys(seen: Stream, stages: tuple[str, ...]) -> list[list[Sighting]]:
    """A list for each chunk: where it was, stage by stage; every chunk must have been at every stage."""
    return [list(journey) for journey in zip(*map(seen.at, stages), strict=True)]


def assert_one_chunk(journey: list[Sighting], stages: tuple[str, ...], index: int) -> None:
    """It is the same chunk all the way, with the same index, and never earlier than at the stage before."""
    assert {s.position for s, stage in zip(journey, stages, strict=True) if not stage.startswith("wire")} == {index}
    assert len({identify(s.chunk) for s in journey}) == 1
    assert all(one.t <= other.t for one, other in pairwise(journey))


@asked
def test_every_chunk_is_at_all_six_steps_in_order(streams: Streams, name: str, rewrite: Any) -> None:
    seen, way = streams[name], streams.way
    assert seen.recording.header.stream_id == seen.answer.stream_id
    up, down = journeys(seen, way.up), journeys(seen, way.down)
    assert len(up) == len(down) >= 7  # six words and the finish; LiteLLM 1.106 adds the usage
    for index, (before, after) in enumerate(zip(up, down, strict=True)):
        assert_one_chunk(before, way.up, index)
        assert_one_chunk(after, way.down, index)
        assert before[-1].t <= after[0].t  # out of the policy after it was in it
        if before[0].chunk["choices"]:
            assert text(after[-1].chunk) == rewrite(text(before[0].chunk))
    assert {marker.error_ns for marker in seen.all_markers} == {0}  # one kernel, one clock
    assert [text(chunk) for chunk in seen.answer.chunks[:6]] == [text(after[-1].chunk) for after in down[:6]]


@asked
async def test_trace_tells_the_six_steps_of_one_chunk(streams: Streams, name: str, rewrite: Any) -> None:
    seen, way = streams[name], streams.way
    status, (path, *steps) = await told("trace", seen.recording, "--chunk", str(CHUNK))
    assert status == 0
    turn = {"passed": "pass", "shouted": "rewrite"}[name]
    facts = {
        "stream": seen.answer.stream_id,
        "chunk": CHUNK,
        "chunks": len(seen.at("wire.c2s")),
        "turn": turn,
        "reached": True,
        "fate": None,
    }
    assert facts.items() <= path.items()

    stages = (*way.up, *way.down)
    assert [step["stage"] for step in steps] == list(stages)
    assert [step["step"] for step in steps] == [STEPS[stage] for stage in stages]
    assert [step["index"] for step in steps] == [None if stage.startswith("wire") else CHUNK for stage in stages]
    times = [step["t"] for step in steps]
    assert times == sorted(times)
    assert all(step["ms"] >= 0 for step in steps[1:])

    before, after = seen.at(way.up[0])[CHUNK].chunk, seen.at(way.down[0])[CHUNK].chunk
    assert (text(before), text(after)) == (WORDS, rewrite(WORDS))
    expected = [digest(before)] * len(way.up) + [digest(after)] * len(way.down)
    assert [step["digest"] for step in steps] == expected
    assert (digest(before) == digest(after)) is (name == "passed")


async def test_trace_tells_the_six_steps_of_a_delivered_block(streams: Streams) -> None:
    seen, way = streams["block delivered"], streams.way
    status, (path, *steps) = await told("trace", seen.recording, "--blocked")
    assert status == 0
    facts = {"chunk": 5, "turn": "merge", "inputs": [0, 1, 2, 3, 4, 5], "reached": True, "end": None}
    assert facts.items() <= path.items()

    stages = (*way.up, *way.down)
    assert [(step["stage"], step["step"]) for step in steps] == [(stage, STEPS[stage]) for stage in stages]
    times = [step["t"] for step in steps]
    assert times == sorted(times)
    # The block is the policy's first chunk, and stands for the sixth of the backend.
    indices = [5] * len(way.up) + [0] * len(way.down)
    assert [step["index"] for step in steps if step["index"] is not None] == [
        index for index, stage in zip(indices, stages, strict=True) if not stage.startswith("wire")
    ]

    # Between policy and callback it is the same JSON; LiteLLM's validation adds fields that are empty, and nothing else.
    given, taken = seen.at("policy.chunk_out")[0].chunk, seen.at("client.to_client")[0].chunk
    assert identify(given) == identify(taken)
    digests = {step["stage"]: step["digest"] for step in steps}
    assert digests["policy.chunk_out"] == digests["endpoint.chunk_out"] == digests["wire.s2c"] == digest(given)
    assert digests["client.to_client"] == digests["callback.yielded"] == digest(taken)
    assert text(given) == text(taken) == seen.answer.folded.text == BLOCKED


async def test_a_chunk_that_does_not_arrive_is_traced_to_where_it_ends(streams: Streams) -> None:
    seen, way = streams["block lost"], streams.way
    status, (path, *steps) = await told("trace", seen.recording, "--blocked")
    assert status == 1
    assert (path["reached"], path["fate"], path["turn"]) == (False, "too-late-never-sent", "merge")
    assert [step["stage"] for step in steps] == [*way.up, "policy.chunk_out", "endpoint.chunk_out"]
    assert "it is on no wire" in path["end"] and path["late_ms"] > 0
