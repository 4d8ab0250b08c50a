"""The verdicts on streams that nobody made up: the real LiteLLM's samples, and the captures of the real pipeline."""

from __future__ import annotations

import pytest

from wsproxy.analysis.diagnose import Diagnosis, diagnose
from wsproxy.analysis.trace import trace
from wsproxy.recording.reader import Recording
from wsproxy.render.jsonl import dump

from ..recording.samples import NAMES, capture
from .stories import SAMPLES, Told


def judged(name: str) -> Diagnosis:
    return diagnose(Recording(SAMPLES / f"{name}.msgpack"))


def test_the_famous_bug_is_told_in_one_line_from_frames_alone() -> None:
    result = judged("blocked-lost")
    assert result.answer == (
        "LOST: the client stopped listening 105 ms after its last chunk (#6, 0.3448 s) and closed; the control plane "
        "had answered none of 7 chunks, so whatever its policy decided after 0.4500 s had nobody to read it."
    )
    main = result.main
    assert main is not None and (main.code, main.chunk, round(main.ms or 0)) == ("unanswered-at-close", 6, 105)
    assert main.unknown is not None and "policy.*" in main.unknown


def test_its_evidence_is_what_show_prints() -> None:
    shown = str(judged("blocked-lost")).splitlines()
    assert shown[1].split() == ["20", "0.3448", "→", "CHUNK", "490", "B", "usage=40", "tokens", "[deflate", "69", "B]"]
    assert [line.split()[0] for line in shown[1:5]] == ["20", "21", "22", "23"]


def test_a_block_that_was_delivered_is_healthy() -> None:
    result = judged("blocked-delivered")
    assert result.exit_status == 0
    assert result.answer.startswith(
        "nothing lost: blocked on purpose, and delivered: the BLOCKED chunk came at 0.2943 s"
    )


def test_a_policy_that_withholds_until_the_finish_loses_nothing() -> None:
    result = judged("allowed")
    assert (result.verdict, result.exit_status) == ("fine", 0)
    assert [one.code for one in result.findings if one.code.startswith("policy")] == ["policy-buffered"]


def test_a_long_stream_is_healthy_and_said_in_figures() -> None:
    assert "202 chunks up, 202 down, answered in 0.4 ms, at most 1.8 ms" in judged("long-compressed").answer


@pytest.mark.parametrize("name", NAMES)
def test_the_captures_of_litellm_1_77_get_the_same_verdicts(name: str) -> None:
    result = diagnose(Told(capture(name)))
    main = result.main.code if result.main else result.verdict
    assert main == {"blocked-lost": "unanswered-at-close"}.get(name, "fine"), str(result)
    if name == "blocked-lost":
        assert "102 ms after its last chunk (#1, 0.0976 s)" in result.answer


@pytest.mark.parametrize("name", ["allowed", "blocked-delivered", "blocked-lost", "long-compressed"])
def test_every_sample_prints_and_dumps(name: str) -> None:
    recording = Recording(SAMPLES / f"{name}.msgpack")
    for result in (diagnose(recording), trace(recording), trace(recording, chunk=2)):
        assert str(result)
        for line in result.to_json():
            assert dump(line).isascii()
