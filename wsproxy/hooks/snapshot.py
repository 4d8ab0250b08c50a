"""What a mark holds: a value as msgpack, taken at the moment of the call.

Strategy: pack at once, in the caller's thread; what is changed later is recorded as it was. The C packer does a chunk
in about 2 µs and asks `_known` about the few types that it does not know. Only what it cannot do at all (cycles, more
than LIMIT bytes, hostile objects) is walked in Python, by `_Walk`, which always ends and always fits.

A packer is kept per thread and is *taken* while it works: `model_dump()` and garbage collection run other people's
code, which may mark in turn and then gets a packer of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import date, time
from enum import Enum
from typing import Any, Final

import msgpack

LIMIT: Final = 256 * 1024
"""A snapshot is at most so many bytes (a little more where cutting says that it cut)."""
TEXT_LIMIT: Final = 1000
"""Of an object that has no plain form, so many characters of its repr."""
DEEPEST: Final = 64

_NODE: Final = 8  # bytes that a value costs beside its text, so that a list of empty lists is bounded too
_INT64: Final = range(-(1 << 63), 1 << 64)

_kept = threading.local()


def snapshot(value: object) -> bytes:
    """`value` as msgpack, without extension types. Never raises.

    An object with `model_dump()` is taken as that; another that msgpack does not know as text of its repr, cut at 1,000
    characters. More than 256 KiB is cut: long texts and lists end in a note that says so.
    """
    try:
        packed = _pack(value)
        if len(packed) <= LIMIT:
            return packed
    except Exception:
        pass  # what it was does not matter: the walk below takes anything
    try:
        return _pack(_Walk().bounded(value, 0))
    except Exception as error:
        return _pack(f"<cannot be recorded: {type(error).__name__}>")


def text_of(value: object, limit: int = TEXT_LIMIT) -> str:
    """`str` of a value, cut; never raises. For what people wrote: errors, messages."""
    try:
        text = str(value)
    except Exception:
        return f"<{type(value).__name__}>"
    return _cut(text, limit)


def repaired(packed: bytes) -> bytes:
    """The same value with what a strict reader refuses (keys that are no text) made text. Never raises."""
    try:
        return _pack(_Walk().bounded(msgpack.unpackb(packed, strict_map_key=False), 0))
    except Exception as error:
        return _pack(f"<cannot be recorded: {type(error).__name__}>")


def _pack(value: object) -> bytes:
    packer = _kept.__dict__.pop("packer", None) or msgpack.Packer(
        default=_known, strict_types=True, unicode_errors="backslashreplace"
    )
    packed: bytes = packer.pack(value)
    _kept.packer = packer  # one that raised is not used again
    return packed


def _known(value: Any) -> object:
    """What the packer is told of a type that it does not know."""
    if isinstance(value, (tuple, set, frozenset)):
        raise TypeError("it may stand as a key, where a list is what no reader takes: let it be walked")
    return _plain(value)


def _plain(value: Any) -> object:
    """One level of a value that msgpack does not know, or that is a subclass of what it knows."""
    if hasattr(type(value), "model_dump"):
        return dict(value.model_dump())
    if isinstance(value, Enum):
        return value.value if type(value.value) in (str, int) else value.name
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value) if value in _INT64 else f"{value:#x}"[:TEXT_LIMIT]
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return {_key(key): item for key, item in value.items()}
    if isinstance(value, list):
        return list(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    return _repr(value)


def _key(key: object) -> str:
    return str.__str__(key) if isinstance(key, str) else text_of(key, 100)


def _repr(value: object) -> str:
    try:
        text = repr(value)
        return _cut(text, TEXT_LIMIT)
    except Exception:
        return f"<{type(value).__name__}>"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}… [cut: {len(text)} characters]"


class _Walk:
    """One walk through a value, depth first, until LIMIT is used up: the first items get the room."""

    def __init__(self) -> None:
        self.room = LIMIT

    def bounded(self, value: object, depth: int) -> object:
        self.room -= _NODE
        if depth > DEEPEST:
            return "… [cut: too deep]"
        if value is None or value is True or value is False or type(value) is float:
            return value
        if type(value) is int:
            return value if value in _INT64 else _plain(value)
        if type(value) is str:
            return self._text(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._binary(value)
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            return self._list(value, depth)
        try:
            plain = _plain(value)
        except Exception:
            plain = _repr(value)
        return self.bounded(plain, depth + 1)

    def _text(self, text: str) -> str:
        width = 1 if text.isascii() else 4
        kept = _cut(text, max(0, self.room // width))
        self.room -= width * len(kept)
        return kept

    def _binary(self, value: bytes | bytearray | memoryview) -> bytes | str:
        size = value.nbytes if isinstance(value, memoryview) else len(value)
        if size > self.room:
            return f"[cut: {size} bytes]"
        self.room -= size
        return bytes(value)

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, object]:
        out: dict[str, object] = {}
        try:
            for key, item in value.items():
                if self.room <= 0:
                    out["…"] = f"[cut: {len(value)} keys]"
                    break
                name = self._text(_key(key))
                out[name] = self.bounded(item, depth + 1)
        except Exception as error:
            out["…"] = f"[cut: {type(error).__name__}]"
        return out

    def _list(self, value: Any, depth: int) -> list[object]:
        out: list[object] = []
        try:
            for item in value:
                if self.room <= 0:
                    out.append(f"… [cut: {len(value)} items]")
                    break
                out.append(self.bounded(item, depth + 1))
        except Exception as error:
            out.append(f"… [cut: {type(error).__name__}]")
        return out
