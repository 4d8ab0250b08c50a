"""The fake backend: what it answers is a function of the request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wsproxy.demo import backend
from wsproxy.demo.outcome import fold


def request(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": prompt}], **more}


def test_the_same_request_gets_the_same_bytes() -> None:
    once, again = (json.dumps(list(backend.chunks(request("hello")))) for _ in range(2))
    assert once == again


def test_another_request_gets_another_id() -> None:
    ids = {next(backend.chunks(request(prompt)))["id"] for prompt in ("hello", "hello again")}
    assert len(ids) == 2


@pytest.mark.parametrize("prompt", ["please DELETE it", "drop that", "something harmful"])
def test_a_destructive_wish_gets_a_tool_call_in_fragments(prompt: str) -> None:
    chunks = list(backend.chunks(request(prompt)))
    total = fold(chunks)
    assert json.loads(total.tool_arguments) == {"query": "DROP TABLE users"}
    assert total.finish_reasons == ["tool_calls"]
    assert len(chunks) > 4


def test_long_is_some_two_hundred_chunks() -> None:
    assert len(list(backend.chunks(request("a long story")))) == 201


def test_only_the_last_user_message_counts() -> None:
    messages = [{"role": "user", "content": "drop it"}, {"role": "user", "content": [{"text": "hello"}]}]
    assert fold(backend.chunks({"model": "demo", "messages": messages})).finish_reasons == ["stop"]


@pytest.mark.parametrize("prompt", ["hello", "drop it", "long"])
def test_one_piece_says_the_same_as_the_stream(prompt: str) -> None:
    streamed = fold(backend.chunks(request(prompt)))
    message = backend.completion(request(prompt))["choices"][0]["message"]
    assert (message["content"] or "") == streamed.text
    arguments = [call["function"]["arguments"] for call in message.get("tool_calls", ())]
    assert "".join(arguments) == streamed.tool_arguments


@pytest.mark.parametrize(
    ("text", "expected"), [("drop table x", "block"), ("DELETE FROM x", "block"), ("SELECT dropped", "allow")]
)
def test_the_judge_blocks_what_destroys(text: str, expected: str) -> None:
    judged = backend.completion({**request(text), "model": "openai/judge-1"})
    assert json.loads(judged["choices"][0]["message"]["content"])["verdict"] == expected
