"""What streaming messages spell: the text and the tool calls that a reader puts together from their deltas.

Strategy: a message is taken apart into the pieces that are appended to a channel, and a rest that is not. The same words in other chunks are then the
same pieces joined, and the same rests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ..pipeline import TYPES
from .model import Content
from .structure import Path
from .volatile import leaf, leaves


class Spell(NamedTuple):
    """A message taken apart. `pieces` are (channel, text); `rest` the other leaves that are neither null nor empty, as (path, value),
    without what is volatile in them."""

    pieces: tuple[tuple[str, str | bytes], ...]
    rest: frozenset[tuple[Path, Any]]

    @property
    def text(self) -> str:
        """All text of the pieces, for comparing how alike two messages are."""
        return " ".join(piece if isinstance(piece, str) else piece.decode("latin-1") for _, piece in self.pieces)


def spell(label: str, content: Content) -> Spell:
    """Take a message apart. What is no JSON object is one piece of the channel "payload", or "bytes"."""
    if not content.is_json or not isinstance(content.value, dict):
        if label == "binary":
            return Spell((("bytes", content.data),), frozenset())
        return Spell((("payload", content.data.decode("utf-8", "replace")),), frozenset())
    pieces: list[tuple[str, str]] = []
    rest = []
    for path, value in leaves(content.value):
        channel = _channel(content.value, path) if isinstance(value, str) else None
        if channel is not None:
            if value:
                pieces.append((channel, value))
        elif value is not None and value != "":
            rest.append((path, leaf(path, value)[0]))
    return Spell(tuple(pieces), frozenset(rest))


def _channel(value: dict[str, Any], path: Path) -> str | None:
    """The channel that the text at a path is appended to, or None."""
    if path and path[0] == "data" and value.get("type") in TYPES:
        path = path[1:]
    if path == ("delta",) and str(value.get("type")).endswith(".delta"):  # an OpenAI realtime or responses event
        return str(value["type"])[:64]
    if len(path) < 4 or path[0] != "choices" or path[2] != "delta":
        return None
    choice = f"choice[{path[1]}] " if path[1] else ""
    if len(path) == 4 and path[3] in ("content", "reasoning_content", "refusal"):
        return choice + ("text" if path[3] == "content" else str(path[3]))
    if len(path) == 7 and path[3] == "tool_calls" and path[5:] == ("function", "arguments"):
        return f"{choice}tool[{_tool_index(value, path)}]"
    return None


def _tool_index(value: dict[str, Any], path: Path) -> Any:
    """The index that a tool call's fragment names; its place where it names none."""
    chunk = value["data"] if value.get("type") in TYPES else value
    index = chunk["choices"][path[1]]["delta"]["tool_calls"][path[4]].get("index")
    return index if isinstance(index, int) else path[4]


def joined(spells: Iterable[Spell]) -> dict[str, str | bytes]:
    """What messages spell together, by channel: bytes in the channel "bytes", text in all others."""
    out: dict[str, list[Any]] = {}
    for one in spells:
        for channel, piece in one.pieces:
            out.setdefault(channel, []).append(piece)
    return {channel: pieces[0][:0].join(pieces) for channel, pieces in out.items()}


_LONGEST_GROUP = 512  # messages of both sides


def regroup(a: list[Spell], b: list[Spell], *, backwards: bool = False) -> Iterator[tuple[int, int]]:
    """The lengths of the shortest groups, from the start of both (or from their ends), that spell the same.

    Ends where neither side's text can go on as the other's does. A group of one message each is one of the same text, whatever its rest.
    Of a longer one the rests must be the same, each said at least once.
    """
    i = j = 0
    while i < len(a) and j < len(b):
        found = _group_before(a, b, len(a) - i, len(b) - j) if backwards else group_at(a, b, i, j)
        if found is None:
            return
        yield found
        i, j = i + found[0], j + found[1]


def group_at(a: list[Spell], b: list[Spell], i: int, j: int) -> tuple[int, int] | None:
    """The shortest group that starts at these places; None where there is none."""
    n = m = 1
    while i + n <= len(a) and j + m <= len(b) and n + m <= _LONGEST_GROUP:
        if not a[i + n - 1].pieces or not b[j + m - 1].pieces:
            return None
        left, right = joined(a[i : i + n]), joined(b[j : j + m])
        if left == right:
            return _if_same_rest(a[i : i + n], b[j : j + m])
        if left.keys() <= right.keys() and all(_has(right[channel], left[channel], "startswith") for channel in left):
            n += 1
        elif right.keys() <= left.keys() and all(
            _has(left[channel], right[channel], "startswith") for channel in right
        ):
            m += 1
        else:
            return None
    return None


def _group_before(a: list[Spell], b: list[Spell], i: int, j: int) -> tuple[int, int] | None:
    """The shortest group that ends before these places."""
    n = m = 1
    while n <= i and m <= j and n + m <= _LONGEST_GROUP:
        if not a[i - n].pieces or not b[j - m].pieces:
            return None
        left, right = joined(a[i - n : i]), joined(b[j - m : j])
        if left == right:
            return _if_same_rest(a[i - n : i], b[j - m : j])
        if left.keys() <= right.keys() and all(_has(right[channel], left[channel], "endswith") for channel in left):
            n += 1
        elif right.keys() <= left.keys() and all(_has(left[channel], right[channel], "endswith") for channel in right):
            m += 1
        else:
            return None
    return None


def _if_same_rest(a: list[Spell], b: list[Spell]) -> tuple[int, int] | None:
    found = (len(a), len(b))
    return found if found == (1, 1) or _rests(a) == _rests(b) else None


def _rests(spells: list[Spell]) -> frozenset[tuple[Path, Any]]:
    return frozenset().union(*(one.rest for one in spells))


def _has(whole: Any, end: Any, method: str) -> bool:
    return type(whole) is type(end) and bool(getattr(whole, method)(end))
