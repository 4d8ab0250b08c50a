"""What makes two chunks the same chunk."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given

from wsproxy.analysis.journey.chunks import BLOCKED, FINISH, TEXT, TOOL, UNKNOWN, digest, identify, missing, unwrap

from ..recording.samples import data_values
from .stories import block, tool_call, words


def test_defaults_that_a_validation_adds_change_nothing() -> None:
    lean = {"choices": [{"index": 0, "delta": {"content": "hi"}}], "model": "m", "created": 1}
    full = copy.deepcopy(lean) | {"usage": None, "system_fingerprint": None}
    full["choices"][0] |= {"logprobs": None, "finish_reason": None}  # type: ignore[index]
    full["choices"][0]["delta"] |= {"role": None, "tool_calls": None, "function_call": None}  # type: ignore[index]
    assert identify(lean) == identify(full)
    assert digest(lean) != digest(full)


def test_the_default_type_of_a_tool_call_changes_nothing() -> None:
    fragment = {"index": 0, "function": {"arguments": "{"}}
    bare = {"choices": [{"index": 0, "delta": {"tool_calls": [fragment]}}]}
    typed = {"choices": [{"index": 0, "delta": {"tool_calls": [fragment | {"type": "function", "id": None}]}}]}
    assert identify(bare).essence == identify(typed).essence


def test_the_real_chunks_of_a_stream_are_all_different() -> None:
    for chunks in (tool_call(), words(40)):
        assert len({identify(chunk).essence for chunk in chunks}) == len(chunks)


def test_flags_tell_what_a_chunk_has() -> None:
    assert identify(block()).flags == TEXT | FINISH | BLOCKED
    assert identify(tool_call()[0]).flags == TOOL
    assert identify(tool_call()[5]).flags == FINISH
    assert identify(tool_call()[6]).flags == 0  # usage


@pytest.mark.parametrize("text", ["BLOCKED by judge", "⛔ BLOCKED: no", "**BLOCKED**"])
def test_a_block_is_known_by_its_first_word(text: str) -> None:
    assert identify({"choices": [{"delta": {"content": text}}]}).flags & BLOCKED
    assert not identify({"choices": [{"delta": {"content": f"it was {text}"}}]}).flags & BLOCKED


def test_missing_fields_are_named() -> None:
    assert missing(identify({"id": 1}).flags) == ("choices", "model", "created")
    assert missing(identify(block()).flags) == ()


def test_a_marker_may_hold_the_chunk_in_three_ways() -> None:
    chunk = block()
    assert unwrap(chunk) == unwrap({"type": "CHUNK", "data": chunk}) == unwrap({"error": "x", "chunk": chunk}) == chunk
    assert unwrap({"type": "END"}) is None


@given(data_values)
def test_any_value_has_an_identity_and_never_raises(value: Any) -> None:
    for data in (value, {"choices": value}, {"choices": [value]}, {"choices": [{"delta": value, "index": value}]}):
        assert identify(data) == identify(copy.deepcopy(data))
        unwrap(data)
        digest(data)
    assert isinstance(value, dict) or identify(value) == UNKNOWN


def test_a_chunk_that_is_nested_too_deeply_is_unknown() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert identify({"choices": [{"delta": deep}]}).essence == 0
    assert digest(deep) is None
