"""Items as JSON Lines: one object per item, stable keys, for programs.

`t` is in seconds since the recording's start, `dir` is `c2s` or `s2c`; a payload that is UTF-8 text is a string, any other `{"base64": …}`, and
null where it is part of something and could hold part of a secret: `withheld` says why.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from ..analysis.pipeline import read_message
from ..recording.events import Event, Gap, Late, Marker, Open, Totals, Trailer, Unknown
from ..recording.messages import Message
from ..recording.view import LASTING, HttpBody
from ..secrets.masking import mask_data, mask_field, mask_json, mask_text
from ..wire.events import Frame, Request, Response
from ..wire.http1 import head_fields
from .withheld import why_withheld

_DEEPEST = 100  # lists and maps in each other
_OF_NO_CONN = (Marker, Gap, Late, Trailer)
_OF_NO_DIR = (*_OF_NO_CONN, Open, Totals)
_SAID_ALIKE = frozenset((str, int, float, bool, type(None)))  # in msgpack and in JSON


def item_object(number: int, item: Message | HttpBody | Event, *, secrets: bool = False) -> dict[str, Any]:
    """The JSON object of one item."""
    if isinstance(item, Unknown):
        return {"kind": item.kind, "number": number}
    out: dict[str, Any] = {"kind": _kind(item), "number": number}
    if not isinstance(item, _OF_NO_CONN):
        out["conn"] = item.conn
    out["t"] = _seconds(item.t)
    if isinstance(item, LASTING):
        out["t_end"] = _seconds(item.t_end)
    if not isinstance(item, _OF_NO_DIR):
        out["dir"] = item.dir
    if isinstance(item, Message):
        out |= {
            "opcode": item.opcode,
            "length": len(item.data),
            "wire": item.wire,
            "frames": item.frames,
            "compressed": item.compressed,
        }
        message = read_message(item.json) if item.opcode == 1 and item.data[:1] == b"{" else None
        if message is not None:
            out["type"] = message.type
        if item.opcode == 8:
            out |= {"code": item.close_code, "reason": item.close_reason if secrets else mask_text(item.close_reason)}
        out["payload"] = payload(item.data, secrets=secrets)
        if item.error:
            out["error"] = item.error
        if item.redacted:
            out["redacted"] = item.redacted
    elif isinstance(item, HttpBody):
        out |= {
            "exchange": item.exchange,
            "length": len(item.data),
            "wire": item.wire,
            "complete": item.complete,
            "omitted": item.omitted,
            "payload": payload(item.data, secrets=secrets),
        }
        if item.redacted:
            out["redacted"] = item.redacted
    elif isinstance(item, Frame):
        out |= {
            "fin": item.fin,
            "rsv": item.rsv,
            "opcode": item.opcode,
            "masked": item.mask is not None,
            "length": item.length,
            "payload": payload(item.payload, secrets=secrets),
        }
    else:
        out |= _plain(item, secrets=secrets)
    why = None if secrets else why_withheld(item)
    if why:
        out["raw" if "raw" in out else "payload"] = None
        out["withheld"] = why
    return out


def dump(value: dict[str, Any]) -> str:
    """One line of JSON. ASCII only: no byte of a payload can act on a terminal."""
    return json.dumps(value, ensure_ascii=True, separators=(", ", ": "))


def payload(data: bytes, *, secrets: bool) -> Any:
    """Text as a string, anything else as base64."""
    data = data if secrets else mask_data(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def _kind(item: object) -> str:
    return {"HttpBody": "body"}.get(type(item).__name__, type(item).__name__.lower())


def _seconds(ns: int) -> float:
    return round(ns / 1e9, 9)


def _plain(item: Any, *, secrets: bool) -> dict[str, Any]:
    """The fields of an event that has no payload of a message."""
    out: dict[str, Any] = {}
    for name, value in item._asdict().items():
        if name in ("conn", "dir", "t"):
            continue
        if isinstance(item, Request | Response) and name == "raw":
            fields = head_fields(item.raw)
            out["headers"] = [
                [key, text] if secrets else [mask_text(key), mask_field(key, text)] for key, text in fields
            ]
            out["length"] = len(item.raw)
        elif isinstance(value, bytes):
            out[name] = payload(value, secrets=secrets)
        elif name in ("until", "longest") and value is not None:
            out[name] = _seconds(value)
        elif hasattr(value, "_asdict"):
            out[name] = value._asdict()
        elif value is not None:
            plain = _as_json(value)
            out[name] = plain if secrets else mask_json(plain)
    return out


def _as_json(value: Any, deep: int = 0) -> Any:
    """What msgpack holds, as JSON can say it; what is nested deeper than any reader would take is left out."""
    if type(value) in _SAID_ALIKE:
        return value
    if isinstance(value, bytes):
        return payload(value, secrets=True)
    if isinstance(value, dict | list | tuple) and deep >= _DEEPEST:
        return "…nested too deep"
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _as_json(item, deep + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item, deep + 1) for item in value]
    return str(value)
