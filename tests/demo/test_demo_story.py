"""The story: what a person is told."""

from __future__ import annotations

from dataclasses import replace

from wsproxy.demo.outcome import Answer, Decision
from wsproxy.demo.story import tell

BLOCK = Decision(
    "id",
    "judge",
    "blocked",
    "BLOCKED by judge (p=0.97): no",
    "",
    1,
    at=10.3,
    sent_at=10.312,
    last_chunk_at=10.0,
)
NOTHING = Answer("id", "", "", (), (), done=True, seconds=0.365)


def test_a_lost_block_is_a_disagreement_with_its_time() -> None:
    story = tell("delete it", NOTHING, BLOCK)
    assert not story.agree
    assert "312 ms after the last chunk came in" in str(story)
    assert "nothing, then [DONE] after 365 ms" in str(story)
    assert "do NOT agree" in story.conclusion
    assert "the block; it never reached the client" in story.conclusion


def test_a_delivered_block_is_an_agreement() -> None:
    story = tell("delete it", replace(NOTHING, text=BLOCK.text), BLOCK)
    assert story.agree
    assert "They agree" in story.conclusion


def test_part_of_a_text_is_not_the_text() -> None:
    passed = replace(BLOCK, decided="passed", text="Hello there")
    assert not tell("hello", replace(NOTHING, text="Hello"), passed).agree


def test_no_decision_and_a_full_answer_is_unfiltered() -> None:
    story = tell("hello", replace(NOTHING, text="Hello"), None)
    assert not story.agree
    assert "unfiltered" in story.conclusion


def test_a_tool_call_is_shown_by_its_arguments() -> None:
    story = tell("delete it", replace(NOTHING, tool_arguments='{"query": 1}'), None)
    assert 'a tool call with {"query": 1}' in str(story)


def test_long_texts_are_shortened() -> None:
    story = tell("x" * 5000, NOTHING, replace(BLOCK, text="y" * 5000))
    assert all(len(line) < 200 for line in str(story).splitlines())
