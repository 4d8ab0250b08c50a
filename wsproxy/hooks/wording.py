"""The log line of a mark, in the words that people grep today: step, [stream id], #index, content preview.

Strategy: one table from the stage to a function that writes its line. It is only asked when somebody listens, so that a
mark whose line goes nowhere pays for one look at a level. PIPELINE.md quotes the words; scripts depend on them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from wsproxy import stages

from .messages import type_of
from .snapshot import text_of

log = logging.getLogger("wsproxy.hooks")
"""Where the line of each mark goes: INFO, failures ERROR, rejected chunks and messages WARNING."""

PREVIEW: Final = 50

_UNNUMBERED: Final = frozenset(
    (*stages.WS, stages.CLIENT_NORMALIZED, stages.CLIENT_REJECTED)
)  # today's lines have no index

_LEVELS: Final = {
    stages.WS_JSON_ERROR: logging.WARNING,
    stages.WS_SEND_FAILED: logging.WARNING,
    stages.CLIENT_REJECTED: logging.WARNING,
    stages.ENDPOINT_ERROR: logging.ERROR,
    stages.CALLBACK_FAILED: logging.ERROR,
}


def write(stage: str, stream_id: str, index: int | None, data: object, policy: str = "") -> None:
    """Log the line of a mark. `policy` is the policy's class where the line names it and the data does not."""
    level = _LEVELS.get(stage, logging.INFO)
    if log.isEnabledFor(level):
        log.log(level, "%s", line(stage, stream_id, index, data, policy))


def line(stage: str, stream_id: str, index: int | None, data: object, policy: str = "") -> str:
    """The line. Its text is escaped: no content can start a line of its own."""
    number = "" if index is None or stage in _UNNUMBERED else f" #{index}"
    name = f" {_word(policy)}" if policy else ""
    words, rest = _LINES.get(stage, (f"MARK {stage}", _anything))
    said = rest(data)
    return f"{words} [{_word(stream_id)}]{name}{number}{': ' if said else ''}{said}"


def preview(chunk: object) -> str:
    """`content='…'`: the first 50 characters of a chunk's text, else its tool call's arguments, else how it finishes."""
    choice = _first(_get(chunk, "choices"))
    delta = _get(choice, "delta")
    content = _get(delta, "content")
    if not content and (call := _first(_get(delta, "tool_calls"))) is not None:
        return f"tool_call={_short(_get(_get(call, 'function'), 'arguments'))}"
    if not content and (reason := _get(choice, "finish_reason")):
        return f"content='', finish_reason={_short(reason)}"
    return f"content={_short(content)}"


def _short(value: object) -> str:
    text = "" if value is None else text_of(value, 4 * PREVIEW)
    return repr(text if len(text) <= PREVIEW else f"{text[:PREVIEW]}...")


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, (list, tuple)) and value else None


def _message(message: object) -> str:
    keys = message.get("keys", list(message)) if isinstance(message, Mapping) else []
    return f"type={_word(type_of(message)) or 'UNKNOWN'}, keys={keys}"


def _type(message: object) -> str:
    return f"type={_word(type_of(message)) or 'UNKNOWN'}"


def _request(data: object) -> str:
    found = _get(data, "request") or data
    return f"call_id={_word(_get(found, 'litellm_call_id'))}, model={_word(_get(found, 'model'))}, " + (
        f"stream={_word(_get(found, 'stream'))}"
    )


def _invoked(data: object) -> str:
    return f"{_word(_get(data, 'function'))}, {_request(data)}"


def _error(data: object) -> str:
    kind, text = _get(data, "error_type"), _word(_get(data, "error"))
    return f"{_word(kind)}: {text}" if kind else text


def _json_error(data: object) -> str:
    return f"{_error(data)}, raw={_short(_get(data, 'raw'))}"


def _totals(data: object) -> str:
    if not isinstance(data, Mapping):
        return ""
    return ", ".join(f"{_word(key)}={_word(value)}" for key, value in data.items() if key != "function")


def _policy_end(data: object) -> str:
    said = f"processed {_word(_get(data, 'total_chunks'))} chunks"
    return f"{said}, {_error(data)}" if _get(data, "error") else said


def _normalized(chunk: object) -> str:
    return f"success=True, model={_word(_get(chunk, 'model'))}"


def _rejected(data: object) -> str:
    return f"success=False, error={_short(_get(data, 'error'))}"


def _chunk(data: object) -> str:
    chunk = _get(data, "chunk")
    if chunk is None:
        return preview(data)
    return f"{preview(chunk)}{' AFTER CLOSE' if _get(data, 'after_close') else ''}"


def _anything(data: object) -> str:
    return "" if data is None else _short(data)


def _word(value: object) -> str:
    """Text without quotes, and without a line's end or an escape sequence in it."""
    return "" if value is None else repr(text_of(value, 200))[1:-1]


_LINES: Final[dict[str, tuple[str, Callable[[object], str]]]] = {
    stages.CALLBACK_INVOKED: ("CALLBACK INVOKED", _invoked),
    stages.CALLBACK_BACKEND_CHUNK: ("CALLBACK BACKEND CHUNK", _chunk),
    stages.CALLBACK_YIELDED: ("CALLBACK YIELDED", _chunk),
    stages.CALLBACK_COMPLETED: ("CALLBACK COMPLETED", _totals),
    stages.CALLBACK_FAILED: ("CALLBACK FAILED", _error),
    stages.WS_SENT: ("WebSocket OUT", _message),
    stages.WS_RECEIVED: ("WebSocket IN", _message),
    stages.WS_JSON_ERROR: ("WebSocket JSON ERROR", _json_error),
    stages.WS_SEND_FAILED: ("WebSocket SEND FAILED", _error),
    stages.ENDPOINT_START: ("ENDPOINT START", _request),
    stages.ENDPOINT_CHUNK_IN: ("ENDPOINT CHUNK IN", _chunk),
    stages.ENDPOINT_POLICY: ("ENDPOINT POLICY", lambda data: f"invoking {_word(_get(data, 'policy'))}"),
    stages.ENDPOINT_CHUNK_OUT: ("ENDPOINT CHUNK OUT", _chunk),
    stages.ENDPOINT_END: ("ENDPOINT END", lambda data: "stream complete"),
    stages.ENDPOINT_ERROR: ("ENDPOINT ERROR", _error),
    stages.POLICY_START: ("POLICY STREAM START", lambda data: ""),
    stages.POLICY_CHUNK_IN: ("POLICY CHUNK IN", _chunk),
    stages.POLICY_CHUNK_OUT: ("POLICY CHUNK OUT", _chunk),
    stages.POLICY_END: ("POLICY STREAM END", _policy_end),
    stages.CLIENT_CONTROL_IN: ("CALLBACK CONTROL IN", _type),
    stages.CLIENT_NORMALIZED: ("CALLBACK NORMALIZED", _normalized),
    stages.CLIENT_REJECTED: ("CALLBACK NORMALIZED", _rejected),
    stages.CLIENT_TO_CLIENT: ("CALLBACK TO CLIENT", _chunk),
}
