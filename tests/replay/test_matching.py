"""What counts as a difference, and how it is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.recording.messages import Message
from wsproxy.replay.matching import Difference, Judge, Match

CHUNK = {"type": "CHUNK", "data": {"id": "x1", "created": 1, "choices": [{"delta": {"content": "a"}}]}}


def message(data: Any, opcode: int = 1) -> Message:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Message(1, 1, "c2s", 0, 0, opcode, raw, False, 1, len(raw))


def other(**changes: Any) -> dict[str, Any]:
    return {**CHUNK, "data": {**CHUNK["data"], **changes}}  # type: ignore[dict-item]


CASES: list[tuple[Match, Any, Any, tuple[str, str, str] | None]] = [
    ("shape", CHUNK, other(choices=[]), None),
    ("shape", CHUNK, {"type": "END"}, ("type", "CHUNK", "END")),
    ("shape", CHUNK, b"no json", ("json", "JSON", "no json")),
    ("shape", b"some", b"other", None),
    ("shape", {"a": 1}, [1], ("type", "a JSON object", "a JSON array")),
    ("strict", CHUNK, other(id="x2", created=2), None),
    ("strict", CHUNK, other(choices=[{"delta": {"content": "b"}}]), ("data.choices[0].delta.content", '"a"', '"b"')),
    ("strict", CHUNK, other(choices=[{"delta": {}}]), ("data.choices[0].delta.content", '"a"', "nothing")),
    ("strict", CHUNK, other(extra=1), ("data.extra", "nothing", "1")),
    ("strict", CHUNK, other(choices=[]), ("data.choices[0]", '{"delta": {"content": "a"}}', "nothing")),
    ("strict", {"s": "<object at 0x7f1234567890>"}, {"s": "<object at 0x7f0987654321>"}, None),
    ("strict", {"n": 1}, {"n": True}, ("n", "1", "true")),
    ("strict", b"some", b"other", ("text", "some", "other")),
    ("none", CHUNK, b"anything", None),
]


@pytest.mark.parametrize(("match", "expected", "got", "difference"), CASES)
def test_a_difference_is_told_with_its_field(
    match: Match, expected: Any, got: Any, difference: tuple[str, str, str] | None
) -> None:
    assert Judge(match).message(message(expected), message(got)) == (difference and Difference(*difference))


@pytest.mark.parametrize("ignore", ["content", "data.choices[0].delta.content", "data.choices.delta.content"])
def test_a_field_is_ignored_by_name_or_path(ignore: str) -> None:
    changed = other(choices=[{"delta": {"content": "b"}}])
    assert Judge("strict", (ignore,)).message(message(CHUNK), message(changed)) is None


def test_text_is_not_binary() -> None:
    found = Judge().message(message(b"\x00", 2), message({"a": 1}))
    assert found is not None and (found.field, found.expected) == ("opcode", "binary")


def test_close_codes_are_compared_and_reasons_when_strict() -> None:
    one, two, three = (message(data, 8) for data in (b"\x03\xe8", b"\x03\xe8bye", b"\x03\xf3"))
    assert Judge().close(one, two) is None
    assert Judge("strict").close(one, two) == Difference("close reason", "", "bye")
    assert Judge().close(one, three) == Difference("close code", "1000", "1011")
    assert Judge("none").close(one, three) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.sampled_from(["strict", "shape", "none"]))
def test_a_message_never_differs_from_itself_however_it_is_spelled(value: Any, match: Match) -> None:
    spelled = json.dumps(value, indent=1, ensure_ascii=False).encode()
    assert Judge(match).message(message(value), message(spelled)) is None


@given(json_values, json_values)
def test_strict_finds_a_difference_exactly_where_values_differ(a: Any, b: Any) -> None:
    found = Judge("strict").message(message({"v": a}), message({"v": b}))
    assert (found is None) == (json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True))
