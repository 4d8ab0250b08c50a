"""Hooks whose relay is absent, silent, failing, strange or restarted: the pipeline does as without hooks, and as fast.

Strategy: one hooked bed, whose WSPROXY_MARKERS points to a gate that can be in any of these moods, so that LiteLLM
starts once. No relay stands between LiteLLM and its control plane there: the hooks are all that is different from the
bed without any, with which each answer, each deadline and each duration is compared. Every test begins with a relay
that is well, and ends by finding there what the hooks have to say of the time in which it was not.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import pytest
import pytest_asyncio

import wsproxy
from wsproxy.demo.process import Part
from wsproxy.recording.events import Marker

from .bed import Answer, Bed, relay
from .markers_gate import Gate, Mood, failing, passing_to, silent
from .questions import BLOCK_DELIVERED, BLOCK_LOST, LONG, PASSED, SHOUTED, SLOW_JUDGE

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOKEN, ANOTHER = "the-right-token", "another-token"
WAIT_SECONDS = 30.0
POLL_SECONDS = 0.05
TIMES = 5
ROUNDS = 3
UPSTREAM = "ws://127.0.0.1:9"  # of relays that get markers only


@dataclass
class Gated:
    """A hooked bed, the gate to which its hooks send, and behind it a relay with their token and one with another."""

    bed: Bed
    gate: Gate
    out: Path
    well: Mood
    strange: Mood
    strange_out: Path

    async def marker(self, stream_id: str, stage: str) -> Marker:
        """A marker of a stream, once the relay that is well has it."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            for path in self.out.glob(f"*-{stream_id}.msgpack"):
                for marker in wsproxy.open(path).markers():
                    if marker.stage == stage:
                        return marker
            await asyncio.sleep(POLL_SECONDS)
        raise TimeoutError(f"no {stage} of {stream_id} in {self.out}")

    async def be_well(self) -> None:
        """Let markers pass, and wait until they do, from both processes."""
        await self.gate.set(self.well)
        answer = await self.bed.ask(PASSED)
        await asyncio.gather(*(self.marker(answer.stream_id, stage) for stage in ("callback.completed", "policy.end")))

    async def logged(self, words: str) -> None:
        """Wait until LiteLLM's log has these words."""
        deadline = time.monotonic() + WAIT_SECONDS
        while words not in self.bed.litellm_log.read_text(errors="replace"):
            assert time.monotonic() < deadline, f"not in {self.bed.litellm_log}: {words}"
            await asyncio.sleep(POLL_SECONDS)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gated(litellm_is_installed: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gated]:
    folder = tmp_path_factory.mktemp("gated")
    async with AsyncExitStack() as stack:

        async def behind(name: str, token: str) -> Mood:
            starting = relay(folder / f"{name}.log", out=folder / name, upstream=UPSTREAM, token=token)
            return passing_to((await stack.enter_async_context(starting)).ready["control_port"])

        well, strange = await behind("well", TOKEN), await behind("strange", ANOTHER)
        gate = await stack.enter_async_context(Gate())
        await gate.set(well)
        bed = Bed(folder, relay=False, hooks="no code", markers_url=gate.url, markers_token=TOKEN)
        yield Gated(await stack.enter_async_context(bed), gate, folder / "well", well, strange, folder / "strange")


def timeless(answer: Answer) -> list[str]:
    """The lines that the client got, but for `created`, which LiteLLM makes up."""
    return [re.sub(r'"created":\d+,', "", line) for line in answer.lines]


def deadline(bed: Bed, answer: Answer) -> float:
    """How long the callback listened after its last chunk, in seconds."""
    *_, last_chunk, end = (line for line in bed.callback.lines(answer.stream_id) if line.event == "sent")
    assert (last_chunk.type, end.type) == ("CHUNK", "END")
    return (end.t_ns - last_chunk.t_ns) / 1e9


async def durations(*beds: Bed) -> list[float]:
    """The median duration of a stream on each bed, in seconds; asked in turns, so that all share what the machine does."""
    taken: list[list[float]] = [[] for _ in beds]
    for _ in range(TIMES):
        for bed, seconds in zip(beds, taken, strict=True):
            seconds.append((await bed.ask(PASSED)).seconds)
    return [median(seconds) for seconds in taken]


def of(gated: Gated) -> dict[str, Mood | None]:
    return {"well": gated.well, "absent": None, "silent": silent, "failing": failing, "strange": gated.strange}


MOODS = {
    "well": "callback.completed",
    "absent": "callback.completed",  # what was never heard of is sent again when the relay is there
    "silent": "callback.completed",  # it has not even told its clock, which is asked for first
    "failing": "hooks.dropped",
    "strange": "hooks.dropped",
}
"""The moods, and what the hooks tell of a stream of that time when the relay is well again."""

SAID = {"absent": "ConnectionRefusedError", "failing": "it answers 500", "strange": "is WSPROXY_TOKEN right?"}
"""What LiteLLM's log says of it, in one line."""


@pytest.mark.parametrize("mood", MOODS)
async def test_the_pipeline_does_not_feel_how_the_relay_of_its_markers_is(
    direct_bed: Bed, gated: Gated, mood: str
) -> None:
    await gated.be_well()
    await gated.gate.set(of(gated)[mood])
    answers = []
    for question in (SHOUTED, BLOCK_DELIVERED, BLOCK_LOST):
        plain, hooked = await direct_bed.ask(question), await gated.bed.ask(question)
        assert timeless(hooked) == timeless(plain)
        assert hooked.events[-1] == "[DONE]"
        answers.append(hooked)
    assert 0.1 <= deadline(gated.bed, answers[-1]) < SLOW_JUDGE
    assert 0.1 <= deadline(direct_bed, plain) < SLOW_JUDGE

    for _ in range(ROUNDS):  # a machine that is busy elsewhere is not what is asked about
        without, with_hooks = await durations(direct_bed, gated.bed)
        if with_hooks < 2 * without + 0.05:
            break
    assert with_hooks < 2 * without + 0.05

    # It was felt by the hooks, and they say so: once in the log, and in the recording of what they could not tell.
    if mood != "absent":
        await gated.gate.felt_until(1)
    if mood in SAID:
        await gated.logged(SAID[mood])
    await gated.gate.set(gated.well)
    assert not list(gated.strange_out.glob("*.msgpack"))  # whoever has not its token leaves nothing there
    told = await gated.marker(answers[0].stream_id, MOODS[mood])
    assert told.stage != "hooks.dropped" or told.data["count"] > 0


async def test_a_relay_that_is_killed_and_started_again_is_not_felt_in_the_middle_of_a_stream(
    direct_bed: Bed, gated: Gated, tmp_path: Path
) -> None:
    def start(name: str) -> AbstractAsyncContextManager[Part]:
        return relay(tmp_path / f"{name}.log", out=tmp_path / name, upstream=UPSTREAM, token=TOKEN)

    await gated.be_well()
    async with start("first") as first:
        await gated.gate.set(passing_to(first.ready["control_port"]))
        asking = asyncio.create_task(gated.bed.ask(LONG))
        await gated.gate.felt_until(1)
        first.process.kill()
        await first.process.wait()
        assert not asking.done()
        await gated.gate.set(None)
        async with start("second") as second:
            await gated.gate.set(passing_to(second.ready["control_port"]))
            answer = await asking
            assert timeless(answer) == timeless(await direct_bed.ask(LONG))
            await replace(gated, out=tmp_path / "second").marker(answer.stream_id, "callback.completed")
