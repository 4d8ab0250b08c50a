"""The whole pipeline in real processes: what a policy decides, and what the client gets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from wsproxy.demo.callback import post_hook
from wsproxy.demo.pipeline import HARMFUL, HARMLESS, PartFailed, Pipeline
from wsproxy.demo.process import running

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXT = "Hello, this is the demo's backend: all is well \u2615\u00e9."
BLOCKED = "BLOCKED by judge (p=0.97): destructive SQL (DROP)"
TOOL_CALL = '{"query": "DROP TABLE users"}'
ROOT = Path(__file__).resolve().parents[2]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def judged() -> AsyncIterator[Pipeline]:
    """A pipeline with the judge policy and the bug; a question says how slow its judge is."""
    async with Pipeline("judge", relay=False) as pipeline:
        yield pipeline


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_text_passes_the_judge(judged: Pipeline) -> None:
    answer = await judged.ask(HARMLESS)
    assert (answer.text, answer.finish_reasons, answer.done) == (TEXT, ("stop",), True)


async def test_a_fast_block_is_delivered(judged: Pipeline) -> None:
    answer = await judged.ask(HARMFUL, judge_delay=0.005)
    assert (answer.text, answer.tool_arguments, answer.done) == (BLOCKED, "", True)


async def test_a_slow_block_is_decided_and_logged_as_sent_and_never_arrives(judged: Pipeline) -> None:
    answer = await judged.ask(HARMFUL, judge_delay=0.3)
    finished = time.time()
    assert (answer.chunks, answer.done) == ((), True)
    decision = await judged.decision(answer.stream_id)
    assert decision is not None
    assert (decision.decided, decision.text) == ("blocked", BLOCKED)
    assert decision.sent_at is not None and decision.sent_at > finished
    assert f"[{answer.stream_id}] policy judge blocked, sent chunk" in judged.log("control_plane")


async def test_a_block_of_a_response_in_one_piece_is_delivered_however_slow(judged: Pipeline) -> None:
    answer = await judged.ask(HARMFUL, stream=False, judge_delay=0.3)
    assert (answer.text, answer.tool_arguments) == (BLOCKED, "")


async def test_many_at_once_each_get_their_own(tmp_path: Path) -> None:
    prompts = [HARMLESS, HARMFUL] * 10
    # The callback without the bug: twenty at once on a busy machine may well take the 100 ms after which the other one leaves.
    async with Pipeline("judge", judge_delay=0.005, fixed=True, out=tmp_path) as pipeline:
        answers = await asyncio.gather(*(pipeline.ask(prompt) for prompt in prompts))
        decided = {one.stream_id: one.text for one in await pipeline.decisions()}
    assert [answer.text for answer in answers] == [TEXT, BLOCKED] * 10
    assert all(decided[answer.stream_id] == answer.text for answer in answers)


async def test_a_question_asked_twice_is_answered_alike(judged: Pipeline) -> None:
    once, again = [await judged.ask(HARMLESS) for _ in range(2)]
    assert once.chunks == again.chunks
    assert once.stream_id != again.stream_id


async def test_a_client_that_leaves_first_is_forgotten_in_peace(judged: Pipeline) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": "a long one"}], "stream": True}
    async with aiohttp.ClientSession() as session:
        response = await session.post(f"{judged.proxy_url}/v1/chat/completions", json=body)
        await response.content.readline()
        response.close()
    decision = await judged.decision(response.headers["x-litellm-call-id"])
    assert decision is not None and 0 < decision.chunks < 200
    assert "Traceback" not in judged.log("proxy") + judged.log("control_plane")


async def test_a_stream_that_does_not_begin_with_start_is_refused_with_1002(judged: Pipeline) -> None:
    url = f"{judged.control_plane_url}/stream/x"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as ws:
        await ws.send_json({"type": "CHUNK", "data": {}})
        assert (await ws.receive()).type is aiohttp.WSMsgType.CLOSE
        assert ws.close_code == 1002


async def test_a_hook_is_answered_with_its_own_body(judged: Pipeline) -> None:
    body = {"data": {"litellm_call_id": "x"}}
    assert await post_hook(judged.control_plane_url, "async_pre_call_hook", body) == body


async def test_allcaps_rewrites_the_text() -> None:
    async with Pipeline("allcaps", relay=False) as pipeline:
        assert (await pipeline.ask(HARMLESS)).text == TEXT.upper()


async def test_a_policy_that_raises_ends_the_stream_after_what_it_put_out() -> None:
    async with Pipeline("raises", relay=False) as pipeline:
        answer = await pipeline.ask(HARMLESS)
        assert (answer.text, answer.done) == ("Hello", True)
        decision = await pipeline.decision(answer.stream_id)
        assert decision is not None and decision.decided == "failed"


async def test_without_a_control_plane_everything_passes_unfiltered(judged: Pipeline, tmp_path: Path) -> None:
    closed = "http://127.0.0.1:9"
    arguments = ["wsproxy.demo.proxy", "--backend", judged.backend_url, "--control-plane", closed]
    async with running("proxy", arguments, log=tmp_path / "log") as proxy, aiohttp.ClientSession() as session:
        body = {"model": "demo", "messages": [{"role": "user", "content": HARMFUL}], "stream": True}
        async with session.post(f"{proxy.url}/v1/chat/completions", json=body) as response:
            text = await response.text()
    events = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert events.pop() == "[DONE]"
    assert json.loads(events[-1])["choices"][0]["finish_reason"] == "tool_calls"
    assert "UNFILTERED" in (tmp_path / "log").read_text()


async def test_noop_changes_nothing_and_leaving_ends_every_part_quietly() -> None:
    async with Pipeline("noop", relay=False) as pipeline:
        assert (await pipeline.ask(HARMLESS)).text == TEXT
        assert (await pipeline.ask(HARMFUL)).tool_arguments == TOOL_CALL
        processes = [part.process for part in pipeline.parts.values()]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert not any(alive(process.pid) for process in processes)


async def test_a_part_that_does_not_come_up_is_named_and_takes_the_others_with_it() -> None:
    pipeline = Pipeline("no-such-policy", relay=False)
    with pytest.raises(PartFailed, match=r"control_plane ended(.|\n)*no-such-policy"):
        await pipeline.__aenter__()
    assert list(pipeline.parts) == ["backend"]
    assert not alive(pipeline.parts["backend"].process.pid)


async def test_a_relay_that_does_not_come_up_is_named_too(tmp_path: Path) -> None:
    with pytest.raises(PartFailed, match=r"relay ended before it was ready\n +.+"):
        async with Pipeline("noop", out=tmp_path, relay_arguments=["--no-such-option"]):
            pass


async def test_ctrl_c_leaves_nothing_behind() -> None:
    program = """
import asyncio
from wsproxy.demo.callback import post_hook
from wsproxy.demo.pipeline import Pipeline
async def main():
    async with Pipeline("noop", relay=False) as pipeline:
        print(*(part.process.pid for part in pipeline.parts.values()), flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in (await parent.stdout.readline()).split()]
    parent.send_signal(signal.SIGINT)
    await parent.communicate()
    assert len(pids) == 3
    assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("fixed", [False, True])
async def test_through_the_relay_only_fixed_delivers_the_slow_block_and_all_is_recorded(
    fixed: bool, tmp_path: Path
) -> None:
    async with Pipeline("judge", fixed=fixed, out=tmp_path) as pipeline:
        harmless = await pipeline.ask(HARMLESS)
        harmful = await pipeline.ask(HARMFUL)
        assert (harmless.text, harmful.text) == (TEXT, BLOCKED if fixed else "")
        await pipeline.decision(harmful.stream_id)
    recorded = " ".join(os.listdir(tmp_path))
    assert harmless.stream_id in recorded
    assert harmful.stream_id in recorded
