"""What came of a request, seen from both ends.

Strategy: both ends saw a list of chat.completion.chunk dicts, so both fold it in the same way; then "do
they agree" is a comparison of two texts. `Decision` is what the policy put out, by the control plane's own
account; `Answer` is what the client got.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Chunk = dict[str, Any]
"""An OpenAI chat.completion.chunk as plain JSON."""


@dataclass
class Folded:
    """The sum of a stream's chunks: text, tool call arguments and finish reasons."""

    text: str = ""
    tool_arguments: str = ""
    finish_reasons: list[str] = field(default_factory=list)
    chunks: int = 0

    def add(self, chunk: Chunk) -> None:
        self.chunks += 1
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            self.text += delta.get("content") or ""
            for call in delta.get("tool_calls") or ():
                self.tool_arguments += (call.get("function") or {}).get("arguments") or ""
            if choice.get("finish_reason"):
                self.finish_reasons.append(choice["finish_reason"])


def fold(chunks: Iterable[Chunk]) -> Folded:
    """Add up a stream's chunks."""
    result = Folded()
    for chunk in chunks:
        result.add(chunk)
    return result


def finishes(chunk: Chunk) -> bool:
    """Whether a chunk is the last of a response."""
    return any(choice.get("finish_reason") for choice in chunk.get("choices") or ())


@dataclass
class Decision:
    """What a policy made of one stream, as the control plane tells it.

    `at`, `sent_at` and `last_chunk_at` are wall-clock seconds: when the policy decided, when by the control
    plane's own log the last chunk was sent (whether or not anybody was there to get it), when the last came
    in. `decided` is "passed", "rewrote", "blocked", or "failed" (the policy raised).
    """

    stream_id: str
    policy: str
    decided: str
    text: str
    tool_arguments: str
    chunks: int
    at: float
    sent_at: float | None
    last_chunk_at: float | None


@dataclass(frozen=True)
class Answer:
    """What the client got: `done` says whether its `[DONE]` came, `seconds` how long all of it took."""

    stream_id: str
    text: str
    tool_arguments: str
    finish_reasons: tuple[str, ...]
    chunks: tuple[Chunk, ...]
    done: bool
    seconds: float
