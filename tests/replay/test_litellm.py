"""The real LiteLLM with a recording for a control plane: the good run again, the famous bug out of it, and the callback's deadline.

Strategy: the bed's relay stays between LiteLLM and the control plane's port; the control plane itself is taken away, and each test plays a
recording on its port. So the relay records what a replay does, as it recorded the real one.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

import wsproxy
from tests.cli.command import SAMPLES
from tests.litellm_pipeline import litellm_proxy
from tests.litellm_pipeline.bed import Answer, Bed
from tests.litellm_pipeline.questions import BLOCK_DELIVERED, BLOCKED
from tests.relay.relay_process import assert_whole
from wsproxy import replay
from wsproxy.analysis.pipeline import read_message
from wsproxy.recording.messages import Message

from .conversations import assert_no_difference

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAMPLE = SAMPLES / "blocked-delivered.msgpack"
PRECISION = 0.01  # seconds: how closely the sweep looks for the threshold


@dataclass(frozen=True)
class Stage:
    """A bed whose control plane is absent, and what it said before that."""

    bed: Bed
    answer: Answer
    recording: wsproxy.Recording

    async def asked(self, *edits: replay.Edit, **options: Any) -> tuple[Answer, replay.Report]:
        """What the client gets while the server of the good run is played, with these edits; and the report."""
        source = options.pop("source", self.recording)
        async with replay.serve(source, port=self.bed.control_plane_port, edits=edits, **options) as server:
            answer = await self.bed.ask(BLOCK_DELIVERED)
            await server.idle()
        return answer, server.report


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    if not litellm_proxy.program().exists():
        reason = f"no {litellm_proxy.program()}: pip install 'litellm[proxy]', or set WSPROXY_TEST_LITELLM"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    async with Bed(tmp_path_factory.mktemp("replayed"), relay=True) as bed:
        answer = await bed.ask(BLOCK_DELIVERED)
        recording = await bed.recording(answer.stream_id)
        async with bed.control_plane_absent():
            yield Stage(bed, answer, recording)


def messages(recording: wsproxy.Recording, type: str, dir: str) -> list[Message]:
    """The pipeline's messages of one type and direction."""
    read = [(m, read_message(m.json)) for m in recording.messages() if m.opcode == 1 and m.dir == dir]
    return [message for message, meaning in read if meaning is not None and meaning.type == type]


async def test_the_client_gets_what_it_got_in_the_recorded_run(stage: Stage) -> None:
    answer, report = await stage.asked(match="strict")
    assert answer.events == stage.answer.events
    assert answer.folded.text == BLOCKED
    assert report.mismatches == []
    assert (report.connections, report.exchanges) == (1, 1)


async def test_the_relay_records_the_same_conversation_again(stage: Stage) -> None:
    answer, _ = await stage.asked()
    again = await stage.bed.recording(answer.stream_id)
    assert_whole(again)
    assert_no_difference(again, stage.recording)


async def test_a_run_of_another_litellm_is_served_as_well(stage: Stage) -> None:
    answer, report = await stage.asked(source=SAMPLE)
    (chunk,) = messages(wsproxy.open(SAMPLE), "CHUNK", "s2c")
    assert [chunk["choices"][0]["delta"]["content"] for chunk in answer.chunks] == [BLOCKED]
    assert chunk.json["data"]["choices"][0]["delta"]["content"] == BLOCKED
    assert answer.events[-1] == "[DONE]"
    assert report.mismatches == []


async def test_the_live_stream_id_stands_in_place_of_the_recorded_one(stage: Stage) -> None:
    answer, _ = await stage.asked()
    again = await stage.bed.recording(answer.stream_id)
    old = stage.answer.stream_id
    assert old != answer.stream_id
    wire = b"".join(b"".join(again.wire("s2c", conn=conn)) for conn in connections(again))
    assert old.encode() not in wire and answer.stream_id.encode() in wire


async def test_a_block_that_is_held_back_is_lost(stage: Stage) -> None:
    answer, report = await stage.asked(replay.delay("grep:BLOCKED", 0.3))
    assert answer.events == ["[DONE]"]
    assert report.exit_status == 1
    assert any(mismatch.got == "closed before CHUNK was due" for mismatch in report.mismatches)
    again = await stage.bed.recording(answer.stream_id)
    assert messages(again, "CHUNK", "s2c") == []
    assert wsproxy.diagnose(again).exit_status == 1


async def test_with_no_delay_it_arrives_again(stage: Stage) -> None:
    answer, report = await stage.asked(replay.delay("grep:BLOCKED", 0))
    assert answer.events == stage.answer.events
    assert report.exit_status == 0


async def test_a_sweep_of_the_delay_finds_how_long_the_callback_listens(stage: Stage) -> None:
    """Told from the last chunk that went up, since the backend may have more chunks than the recorded run had time for."""
    (block,) = messages(stage.recording, "CHUNK", "s2c")
    answered = messages(stage.recording, "CHUNK", "c2s")
    delivered, lost = 0.0, 0.4
    after_last_chunk: dict[float, float] = {}
    while lost - delivered > PRECISION:
        delay = (delivered + lost) / 2
        answer, _ = await stage.asked(replay.delay("grep:BLOCKED", delay))
        up = messages(await stage.bed.recording(answer.stream_id), "CHUNK", "c2s")
        due = up[len(answered) - 1].t + (block.t - answered[-1].t) + delay * 1e9
        after_last_chunk[delay] = (due - up[-1].t) / 1e9
        if answer.folded.text == BLOCKED:
            delivered = delay
        else:
            lost = delay
    inside, outside = after_last_chunk[delivered] * 1e3, after_last_chunk[lost] * 1e3
    print(f"delivered {inside:.0f} ms after the last chunk, lost {outside:.0f} ms after it")
    assert inside >= 60
    assert outside <= 180


async def test_other_what_ifs_reach_the_client(stage: Stage) -> None:
    dropped, _ = await stage.asked(replay.drop("grep:BLOCKED"))
    assert dropped.events == ["[DONE]"]
    edited, _ = await stage.asked(replay.set_value("data.choices[0].delta.content", "ALLOWED"))
    assert edited.folded.text == "ALLOWED"
    twice, _ = await stage.asked(replay.duplicate("grep:BLOCKED"))
    assert twice.folded.text == BLOCKED * 2


def connections(recording: wsproxy.Recording) -> set[int]:
    return {conn for event in recording.events() if (conn := getattr(event, "conn", 0))}
