"""What the relay recorded is what both ends say that they sent and got.

Strategy: the journals of the callback and the control plane hold the exact text of every message; a recording is held
against both. The relay knows nothing of the journals, and they know nothing of it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

import wsproxy
from wsproxy.wire.events import Body, Request, Response

from .bed import Bed, Question, wsproxy_command
from .questions import BLOCK_DELIVERED, BLOCK_LOST, BLOCKED, LONG, PASSED, QUESTIONS, SHOUTED, SQL

pytestmark = pytest.mark.asyncio(loop_scope="session")

TEXT_FRAME, CLOSE_FRAME = 0x1, 0x8


def texts(recording: wsproxy.Recording, dir: str) -> list[str]:
    return [m.text for m in recording.messages() if m.dir == dir and m.opcode == TEXT_FRAME]


def hook_bodies(recording: wsproxy.Recording, dir: str) -> list[str]:
    """The bodies of the HTTP exchanges, in order of their connections."""
    bodies: dict[tuple[int, int], bytes] = defaultdict(bytes)
    for event in recording.events():
        if isinstance(event, Body) and event.dir == dir:
            bodies[event.conn, event.exchange] += event.raw
    return [bodies[key].decode() for key in sorted(bodies)]


async def assert_exact(bed: Bed, stream_id: str) -> wsproxy.Recording:
    """The recording of a stream has the messages and hooks that both journals have, in order."""
    recording = await bed.recording(stream_id)
    await bed.control_plane.lines_until(stream_id, "finished")
    up, down = texts(recording, "c2s"), texts(recording, "s2c")
    assert up == bed.callback.texts(stream_id, "sent")
    assert down == bed.control_plane.texts(stream_id, "sent")
    # What passed is recorded, whether or not the other end still read it.
    got_up = bed.control_plane.texts(stream_id, "received")
    got_down = bed.callback.texts(stream_id, "received")
    assert got_up == up[: len(got_up)]
    assert got_down == down[: len(got_down)]
    assert len(up) > 2 and len(hook_bodies(recording, "c2s")) > 0
    assert hook_bodies(recording, "c2s") == bed.callback.texts(stream_id, "hook_sent")
    assert hook_bodies(recording, "c2s") == bed.control_plane.texts(stream_id, "hook_received")
    assert hook_bodies(recording, "s2c") == bed.callback.texts(stream_id, "hook_received")
    return recording


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
async def test_the_recording_of_a_stream_is_what_both_ends_say(relayed_bed: Bed, question: Question) -> None:
    stream_id = (await relayed_bed.ask(question)).stream_id
    recording = await assert_exact(relayed_bed, stream_id)
    assert recording.header.stream_id == stream_id
    assert recording.path.name.endswith(f"-{stream_id}.msgpack")
    assert [message.error for message in recording.messages() if message.error] == []


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
async def test_verify_finds_the_recording_of_a_stream_whole_and_exact(relayed_bed: Bed, question: Question) -> None:
    recording = await relayed_bed.recording((await relayed_bed.ask(question)).stream_id)
    status, printed = await wsproxy_command("verify", str(recording.path))
    assert status == 0, printed


async def test_twenty_streams_at_once_have_twenty_exact_recordings(relayed_bed: Bed) -> None:
    questions = [PASSED, SHOUTED, BLOCK_LOST, LONG] * 5
    answers = await asyncio.gather(*map(relayed_bed.ask, questions))
    recordings = [await assert_exact(relayed_bed, answer.stream_id) for answer in answers]
    assert len({recording.path for recording in recordings}) == 20


async def test_a_client_that_leaves_first_has_an_exact_recording_too(relayed_bed: Bed) -> None:
    # LiteLLM 1.106 closes the callback's stream at once; 1.77 plays it to its end for nobody.
    answer = await relayed_bed.ask(LONG, leave_after=10)
    await relayed_bed.callback.lines_until(answer.stream_id, "closed")
    recording = await relayed_bed.recording(answer.stream_id)
    up, down = texts(recording, "c2s"), texts(recording, "s2c")
    assert up == relayed_bed.callback.texts(answer.stream_id, "sent")
    assert len(up) >= 5
    received = relayed_bed.callback.texts(answer.stream_id, "received")
    assert received and received == down[: len(received)]
    status, printed = await wsproxy_command("verify", str(recording.path))
    assert status == 0, printed


async def test_a_delivered_block_is_recorded_on_the_wire(relayed_bed: Bed) -> None:
    recording = await relayed_bed.recording((await relayed_bed.ask(BLOCK_DELIVERED)).stream_id)
    assert BLOCKED in texts(recording, "s2c")[0]


async def test_a_lost_block_was_never_on_the_wire_whatever_the_log_says(relayed_bed: Bed) -> None:
    stream_id = (await relayed_bed.ask(BLOCK_LOST)).stream_id
    recording = await relayed_bed.recording(stream_id)
    await relayed_bed.control_plane.lines_until(stream_id, "finished")
    assert texts(recording, "s2c") == []
    assert any(BLOCKED in text for text in relayed_bed.control_plane.texts(stream_id, "says_sent"))
    closes = [message for message in recording.messages() if message.opcode == CLOSE_FRAME]
    assert [(message.dir, message.close_code) for message in closes] == [("c2s", 1000), ("s2c", 1000)]


async def test_the_recording_shows_the_callbacks_deadline(relayed_bed: Bed) -> None:
    recording = await relayed_bed.recording((await relayed_bed.ask(BLOCK_LOST)).stream_id)
    *_, last_chunk, end = (m for m in recording.messages() if m.dir == "c2s" and m.opcode == TEXT_FRAME)
    assert (last_chunk.json["type"], end.json["type"]) == ("CHUNK", "END")
    assert 0.1e9 <= end.t - last_chunk.t < BLOCK_LOST.judge_delay * 1e9


async def test_the_stream_is_compressed_with_context_takeover_as_both_ends_agreed(relayed_bed: Bed) -> None:
    recording = await relayed_bed.recording((await relayed_bed.ask(LONG)).stream_id)
    late = [m for m in recording.messages() if m.opcode == TEXT_FRAME][-50:]
    assert all(message.compressed for message in late)
    assert all(message.wire < len(message.data) / 4 for message in late if message.json["type"] == "CHUNK")


async def test_a_call_in_one_piece_has_a_recording_of_its_hooks(relayed_bed: Bed) -> None:
    stream_id = (await relayed_bed.ask(PASSED, stream=False)).stream_id
    recording = await relayed_bed.recording(stream_id)
    targets = [event.target for event in recording.events() if isinstance(event, Request)]
    assert targets == ["/api/hooks/async_pre_call_hook", "/api/hooks/async_post_call_success_hook"]
    assert hook_bodies(recording, "c2s") == relayed_bed.callback.texts(stream_id, "hook_sent")
    assert hook_bodies(recording, "s2c") == relayed_bed.callback.texts(stream_id, "hook_received")


async def test_the_recording_holds_the_credentials_as_evidence(relayed_bed: Bed) -> None:
    recording = await relayed_bed.recording((await relayed_bed.ask(PASSED)).stream_id)
    start = texts(recording, "c2s")[0]
    assert relayed_bed.client_key in start
    assert relayed_bed.provider_key in start


async def test_an_absent_control_plane_is_recorded_as_502_and_lets_everything_through(
    relayed_bed: Bed,
) -> None:
    async with relayed_bed.control_plane_absent():
        answer = await relayed_bed.ask(BLOCK_DELIVERED)
        recording = await relayed_bed.recording(answer.stream_id)
    assert answer.folded.tool_arguments == SQL
    upgrade = f"/stream/{answer.stream_id}"
    events = list(recording.events())
    assert upgrade in [event.target for event in events if isinstance(event, Request)]
    responses = [event for event in events if isinstance(event, Response)]
    assert responses and {(response.status, response.by) for response in responses} == {(502, "relay")}
    status, printed = await wsproxy_command("verify", str(recording.path))
    assert status == 0, printed
