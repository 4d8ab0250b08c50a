"""The stage markers of the demo's parts, hooked as a user would do it: every step is there, in order, at the right time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import wsproxy
from wsproxy import stages
from wsproxy.demo.pipeline import HARMLESS, Pipeline
from wsproxy.recording.events import Marker
from wsproxy.wire.events import C2S, S2C

from .runs import HEALTHY, Run

FIRST_HALF = ("callback.backend_chunk", "ws.sent", C2S, "endpoint.chunk_in", "policy.chunk_in")
SECOND_HALF = (
    *("policy.chunk_out", "endpoint.chunk_out", S2C, "ws.received"),
    *("client.control_in", "client.normalized", "client.to_client", "callback.yielded"),
)


def times(run: Run, stage: str) -> list[int]:
    """When each chunk was at a stage; a direction stands for the wire."""
    if stage in (C2S, S2C):
        return [message.t for message in run.chunks(stage)]
    chunks = [
        marker
        for marker in run.markers(stage)
        if not stage.startswith(("ws.", "client.control_in")) or _is_chunk(marker)
    ]
    assert [marker.index for marker in chunks] == list(range(len(chunks)))
    return [marker.t for marker in chunks]


def _is_chunk(marker: Marker) -> bool:
    return bool(marker.data["type"] == "CHUNK")


def test_every_chunk_of_a_healthy_stream_is_seen_at_every_step_in_order(runs: Callable[[str], Run]) -> None:
    run = runs(HEALTHY)
    journeys = list(zip(*(times(run, stage) for stage in (*FIRST_HALF, *SECOND_HALF)), strict=True))
    assert len(journeys) == 7
    assert all(list(journey) == sorted(journey) for journey in journeys)


def test_the_beginnings_and_ends_of_every_step_are_there_once(runs: Callable[[str], Run]) -> None:
    run = runs(HEALTHY)
    once = ["callback.invoked", "endpoint.start", "endpoint.policy", "policy.start"]
    ends = ["policy.end", "endpoint.end", "callback.completed"]
    assert [marker.stage for marker in run.markers(*once, *ends)][: len(once)] == once
    assert sorted(marker.stage for marker in run.markers(*ends)) == sorted(ends)
    assert {marker.stage for marker in run.markers()} <= stages.KNOWN
    (end,) = run.markers("policy.end")
    assert (end.data["chunks_in"], end.data["total_chunks"]) == (7, 7)


def test_the_times_are_exact_and_within_the_recording(runs: Callable[[str], Run]) -> None:
    run = runs(HEALTHY)
    assert {marker.error_ns for marker in run.markers()} == {0}
    (invoked,), (completed,) = run.markers("callback.invoked"), run.markers("callback.completed")
    assert invoked.t < run.first(C2S, "START").t < run.first(C2S, "END").t < completed.t


def test_no_marker_holds_a_secret(runs: Callable[[str], Run]) -> None:
    run = runs(HEALTHY)
    told = " ".join(repr(marker.data) for marker in run.markers())
    assert "sk-demo" not in told
    assert "sk-demo" in run.first(C2S, "START").text


@pytest.mark.asyncio
async def test_without_markers_there_are_none_wherever_they_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSPROXY_MARKERS", "http://127.0.0.1:9")
    async with Pipeline("noop", out=tmp_path, markers=False) as pipeline:
        answer = await pipeline.ask(HARMLESS)
        logs = pipeline.log("proxy") + pipeline.log("control_plane")
    assert not list(wsproxy.open(answer.stream_id, tmp_path).markers())
    assert "wsproxy.hooks" not in logs


@pytest.mark.asyncio
async def test_without_a_relay_there_are_no_markers_to_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSPROXY_MARKERS", "http://127.0.0.1:9")
    async with Pipeline("noop", relay=False) as pipeline:
        await pipeline.ask(HARMLESS)
        assert "wsproxy.hooks" not in pipeline.log("proxy") + pipeline.log("control_plane")
