"""Recordings of any length for the benchmarks of reading: streams that went well, that lost everything, with hooks everywhere and with none.

Strategy: the relay's own packers, a real deflate stream per direction, chunks of some 400 bytes no two of which are alike. One row of `SHAPES` per
kind; each gives the events of one chunk after the other. Totals and trailer hold what they should, so `wsproxy verify` accepts every one.
`write_bulk` makes a few large frames in place of many small ones, in parts as the relay reads them; `write_folder` many short recordings.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from xxhash import xxh64

from wsproxy.recording.events import DirTotals, Event, Header, Marker, Open, Totals, Trailer
from wsproxy.recording.folder import file_name
from wsproxy.recording.format import pack_event, pack_header
from wsproxy.wire.events import C2S, S2C, Dir, End, Frame, Part, Request, Response, Superseding

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
_START_WALL = 1_700_000_000_000_000_000
_FRAME, _READ = 256 << 10, 64 << 10  # bytes of a large frame, and of what the relay reads at once
_JOINED = 256  # events that are handed to the file at once


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


def _short(wire: Wire, t: int, number: int, value: dict[str, Any]) -> Iterator[Event]:
    """Frames of 300 bytes each way, and a marker where the policy took the chunk and where it put it out."""
    short = {name: value[name] for name in ("id", "created", "model", "object", "choices", "service_tier")}
    for dir, stage in ((C2S, "policy.chunk_in"), (S2C, "policy.chunk_out")):
        at = t + (400_000 if dir == S2C else 0)
        if dir == S2C:
            yield Marker(at, stage, number, short, "pid 1 host", 0)
        yield wire.says(at + 10_000, dir, {"type": "CHUNK", "data": short})
        if dir == C2S:
            yield Marker(at + 20_000, stage, number, short, "pid 1 host", 0)


SHAPES: dict[str, tuple[bool, int, Callable[[Wire, int, int, dict[str, Any]], Iterator[Event]]]] = {
    "every stage marked": (True, 13, _all_stages),
    "frames alone": (True, 2, _frames),
    "frames alone, not compressed": (False, 2, _frames),
    "all lost": (True, 4, _too_late),
    "short chunks, some marked": (False, 4, _short),
}
"""Name: (compressed, events per chunk, the events of a chunk)."""


def write(path: Path, shape: str, events: int) -> None:
    """A recording of about so many events."""
    compressed, per_chunk, told = SHAPES[shape]
    count = events // per_chunk

    def said(wire: Wire) -> Iterator[Event]:
        for number in range(count):
            yield from told(wire, (number + 1) * STEP_NS, number, chunk(number, last=number == count - 1))

    _record(path, Wire(compressed=compressed), said, (count + 2) * STEP_NS)


def write_bulk(path: Path, size: int, *, changed: int = 0) -> int:
    """A recording of about `size` bytes of large binary frames in both directions, and how many frames these are.

    Args:
        changed: one in so many frames holds something else.
    """
    noise = bytes(range(256)) * (_FRAME // 256)
    frames = size // _FRAME

    def said(wire: Wire) -> Iterator[Event]:
        for number in range(frames):
            t, dir = (number + 1) * STEP_NS, (C2S, S2C)[number % 2]
            start = f"frame {number:08} {'changed' if changed and number % changed == 0 else 'as it was'}".encode()
            payload = start + noise[len(start) :]
            yield Frame(1, dir, t, 0x82, b"\1\2\3\4" if dir == C2S else None, len(payload), 64, payload[:_READ])
            for offset in range(_READ, len(payload), _READ):
                yield Part(1, dir, t + offset, offset, payload[offset : offset + _READ])

    _record(path, Wire(compressed=False), said, (frames + 2) * STEP_NS)
    return frames


def write_folder(folder: Path, count: int, events: int) -> None:
    """So many recordings of so many events, a second after each other, each under its own stream id."""
    folder.mkdir()
    one = folder / "one"
    write(one, "short chunks, some marked", events)
    data = one.read_bytes()
    one.unlink()
    for number in range(count):
        wall = _START_WALL + number * 1_000_000_000
        (folder / file_name(f"{number * 2_654_435_761 % (1 << 32):08x}-{number:05}", wall)).write_bytes(data)


def _record(path: Path, wire: Wire, said: Callable[[Wire], Iterable[Event]], end: int) -> None:
    """Write a stream from its opening to its trailer, as the relay does."""
    header = Header(path.stem, _START_WALL, 5_000, "boot", "wsproxy", "127.0.0.1:1", "ws://h:2")
    passed = {dir: _Passed() for dir in (C2S, S2C)}
    events = markers = 0
    with path.open("wb") as file:
        file.write(pack_header(header))
        batch: list[bytes] = []
        for part in (wire.opens(), said(wire), wire.closes(end)):
            for event in part:
                events += 1
                if isinstance(event, Marker):
                    markers += 1
                elif not isinstance(event, Open):
                    passed[event.dir].feed(event)
                batch.append(pack_event(event, 0))
                if len(batch) >= _JOINED:
                    file.write(b"".join(batch))
                    batch.clear()
        file.write(b"".join(batch))
        c2s, s2c = (passed[dir].totals() for dir in (C2S, S2C))
        file.write(pack_event(Totals(1, end, c2s, s2c), 0))
        sums = (one._replace(digest=xxh64(one.digest.encode()).hexdigest()) for one in (c2s, s2c))
        file.write(pack_event(Trailer(end, events + 1, markers, 0, 1, *sums), 0))


class _Passed:
    """What went by in one direction."""

    def __init__(self) -> None:
        self._wire = Superseding()
        self._digest = xxh64()
        self._bytes = self._frames = 0

    def feed(self, event: Any) -> None:
        self._frames += isinstance(event, Frame)
        for part in self._wire.wire_bytes(event):
            self._digest.update(part)
            self._bytes += len(part)

    def totals(self) -> DirTotals:
        return DirTotals(self._bytes, self._frames, self._digest.hexdigest())
