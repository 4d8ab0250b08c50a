"""What `wsproxy diagnose` says of faults in the real pipeline: the code, the sentence, the exit status.

Strategy: the streams of both hooked beds, read through the command as a user would. The first line is the answer, and
it is asserted word for word, but for the numbers: LiteLLM 1.106 has one chunk more, the usage. The famous bug is also
asked for without any hook, from frames alone.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest

import wsproxy
from wsproxy.wire.events import C2S

from .bed import Bed, wsproxy_command
from .marked import Stream, Streams, told
from .questions import BLOCK_DELIVERED, BLOCK_LOST, SLOW_JUDGE

AT = r"\d+\.\d{4} s"
MS = r"[\d.]+ ms"

TOO_LATE = (
    rf"LOST: the client stopped listening {MS} after its last chunk \(#[56], {AT}\) and closed at {AT}; the policy's "
    rf"BLOCKED chunk came {MS} too late \({AT}\) and is on no wire, though the endpoint (says 'sent'|gave it to the closed connection) at {AT}\."
)
IN_TIME = (
    rf"nothing lost: blocked on purpose, and delivered: the BLOCKED chunk came at {AT} \(event \d+\), {MS} after chunk #5 "
    rf"\({AT}\), in place of 6 chunks; 6 chunks up, 1 down, .*"
)
RAISED = (
    rf"LOST: the (policy|endpoint) raised at {AT}, after \d chunks? in and 1 out: this policy always fails after its first "
    rf"chunk; ERROR went down at {AT}\."
)
UNMARKED = rf"LOST: the policy's chunk at {AT} has no choices, model: the client's validation refuses it\."
REJECTED = rf"LOST: the policy's chunk reached the callback and failed validation at {AT}: no choices, model\."
NO_JSON = rf"LOST: the control plane sent a message that the other side cannot use, at {AT}: not JSON\."
FRAMES_ALONE = (
    rf"LOST: the client stopped listening {MS} after its last chunk \(#[56], {AT}\) and closed; the control plane had "
    rf"answered none of [67] chunks, so whatever its policy decided after {AT} had nobody to read it\."
)
NO_CONTROL_PLANE = (
    r"LOST: the stream was never opened: the relay could not reach the control plane \(.*\); the callback lets everything "
    r"through unfiltered then\."
)


class Verdict(NamedTuple):
    """What was diagnosed: the first line for people, the same for programs, the findings, the exit status."""

    line: str
    main: dict[str, Any]
    findings: list[dict[str, Any]]
    status: int

    @property
    def codes(self) -> list[str]:
        return [finding["code"] for finding in self.findings]


async def diagnosed(recording: wsproxy.Recording) -> Verdict:
    status, (main, *findings) = await told("diagnose", recording)
    spoken_status, printed = await wsproxy_command("diagnose", str(recording.path))
    assert spoken_status == status
    return Verdict(printed.splitlines()[0], main, findings, status)


def of_close(seen: Stream) -> int:
    """When the callback's close frame went up."""
    return next(m.t for m in seen.recording.messages() if m.dir == C2S and m.close_code is not None)


async def test_a_slow_judges_block_is_too_late_and_on_no_wire_whatever_the_endpoint_says(streams: Streams) -> None:
    seen = streams["block lost"]
    verdict = await diagnosed(seen.recording)
    found = re.fullmatch(TOO_LATE, verdict.line)
    assert found, verdict.line
    refused = (
        "after_close" in seen.one("endpoint.chunk_out").data
    )  # the middleware sees it, a logger at the call site does not
    assert found[1] == ("gave it to the closed connection" if refused else "says 'sent'")
    assert (verdict.status, verdict.main["code"]) == (1, "too-late-never-sent")
    assert (verdict.main["chunk"], verdict.main["stage"]) == (5, "wire.s2c")
    late = seen.one("policy.chunk_out").t - of_close(seen)
    assert verdict.main["ms"] == pytest.approx(late / 1e6, abs=0.01)
    assert 0 < late < SLOW_JUDGE * 1e9
    assert seen.answer.events == ["[DONE]"]


async def test_a_fast_judges_block_is_healthy(streams: Streams) -> None:
    verdict = await diagnosed(streams["block delivered"].recording)
    assert re.fullmatch(IN_TIME, verdict.line), verdict.line
    assert (verdict.status, verdict.main["verdict"]) == (0, "fine")
    assert "blocked" in verdict.codes
    assert "frames-alone" not in verdict.codes  # it was followed to the client, not to the wire only


