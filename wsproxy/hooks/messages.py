"""The messages of a stream as the hooks see them: START, CHUNK, END, ERROR as JSON text.

Strategy: a chunk's 500 bytes are parsed where they pass (3 µs), because stages are matched by the chunk itself. START is
another matter: hundreds of KiB, with the caller's and the provider's credentials in it. No hook ever copies it; what is
kept is `summary`, and of a START too long to be parsed in passing what a look at its first characters tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from .snapshot import TEXT_LIMIT, text_of

PARSED: Final = 64 * 1024
"""Longer texts are not parsed in the host's event loop: 64 Ki characters are 0.3 ms."""

_LOOK: Final = 4096
_type = re.compile(r'"type"\s*:\s*"(\w{1,32})"').search
_model = re.compile(r'"model"\s*:\s*"([^"\\]{1,200})"').search
_stream = re.compile(r'"stream"\s*:\s*(true|false)').search


class Message(NamedTuple):
    """A message: `type` is "" when it has none; `data` is safe to mark; `error` says why it is not JSON."""

    type: str
    data: Any
    error: str | None = None


def read(payload: object) -> Message:
    """The message in a text or binary payload. Never raises."""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return Message("", {"binary": bytes(payload[:PARSED]), "length": len(payload)})
    if not isinstance(payload, str):
        return Message("", {"fragments": type(payload).__name__})
    if len(payload) > PARSED:
        return _unparsed(payload)
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError) as error:
        return Message("", {"raw": text_of(payload), "length": len(payload)}, text_of(error))
    return Message(type_of(value), safe(value))


def type_of(message: object) -> str:
    found = message.get("type") if isinstance(message, Mapping) else None
    return found if isinstance(found, str) else ""


def chunk_of(message: object) -> object:
    """What a CHUNK message carries; the message itself when it was too long to be parsed."""
    return message.get("data", message) if isinstance(message, Mapping) else None


def safe(message: object) -> object:
    """The message itself; of a START only its summary, because a START carries credentials."""
    if type_of(message) == "START" and isinstance(message, Mapping):
        return {
            "type": "START",
            "keys": [text_of(key, 100) for key in message],
            "summary": summary(message.get("data")),
        }
    return message


def summary(request: object) -> dict[str, object]:
    """What is said of a request: its model, how many messages, whether it streams, its call id. Nothing else of it."""
    if not isinstance(request, Mapping):
        return {}
    found: dict[str, object] = {}
    for key in ("litellm_call_id", "model"):
        value = request.get(key)
        if isinstance(value, str):
            found[key] = text_of(value, 200)
    messages = request.get("messages")
    if isinstance(messages, (list, tuple)):
        found["messages"] = len(messages)
    if isinstance(request.get("stream"), bool):
        found["stream"] = request["stream"]
    return found


def failure(error: BaseException) -> dict[str, object]:
    """What is said of an exception: its type and its text."""
    return {"error_type": type(error).__name__, "error": text_of(error)}


def _unparsed(text: str) -> Message:
    kind = match[1] if (match := _type(text[:_LOOK])) else ""
    if kind != "START":
        return Message(kind, {"type": kind, "length": len(text), "raw": text[:TEXT_LIMIT]})
    found: dict[str, object] = {}
    if match := _model(text, 0, PARSED):
        found["model"] = match[1]
    if match := _stream(text, 0, PARSED):
        found["stream"] = match[1] == "true"
    return Message(kind, {"type": kind, "length": len(text), "summary": found})
