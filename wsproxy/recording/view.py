"""A recording as a person reads it: messages instead of frames, bodies instead of their pieces, in the order of time.

Strategy: a generator over events. Frames go through the message assembler, HTTP bodies are joined and freed of their chunk framing, pieces that
something superseded are left out; everything else passes. What was moved into the recording late (an exchange whose stream
became known at its end) is sorted back by a sliding window.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from ..wire.events import WITHHELD, Body, Dir, End, Frame, Part, Piece, Redacted, Request, Response
from ..wire.http1 import dechunk, head_fields
from .events import Event, Unknown
from .messages import DEFAULT_LIMIT, Assembler, Message

WINDOW = 512  # items that may be out of order
WINDOW_BYTES = 64 << 20  # of their contents: a message can be a thousand times what it was on the disk


@dataclass(slots=True)
class HttpBody:
    """The body of a request or response; `data` without chunk framing and gzip, cut at the limit. Fields as of Message."""

    number: int
    conn: int
    dir: Dir
    t: int
    t_end: int
    exchange: int
    data: bytes
    wire: int
    omitted: int
    complete: bool
    redacted: str | None = None


@dataclass(slots=True)
class _OpenBody:
    number: int
    t: int
    t_end: int
    exchange: int
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    omitted: int = 0
    redacted: Redacted | None = None


LASTING = (Message, HttpBody)  # what has an end of its own
Item: TypeAlias = "tuple[int, Message | HttpBody | Event]"


def _fields(raw: bytes) -> dict[str, str]:
    return {name.lower(): value.lower() for name, value in head_fields(raw)}


class View:
    """Turns numbered events into items; see the module.

    Args:
        frames: leave frames and parts as they are.
        limit: bytes of one message or body at most.
    """

    def __init__(self, *, frames: bool = False, limit: int = DEFAULT_LIMIT) -> None:
        self._assembler = None if frames else Assembler(limit)
        self._limit = limit
        self._bodies: dict[tuple[int, Dir], _OpenBody] = {}
        self._heads: dict[tuple[int, Dir], dict[str, str]] = {}
        self._pieces: dict[tuple[int, Dir], list[tuple[int, Piece]]] = {}
        self._redacted: dict[tuple[int, Dir], Redacted] = {}  # said of the next event

    def feed(self, number: int, event: Event) -> list[Item]:
        """The items that an event completes."""
        out: list[Item] = []
        if isinstance(event, Piece):
            self._pieces.setdefault((event.conn, event.dir), []).append((number, event))
            return out
        key: tuple[int, Dir] = (getattr(event, "conn", 0), getattr(event, "dir", "c2s"))
        if not isinstance(event, End):
            self._pieces.pop(key, None)
        if self._assembler is not None:
            out += [(message.number, message) for message in self._assembler.feed(number, event)]
            if isinstance(event, Frame | Part):
                self._redacted.pop(key, None)
                return out
        if isinstance(event, Redacted):
            self._redacted[key] = event
            return out
        note = self._redacted.pop(key, None) if self._redacted else None
        if isinstance(event, Body):
            return out + self._body(number, key, event, note)
        if note is not None and (self._assembler is None or note.how == WITHHELD):
            out.append((number - 1, note))
        if isinstance(event, Request | Response):
            self._heads[key] = _fields(event.raw)
        elif isinstance(event, End):
            out += self._cut_body(key)
        out.append((number, event))
        return out

    def finish(self) -> list[Item]:
        """What is incomplete at the end."""
        out: list[Item] = []
        if self._assembler is not None:
            out += [(message.number, message) for message in self._assembler.finish()]
        for key in list(self._bodies):
            out += self._cut_body(key)
        for pieces in self._pieces.values():
            out += pieces
        return out

    def _body(self, number: int, key: tuple[int, Dir], event: Body, note: Redacted | None) -> list[Item]:
        body = self._bodies.get(key)
        if body is None:
            body = self._bodies[key] = _OpenBody(number, note.t if note else event.t, event.t, event.exchange)
        body.redacted = body.redacted or note
        body.t_end = event.t
        body.size += len(event.raw)
        body.omitted += event.omitted
        if body.size <= self._limit:
            body.parts.append(event.raw)
        return self._close_body(key, complete=True) if event.end else []

    def _cut_body(self, key: tuple[int, Dir]) -> list[Item]:
        return self._close_body(key, complete=False) if key in self._bodies else []

    def _close_body(self, key: tuple[int, Dir], *, complete: bool) -> list[Item]:
        body = self._bodies.pop(key)
        raw = b"".join(body.parts)
        fields = self._heads.get(key, {})
        data = dechunk(raw) if "chunked" in fields.get("transfer-encoding", "") else raw
        if fields.get("content-encoding") in ("gzip", "deflate"):
            data = _decoded(data, self._limit)
        note = body.redacted
        if not raw and not body.omitted and note is None:
            return []
        return [
            (
                body.number,
                HttpBody(
                    body.number,
                    *key,
                    body.t,
                    body.t_end,
                    body.exchange,
                    data,
                    body.size + body.omitted if note is None else note.wire,
                    body.omitted,
                    complete,
                    None if note is None else note.how,
                ),
            )
        ]


def _decoded(data: bytes, limit: int) -> bytes:
    """A gzip or zlib body, as far as it can be read and at most `limit` bytes."""
    try:
        return zlib.decompressobj(47).decompress(data, limit)
    except zlib.error:
        return data


def items(events: Iterable[Event], *, frames: bool = False, limit: int = DEFAULT_LIMIT) -> Iterator[Item]:
    """The items of a recording in the order in which they were recorded, as they become complete."""
    view = View(frames=frames, limit=limit)
    for number, event in enumerate(events, 1):
        yield from view.feed(number, event)
    yield from view.finish()


def when(item: Message | HttpBody | Event) -> int:
    """The time at which an item was complete, in nanoseconds since the recording's start."""
    if isinstance(item, LASTING):
        return item.t_end
    return 0 if isinstance(item, Unknown) else item.t


def in_time_order(numbered: Iterable[Item], window: int = WINDOW) -> Iterator[Item]:
    """Sort by time what is at most `window` items (or their `WINDOW_BYTES`) out of order; items of equal time keep their order."""
    heap: list[tuple[int, int, Item]] = []
    held = 0
    for order, pair in enumerate(numbered):
        heapq.heappush(heap, (when(pair[1]), order, pair))
        held += _weight(pair)
        while len(heap) > window or held > WINDOW_BYTES:
            _, _, first = heapq.heappop(heap)
            held -= _weight(first)
            yield first
    while heap:
        yield heapq.heappop(heap)[2]


def _weight(pair: Item) -> int:
    item = pair[1]
    return len(item.data) if isinstance(item, LASTING) else 0
