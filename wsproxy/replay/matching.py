"""Whether what the other side says is what it said in the recording.

Strategy: a judge gets the n-th live message beside the n-th recorded one and gives back the first differing field, or nothing. `shape`
looks at the kind of message (opcode, JSON or not, its `type`); `strict` at everything but values that are never the same twice (what `wsproxy diff`
takes for volatile: ids, times, addresses); `none` at nothing. Equal bytes are equal without being parsed, which is the ordinary case.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from ..analysis.diff.structure import Path
from ..analysis.diff.volatile import leaf
from ..recording.messages import Message

Match: TypeAlias = Literal["strict", "shape", "none"]

_NOTHING = object()
_OPCODES = {1: "text", 2: "binary"}
_SHOWN = 200


class Difference(NamedTuple):
    """The first field that differs, with both values as text."""

    field: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class Judge:
    """Compares messages.

    Args:
        match: how closely.
        ignore: JSON fields that may differ, by name or by dotted path, beside volatile ones.
        rename: makes a recorded text what it should be now (another stream id).
    """

    match: Match = "shape"
    ignore: tuple[str, ...] = ()
    rename: Callable[[bytes], bytes] | None = field(default=None)

    def message(self, expected: Message, got: Message) -> Difference | None:
        """The difference between two data messages."""
        if self.match == "none" or (expected.opcode == got.opcode and expected.data == got.data):
            return None
        if expected.opcode != got.opcode:
            return Difference("opcode", _OPCODES.get(expected.opcode, "?"), describe(got))
        wanted = self.rename(expected.data) if self.rename else expected.data
        return self.body(wanted, got.data, text=got.opcode == 1)

    def body(self, expected: bytes, got: bytes, *, text: bool = True) -> Difference | None:
        """The difference between two payloads."""
        if self.match == "none" or expected == got:
            return None
        a, b = _parsed(expected), _parsed(got)
        if (a is _NOTHING) != (b is _NOTHING):
            return Difference("json", "JSON" if a is not _NOTHING else "no JSON", _text(got))
        if a is not _NOTHING:
            kind = _kind(a), _kind(b)
            if kind[0] != kind[1]:
                return Difference("type", *kind)
            if self.match == "shape":
                return None
            return next(self._values(a, b, ()), None)
        if self.match == "shape":
            return None
        return Difference("text" if text else "data", _text(expected), _text(got))

    def close(self, expected: Message, got: Message) -> Difference | None:
        """The difference between two close frames."""
        if self.match == "none" or expected.close_code == got.close_code:
            reasons = (expected.close_reason, got.close_reason)
            if self.match == "strict" and reasons[0] != reasons[1]:
                return Difference("close reason", *reasons)
            return None
        return Difference("close code", str(expected.close_code), str(got.close_code))

    def _values(self, a: Any, b: Any, path: Path) -> Iterator[Difference]:
        if isinstance(a, dict) and isinstance(b, dict):
            for key in [*a, *(key for key in b if key not in a)]:
                yield from self._values(a.get(key, _NOTHING), b.get(key, _NOTHING), (*path, key))
        elif isinstance(a, list) and isinstance(b, list):
            for n in range(max(len(a), len(b))):
                one, other = (side[n] if n < len(side) else _NOTHING for side in (a, b))
                yield from self._values(one, other, (*path, n))
        elif not self._ignored(path) and (type(a) is not type(b) or leaf(path, a)[0] != leaf(path, b)[0]):
            yield Difference(_dotted(path) or "value", _value(a), _value(b))

    def _ignored(self, path: Path) -> bool:
        names = [key for key in path if isinstance(key, str)]
        return any(name in names or name in (_dotted(path), ".".join(names)) for name in self.ignore)


def _dotted(path: Path) -> str:
    """data.choices[0].delta"""
    out = ""
    for key in path:
        out += f"[{key}]" if isinstance(key, int) else f".{key}" if out else key
    return out


def describe(message: Message) -> str:
    """What kind of message it is, in a word or two."""
    if message.opcode == 8:
        return f"close {message.close_code}"
    if message.opcode == 2:
        return f"binary, {len(message.data):,} bytes"
    value = _parsed(message.data)
    return "text" if value is _NOTHING else _kind(value)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        name = value.get("type")
        return name if isinstance(name, str) else "a JSON object"
    return "a JSON array" if isinstance(value, list) else "a JSON value"


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return _NOTHING


def _text(data: bytes) -> str:
    return data[:_SHOWN].decode("utf-8", "replace")


def _value(value: Any) -> str:
    return "nothing" if value is _NOTHING else json.dumps(value, ensure_ascii=False)[:_SHOWN]
