"""What the client gets, with a relay in the pipeline and without one: every test here runs on both beds.

Strategy: a conversation per policy. The famous bug is among them as a fact: a block that comes too late is not there,
while the control plane's own log says that it was sent.
"""

from __future__ import annotations

import asyncio

import pytest

from .bed import Bed
from .journal import Line
from .questions import (
    BLOCK_AWAITED,
    BLOCK_DELIVERED,
    BLOCK_LOST,
    BLOCKED,
    LONG,
    PASSED,
    POLICY_FAILS,
    SHOUTED,
    SLOW_JUDGE,
    SQL,
    TEXT,
    TOOL_ALLOWED,
    TOOL_PASSED,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_passed_text_reaches_the_client_delta_by_delta(bed: Bed) -> None:
    answer = await bed.ask(PASSED)
    assert answer.status == 200
    assert answer.folded.text == TEXT
    assert answer.folded.finish_reasons == ["stop"]
    assert len(answer.chunks) == 7
    assert answer.events[-1] == "[DONE]"


async def test_a_rewritten_text_reaches_the_client(bed: Bed) -> None:
    answer = await bed.ask(SHOUTED)
    assert answer.folded.text == TEXT.upper()
    assert answer.events[-1] == "[DONE]"


async def test_two_hundred_deltas_reach_the_client_in_order(bed: Bed) -> None:
    answer = await bed.ask(LONG)
    numbers = [int(word.rpartition("-")[2]) for word in answer.folded.text.split()]
    assert numbers == list(range(200))


async def test_a_passed_tool_call_reaches_the_client_in_its_fragments(bed: Bed) -> None:
    answer = await bed.ask(TOOL_PASSED)
    assert answer.folded.tool_arguments == SQL
    assert answer.folded.finish_reasons == ["tool_calls"]
    assert len(answer.chunks) > 2


async def test_a_tool_call_that_the_judge_allows_reaches_the_client_whole(bed: Bed) -> None:
    answer = await bed.ask(TOOL_ALLOWED)
    assert answer.folded.tool_arguments == SQL
    assert answer.folded.finish_reasons == ["tool_calls"]


async def test_a_fast_judges_block_reaches_the_client_instead_of_the_tool_call(bed: Bed) -> None:
    answer = await bed.ask(BLOCK_DELIVERED)
    assert answer.folded.text == BLOCKED
    assert answer.folded.tool_arguments == ""
    assert answer.events[-1] == "[DONE]"


async def test_a_slow_judges_block_is_lost_and_the_client_sees_only_done(bed: Bed) -> None:
    answer = await bed.ask(BLOCK_LOST)
    assert answer.status == 200
    assert answer.events == ["[DONE]"]


async def test_a_lost_block_is_logged_as_sent_after_the_callback_had_closed(bed: Bed) -> None:
    answer = await bed.ask(BLOCK_LOST)
    control_plane = await bed.control_plane.lines_until(answer.stream_id, "finished")
    callback = bed.callback.lines(answer.stream_id)
    said = [line for line in control_plane if line.event == "says_sent" and BLOCKED in line.text]
    assert len(said) == 1
    assert said[0].t_ns > one(callback, "closed").t_ns
    assert "sent" not in {line.event for line in control_plane}
    assert "received" not in {line.event for line in callback}


async def test_the_callback_stops_listening_a_hundred_milliseconds_after_its_last_chunk(bed: Bed) -> None:
    answer = await bed.ask(BLOCK_LOST)
    sent = [line for line in bed.callback.lines(answer.stream_id) if line.event == "sent"]
    *_, last_chunk, end = sent
    assert (last_chunk.type, end.type) == ("CHUNK", "END")
    deadline = (end.t_ns - last_chunk.t_ns) / 1e9
    assert 0.1 <= deadline < SLOW_JUDGE


async def test_the_fixed_callback_waits_for_the_slow_judge(bed: Bed) -> None:
    answer = await bed.ask(BLOCK_AWAITED)
    assert answer.folded.text == BLOCKED
    assert answer.events[-1] == "[DONE]"
    assert answer.seconds > SLOW_JUDGE


async def test_a_policy_that_fails_ends_the_stream_after_what_it_had_let_through(bed: Bed) -> None:
    answer = await bed.ask(POLICY_FAILS)
    assert answer.folded.text == "Hello"
    assert answer.events[-1] == "[DONE]"
    # The callback need not have read it: websockets 13 drops what is unread when the connection closes.
    await bed.control_plane.lines_until(answer.stream_id, "finished")
    assert '"type":"ERROR"' in bed.control_plane.texts(answer.stream_id, "sent")[-1]


async def test_an_answer_in_one_piece_is_decided_by_the_same_policies(bed: Bed) -> None:
    passed, shouted = await bed.ask(PASSED, stream=False), await bed.ask(SHOUTED, stream=False)
    assert passed.choice["message"]["content"] == TEXT
    assert shouted.choice["message"]["content"] == TEXT.upper()


async def test_in_one_piece_even_a_slow_judge_is_heard(bed: Bed) -> None:
    blocked, allowed = await bed.ask(BLOCK_LOST, stream=False), await bed.ask(TOOL_ALLOWED, stream=False)
    assert blocked.choice["message"]["content"] == BLOCKED
    assert blocked.choice["finish_reason"] == "stop"
    assert allowed.choice["message"]["tool_calls"][0]["function"]["arguments"] == SQL


async def test_twenty_streams_at_once_get_each_its_own_answer(bed: Bed) -> None:
    questions = [PASSED, SHOUTED] * 10
    answers = await asyncio.gather(*map(bed.ask, questions))
    assert [answer.folded.text for answer in answers] == [TEXT, TEXT.upper()] * 10
    assert len({answer.stream_id for answer in answers}) == 20


async def test_without_a_control_plane_the_answer_passes_unfiltered(bed: Bed) -> None:
    async with bed.control_plane_absent():
        answer = await bed.ask(BLOCK_DELIVERED)
    assert answer.folded.tool_arguments == SQL
    assert one(bed.callback.lines(answer.stream_id), "unfiltered")


def one(lines: list[Line], event: str) -> Line:
    (found,) = (line for line in lines if line.event == event)
    return found
