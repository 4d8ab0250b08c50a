"""Recordings of any length for the benchmarks of reading: streams that went well, that lost everything, with hooks everywhere and with none.

Strategy: the relay's own packers, a real deflate stream per direction, chunks of some 400 bytes no two of which are alike. One row of `SHAPES` per
kind; each gives the events of one chunk after the other.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from wsproxy.recording.format import DirTotals, Event, Header, Marker, Open, Totals, Trailer, pack_event, pack_header
from wsproxy.wire.events import C2S, S2C, Dir, End, Frame, Request, Response

from .marks import CHUNK

STEP_NS = 1_000_000  # between two chunks
UP = ("callback.backend_chunk", "ws.sent", "wire", "endpoint.chunk_in", "policy.chunk_in")
DOWN = (
    *("policy.chunk_out", "endpoint.chunk_out", "wire", "ws.received", "client.control_in"),
    *("client.normalized", "client.to_client", "callback.yielded"),
)
_HEAD = b"GET /stream/long HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
_ANSWER = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n%s\r\n"
_DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def chunk(number: int, *, last: bool = False) -> dict[str, Any]:
    """The backend's chunk of that number."""
    choice = CHUNK["choices"][0]
    delta = choice["delta"] | {"content": f"word {number} "}
    return CHUNK | {"choices": [choice | {"delta": delta, "finish_reason": "stop" if last else None}]}


class Wire:
    """Frames of one connection, compressed or not."""

    def __init__(self, *, compressed: bool) -> None:
        self._deflate = {dir: zlib.compressobj(wbits=-15) for dir in (C2S, S2C)} if compressed else None

    def opens(self) -> Iterator[Event]:
        yield Open(1, 0, "127.0.0.1:9", "ws://h:2")
        yield Request(1, C2S, 1_000, 1, "GET", "/stream/long", _HEAD)
        yield Response(1, S2C, 2_000, 1, 101, "X", _ANSWER % (_DEFLATE if self._deflate else b""))
        yield self.says(3_000, C2S, {"type": "START", "data": {"model": "demo", "messages": []}})

    def says(self, t: int, dir: Dir, message: dict[str, Any]) -> Frame:
        data, b0 = json.dumps(message).encode(), 0x81
        if self._deflate:
            packer, b0 = self._deflate[dir], 0xC1
            data = (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
        return self._frame(t, dir, b0, data)

    def closes(self, t: int) -> Iterator[Event]:
        for late, dir in ((0, C2S), (100_000, S2C)):
            yield self._frame(t + late, dir, 0x88, b"\x03\xe8")
        for late, dir in ((200_000, S2C), (300_000, C2S)):
            yield End(1, dir, t + late, "fin")

    @staticmethod
    def _frame(t: int, dir: Dir, b0: int, data: bytes) -> Frame:
        form = 7 if len(data) < 126 else 16 if len(data) < 65536 else 64
        return Frame(1, dir, t, b0, b"\1\2\3\4" if dir == C2S else None, len(data), form, data)


def _passes(
    wire: Wire, stages: tuple[str, ...], dir: Dir, t: int, number: int, value: dict[str, Any]
) -> Iterator[Event]:
    for place, stage in enumerate(stages):
        at = t + place * 20_000
        if stage == "wire":
            yield wire.says(at, dir, {"type": "CHUNK", "data": value})
        else:
            message = stage in ("ws.sent", "ws.received", "client.control_in")
            yield Marker(at, stage, number, {"type": "CHUNK", "data": value} if message else value, "pid 1 host", 0)


def _all_stages(wire: Wire, t: int, number: int, value: dict[str, Any]) -> Iterator[Event]:
    yield from _passes(wire, UP, C2S, t, number, value)
    yield from _passes(wire, DOWN, S2C, t + 200_000, number, value)


def _frames(wire: Wire, t: int, number: int, value: dict[str, Any]) -> Iterator[Event]:
    yield wire.says(t, C2S, {"type": "CHUNK", "data": value})
    yield wire.says(t + 200_000, S2C, {"type": "CHUNK", "data": value})


def _too_late(wire: Wire, t: int, number: int, value: dict[str, Any]) -> Iterator[Event]:
    """The policy decides an hour after everybody has gone."""
    yield from _passes(wire, UP[2:], C2S, t, number, value)
    yield from _passes(wire, DOWN[:1], S2C, t + 3_600_000_000_000, number, value)


SHAPES: dict[str, tuple[bool, int, Callable[[Wire, int, int, dict[str, Any]], Iterator[Event]]]] = {
    "every stage marked": (True, 13, _all_stages),
    "frames alone": (True, 2, _frames),
    "frames alone, not compressed": (False, 2, _frames),
    "all lost": (True, 4, _too_late),
}
"""Name: (compressed, events per chunk, the events of a chunk)."""


def write(path: Path, shape: str, events: int) -> None:
    """A recording of about so many events."""
    compressed, per_chunk, told = SHAPES[shape]
    wire = Wire(compressed=compressed)
    header = Header(path.stem, 1_700_000_000_000_000_000, 5_000, "boot", "wsproxy", "127.0.0.1:1", "ws://h:2")
    count = events // per_chunk
    with path.open("wb") as file:
        file.write(pack_header(header) + b"".join(pack_event(event, 0) for event in wire.opens()))
        for number in range(count):
            t = (number + 1) * STEP_NS
            for event in told(wire, t, number, chunk(number, last=number == count - 1)):
                file.write(pack_event(event, 0))
        end = (count + 2) * STEP_NS
        none = DirTotals(0, 0, "")
        for event in (*wire.closes(end), Totals(1, end, none, none), Trailer(end, 0, 0, 0, 1, none, none)):
            file.write(pack_event(event, 0))