async def test_a_policy_that_raises_is_named_with_its_exception(streams: Streams) -> None:
    verdict = await diagnosed(streams["policy fails"].recording)
    assert re.fullmatch(RAISED, verdict.line), verdict.line
    assert (verdict.status, verdict.main["code"]) == (1, "policy-raised")


async def test_a_chunk_that_the_callback_rejects_is_named_with_what_it_lacks(streams: Streams) -> None:
    seen = streams["chunk incomplete"]
    verdict = await diagnosed(seen.recording)
    sentence = REJECTED if seen.markers("client.rejected") else UNMARKED
    assert re.fullmatch(sentence, verdict.line), verdict.line
    assert (verdict.status, verdict.main["code"], verdict.main["chunk"]) == (1, "failed-validation", 1)
    assert ", this is " not in seen.answer.folded.text


async def test_a_chunk_that_is_no_json_is_found(streams: Streams) -> None:
    verdict = await diagnosed(streams["chunk garbled"].recording)
    assert re.fullmatch(NO_JSON, verdict.line), verdict.line
    assert (verdict.status, verdict.main["code"]) == (1, "not-json")


async def test_a_client_that_leaves_first_has_lost_nothing(streams: Streams) -> None:
    seen = streams["client leaves"]
    verdict = await diagnosed(seen.recording)
    assert verdict.line.startswith("nothing lost: ")
    assert verdict.status == 0
    # LiteLLM 1.106 ends the callback's stream at once; 1.77 plays it to its end for nobody.
    left = len(seen.at("wire.c2s")) < 200
    assert ("client-left" in verdict.codes) is left
    assert bool(seen.markers("callback.completed")[-1].data.get("closed_early")) is left


@pytest.mark.parametrize("name", ["passed", "shouted", "tool allowed"])
async def test_a_healthy_stream_has_lost_nothing(streams: Streams, name: str) -> None:
    verdict = await diagnosed(streams[name].recording)
    assert verdict.line.startswith("nothing lost: ")
    assert (verdict.status, verdict.main["verdict"]) == (0, "fine")


@pytest.mark.asyncio(loop_scope="session")
async def test_without_hooks_the_famous_bug_is_told_as_far_as_the_wire_knows(relayed_bed: Bed) -> None:
    lost = await relayed_bed.recording((await relayed_bed.ask(BLOCK_LOST)).stream_id)
    verdict = await diagnosed(lost)
    assert re.fullmatch(FRAMES_ALONE, verdict.line), verdict.line
    assert (verdict.status, verdict.main["code"]) == (1, "unanswered-at-close")
    assert any("policy.* marks would tell" in (finding["unknown"] or "") for finding in verdict.findings)
    delivered = await relayed_bed.recording((await relayed_bed.ask(BLOCK_DELIVERED)).stream_id)
    healthy = await diagnosed(delivered)
    assert healthy.status == 0
    assert "blocked on purpose, and delivered" in healthy.line


@pytest.mark.asyncio(loop_scope="session")
async def test_an_absent_control_plane_is_told_with_what_passed_unfiltered(no_code: Streams) -> None:
    bed = no_code.bed
    async with bed.control_plane_absent():
        answer = await bed.ask(BLOCK_DELIVERED)
        recording = await bed.recording(answer.stream_id, marked=["callback.completed"])
    verdict = await diagnosed(recording)
    assert re.fullmatch(NO_CONTROL_PLANE, verdict.line), verdict.line
    assert (verdict.status, verdict.main["code"]) == (1, "connection-refused")
    seen = Stream(answer, recording)
    assert len(seen.at("client.to_client")) == len(seen.at("callback.backend_chunk")) > 5


async def test_several_recordings_get_a_line_each_and_a_summary_by_cause(streams: Streams) -> None:
    causes = {"block delivered": "", "block lost": "too-late-never-sent", "policy fails": "policy-raised"}
    recordings = [str(streams[name].recording.path) for name in causes]
    status, printed = await wsproxy_command("diagnose", *recordings)
    lines = printed.splitlines()
    assert status == 1
    for name, line in zip(causes, lines, strict=False):
        stream_id, word, *rest = line.split()
        assert streams[name].answer.stream_id.startswith(stream_id)
        assert (word, rest[0].rstrip(":")) == (("LOST", causes[name]) if causes[name] else ("ok", "blocked"))
    assert lines[3] == "3 recordings: 1 with nothing lost, 2 lost something"
    assert "1  policy-raised: the policy or the endpoint raised" in printed
