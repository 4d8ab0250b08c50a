"""What the LLM pipeline's messages mean: START, CHUNK, END, ERROR, and the deltas inside a chunk.

Strategy: a reading of a JSON value, never an assumption: whatever is not shaped like one of the four is None, and the caller shows
plain JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TYPES = ("START", "CHUNK", "END", "ERROR")


@dataclass(slots=True)
class ToolCall:
    """A fragment of a tool call: its index, the function's name (in the first one), and a piece of the arguments."""

    index: int
    name: str | None
    arguments: str


@dataclass(slots=True)
class PipelineMessage:
    """A message of the pipeline in its own words."""

    type: str
    text: str | None = None
    role: str | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)
    finish_reason: str | None = None
    model: str | None = None
    prompt: str | None = None  # of a START: the last user message
    call_id: str | None = None
    tokens: int | None = None  # of a chunk that reports usage: in all
    error: str | None = None


def read_message(value: Any) -> PipelineMessage | None:
    """The pipeline's reading of a JSON value, or None where it is not one of its messages."""
    if not isinstance(value, dict) or value.get("type") not in TYPES:
        return None
    message = PipelineMessage(value["type"])
    data = value.get("data")
    if message.type == "ERROR":
        message.error = _text(value.get("error"))
    elif message.type == "START" and isinstance(data, dict):
        message.model = _text(data.get("model"))
        message.call_id = _text(data.get("litellm_call_id"))
        message.prompt = _prompt(data.get("messages"))
    elif message.type == "CHUNK" and isinstance(data, dict):
        message.model = _text(data.get("model"))
        _read_choices(message, data.get("choices"))
        usage = data.get("usage")
        total = usage.get("total_tokens") if isinstance(usage, dict) else None
        message.tokens = total if isinstance(total, int) else None
    return message


def words(message: PipelineMessage) -> str:
    """What a message of the pipeline says, without its JSON."""
    if message.type == "START":
        parts = [message.model or "", f'"{message.prompt}"' if message.prompt else ""]
        return "  ".join(part for part in parts if part)
    if message.type == "ERROR":
        return message.error or ""
    parts = []
    if message.text is not None and (message.text or not message.role):
        parts.append(f'"{message.text}"')
    if message.role and not message.text and not message.tool_calls:
        parts.append(f"role={message.role}")
    for call in message.tool_calls:
        parts.append(f"tool[{call.index}] {call.name + ' ' if call.name else ''}{call.arguments}".rstrip())
    if message.finish_reason:
        parts.append(f"finish={message.finish_reason}")
    if message.tokens is not None:
        parts.append(f"usage={message.tokens} tokens")
    return "  ".join(parts)


def _read_choices(message: PipelineMessage, choices: Any) -> None:
    for choice in choices if isinstance(choices, list) else []:
        if not isinstance(choice, dict):
            continue
        message.finish_reason = _text(choice.get("finish_reason")) or message.finish_reason
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            continue
        content = delta.get("content")
        if isinstance(content, str):
            message.text = (message.text or "") + content
        message.role = _text(delta.get("role")) or message.role
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                index = call.get("index")
                message.tool_calls.append(
                    ToolCall(
                        index if isinstance(index, int) else 0,
                        _text(function.get("name")),
                        _text(function.get("arguments")) or "",
                    )
                )


def _prompt(messages: Any) -> str | None:
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
            return _text(content)
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
