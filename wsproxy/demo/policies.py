"""The policies that the control plane can run.

Strategy: a policy is a name and one async generator from chunks to chunks. It owns no socket and knows no
wire; what it needs of the request is in its context, and there it also says what it decided. Chunks are
plain dicts, and a policy never changes the one it was given.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from wsproxy.demo.outcome import Chunk, fold

JUDGE_SECONDS = 10.0
"""How long a policy waits for the judge before it gives up (and so fails)."""


@dataclass
class PolicyContext:
    """What a policy knows of its stream: the START data, where the judge is; and what it decided, when."""

    stream_id: str
    request: Mapping[str, Any] = field(default_factory=dict)
    judge_url: str = ""
    decided: str | None = None
    decided_at: float | None = None

    def decide(self, decided: str) -> None:
        """Note the policy's decision, "passed", "rewrote" or "blocked", and the wall-clock time of it."""
        self.decided, self.decided_at = decided, time.time()

    @property
    def judge_delay(self) -> str | None:
        """The `x-judge-delay` that the caller asked for, found where LiteLLM keeps the caller's headers."""
        headers = (self.request.get("proxy_server_request") or {}).get("headers") or {}
        return headers.get("x-judge-delay")


class Policy(Protocol):
    """A policy: START's context and the backend's chunks in, the client's chunks out."""

    name: str

    def generate_response_stream(
        self, context: PolicyContext, incoming_stream: AsyncIterator[Chunk]
    ) -> AsyncIterator[Chunk]: ...


class NoOpPolicy:
    """Passes every chunk as it came."""

    name = "noop"

    async def generate_response_stream(
        self, context: PolicyContext, incoming_stream: AsyncIterator[Chunk]
    ) -> AsyncIterator[Chunk]:
        async for chunk in incoming_stream:
            yield chunk
        context.decide("passed")


class AllCapsPolicy:
    """Upper-cases the content of every delta."""

    name = "allcaps"

    async def generate_response_stream(
        self, context: PolicyContext, incoming_stream: AsyncIterator[Chunk]
    ) -> AsyncIterator[Chunk]:
        async for chunk in incoming_stream:
            yield {**chunk, "choices": [_upper(choice) for choice in chunk.get("choices") or ()]}
        context.decide("rewrote")


class JudgePolicy:
    """Passes text; holds a tool call back until it is whole, and releases it only if the judge allows it.

    A tool call that the judge refuses is replaced by one chunk that says so, and the stream ends there.
    While the judge thinks, nothing comes out: this silence is what the famous bug takes for the end.
    """

    name = "judge"

    async def generate_response_stream(
        self, context: PolicyContext, incoming_stream: AsyncIterator[Chunk]
    ) -> AsyncIterator[Chunk]:
        held: list[Chunk] = []
        async for chunk in incoming_stream:
            if not held and not _calls_tool(chunk):
                yield chunk
                continue
            held.append(chunk)
            if _finish_reason(chunk) == "tool_calls":
                break
        # A stream that broke off inside a tool call is judged as well: nothing held is let out unjudged.
        if not held:
            context.decide("passed")
            return
        judged = await ask_judge(context.judge_url, fold(held).tool_arguments, delay=context.judge_delay)
        if judged["verdict"] == "block":
            context.decide("blocked")
            yield _blocked(held[-1], judged)
            return
        context.decide("passed")
        for chunk in held:
            yield chunk
        async for chunk in incoming_stream:
            yield chunk


class RaisingPolicy:
    """Passes one chunk and then fails, as broken policies do."""

    name = "raises"

    async def generate_response_stream(
        self, context: PolicyContext, incoming_stream: AsyncIterator[Chunk]
    ) -> AsyncIterator[Chunk]:
        async for chunk in incoming_stream:
            yield chunk
            raise RuntimeError("this policy always fails after its first chunk")


POLICIES: dict[str, Callable[[], Policy]] = {
    policy.name: policy for policy in (NoOpPolicy, AllCapsPolicy, JudgePolicy, RaisingPolicy)
}
"""Every policy by its name."""


async def ask_judge(url: str, text: str, *, delay: str | None = None) -> dict[str, Any]:
    """Ask the judge model for its verdict on `text`.

    Args:
        url: base URL of the server that runs the model `judge`.
        delay: seconds that the judge is to take, as header text; None leaves it to the server.

    Raises:
        aiohttp.ClientError, TimeoutError: the judge did not answer; ValueError: not with a verdict.
    """
    body = {"model": "judge", "messages": [{"role": "user", "content": text}]}
    headers = {} if delay is None else {"x-judge-delay": delay}
    timeout = aiohttp.ClientTimeout(total=JUDGE_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response,
    ):
        answer = await response.json()
    judged = json.loads(answer["choices"][0]["message"]["content"])
    if judged.get("verdict") not in ("block", "allow"):
        raise ValueError(f"the judge gave no verdict: {judged!r}")
    return dict(judged)


def _upper(choice: dict[str, Any]) -> dict[str, Any]:
    delta = choice.get("delta") or {}
    if not delta.get("content"):
        return choice
    return {**choice, "delta": {**delta, "content": delta["content"].upper()}}


def _calls_tool(chunk: Chunk) -> bool:
    return any((choice.get("delta") or {}).get("tool_calls") for choice in chunk.get("choices") or ())


def _finish_reason(chunk: Chunk) -> str | None:
    reasons = (choice.get("finish_reason") for choice in chunk.get("choices") or ())
    return next(filter(None, reasons), None)


def _blocked(last: Chunk, judged: Mapping[str, Any]) -> Chunk:
    text = f"BLOCKED by judge (p={judged['probability']:.2f}): {judged['explanation']}"
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {**{key: last.get(key) for key in ("id", "object", "created", "model")}, "choices": [choice]}
