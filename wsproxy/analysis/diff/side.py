"""A recording as entries that can be paired.

Strategy: one pass over the items of the view. Of each its digest is kept, and its content as long as all contents fit into a bound. Where they do
not, what the other side has too, to the byte, needs no content: a second pass keeps the contents of the rest, within the bound again, and of all
else the keys by which it is paired. It is read once more to be shown, and never one by one. Markers are counted by stage, not paired: what they
hold stands in the messages.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from ...recording.events import Event, Gap, Marker
from ...recording.messages import DEFAULT_LIMIT, Message
from ...recording.view import HttpBody, Item, in_time_order, items
from ...wire.events import C2S, End, Frame, Opaque, Part, Piece, Request, Response
from ...wire.http1 import head_fields
from ..journey.reading import Source
from ..pipeline import TYPES
from . import volatile
from .masked import Captured, MaskedKeys
from .model import Content, Entry, Options, Side
from .volatile import Volatile

KEPT = 96 << 20  # bytes of contents that are kept per side; beyond it they are read again
LONGEST = DEFAULT_LIMIT  # bytes of one message or body
_NOT_DATA = ("close", "ping", "pong", "more")  # labels of frames
_TYPES = {name.encode(): name for name in TYPES}
_OPCODES = {0: "cont", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


class Reading:
    """One side: its entries in the order of time, and their contents.

    Args:
        recording: what is read, once now and again for contents that were not kept.
        options: `frames` and `dirs` choose what becomes an entry.
    """

    def __init__(self, recording: Source, options: Options) -> None:
        self._recording = recording
        self._options = options
        self._kept: dict[int, bytes | Item] = {}
        self._size = 0
        self._all_kept = True
        self._masked = MaskedKeys()  # of what is not kept
        self._named: dict[Captured, list[Volatile]] = {}
        self._conns: dict[int, int] = {}
        self._digest = hashlib.blake2b(digest_size=16)
        self.entries: list[Entry] = []
        self.stages: Counter[str] = Counter()
        self.targets: list[str] = []
        self.side = Side(
            str(getattr(recording, "path", "")),
            recording.header.stream_id or "",
            recording.header.start_wall_ns,
            "frame" if options.frames else "message",
        )
        for number, item in self._items():
            self._take(number, item)
        ending = recording.ending
        self.side.state = ending.state if ending is not None else ""
        self.side.duration = self.entries[-1].t - self.entries[0].t if self.entries else 0

    @property
    def digest(self) -> bytes:
        """Of all contents in their order: what decides, reproducibly, which side is aligned to which."""
        return self._digest.digest()

    def settle(self, other: Reading) -> None:
        """Where not all contents could be kept: keep those that the other side lacks, and the masked keys of all others."""
        if self._all_kept:
            return
        there = {entry.identity for entry in other.entries}
        wanted = {entry.number for entry in self.entries if entry.identity not in there}
        self._kept, self._size = {}, 0
        for number, item in self._items():
            described = None if isinstance(item, Marker) else describe(item)
            if described is None:
                continue
            kind, label, data = described
            if number in wanted and self._size < KEPT:
                self._keep(number, item, kind, data)
            elif kind in ("message", "body") and label != "binary":
                _, values = self._masked.put(number, *volatile.masked(data))
                if values not in self._named:
                    self._named[values] = volatile.named(data)

    def knows(self, entry: Entry) -> bool:
        """Whether the content of an entry can be looked into; otherwise there are its digest and its masked key."""
        return self._all_kept or entry.number in self._kept

    def masked(self, entry: Entry) -> tuple[int, Captured]:
        """Of an entry that cannot be looked into: as `volatile.masked` of its bytes, or its digest where it is none that has such a key."""
        return self._masked.get(entry.number) or (entry.exact, ())

    def named(self, values: Captured) -> list[Volatile]:
        """The volatile values that a masked key left out, as `volatile.named`."""
        return self._named.get(values, [])

    def contents(self, numbers: Iterable[int]) -> dict[int, Content]:
        """The contents of entries, by number."""
        wanted = set(numbers)
        found = {number: content(self._kept[number]) for number in wanted if number in self._kept}
        missing = wanted - found.keys()
        if missing:
            for number, item in self._items():
                if number in missing:
                    found[number] = content(item)
        return found

    def data(self, number: int) -> bytes | None:
        """The bytes of a message or body, if they were kept."""
        item = self._kept.get(number)
        return item if isinstance(item, bytes) else None

    def _items(self) -> Iterator[Item]:
        found = items(self._recording.events(), frames=self._options.frames, limit=LONGEST)
        return in_time_order(found)

    def _take(self, number: int, item: Any) -> None:
        if isinstance(item, Marker):
            self.stages[item.stage] += 1
            self.side.markers += 1
            return
        if isinstance(item, Gap):
            self.side.lost += item.events
            return
        described = describe(item)
        if described is None:
            return
        kind, label, data = described
        conn = self._conns.get(item.conn)
        if conn is None:
            conn = self._conns[item.conn] = len(self._conns)
            self.targets.append("")
        if kind == "request" and not self.targets[conn]:
            self.targets[conn] = item.target
        if kind == "message" or (kind == "frame" and label not in _NOT_DATA):
            if item.dir == C2S:
                self.side.up += 1
            else:
                self.side.down += 1
        elif label == "close":
            payload = item.payload if isinstance(item, Frame) else item.data
            code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 1005
            self.side.closes[item.dir] = (item.t, code, payload[2:].decode("utf-8", "replace"))
        if item.dir not in self._options.dirs:
            return
        self._digest.update(f"{conn} {item.dir} {label} {len(data)} ".encode() + data)
        t = item.t_end if isinstance(item, Message | HttpBody) else item.t
        self.entries.append(Entry(number, conn, item.dir, t, kind, label, hash(data), len(data)))
        if self._size < KEPT:
            self._keep(number, item, kind, data)
        else:
            self._all_kept = False

    def _keep(self, number: int, item: Any, kind: str, data: bytes) -> None:
        self._size += len(data) + 100
        self._kept[number] = data if kind in ("message", "body") else item


def describe(item: Message | HttpBody | Event) -> tuple[str, str, bytes] | None:
    """Kind, label and the bytes that make it what it is; None for what is no entry."""
    if isinstance(item, Message):
        if item.opcode == 8:
            return "close", "close", item.data
        if item.opcode > 8:
            return "control", _OPCODES.get(item.opcode, f"op {item.opcode}"), b""
        return "message", _label(item), item.data
    if isinstance(item, HttpBody):
        return "body", "body", item.data
    if isinstance(item, Request):
        return "request", item.method, item.raw
    if isinstance(item, Response):
        return "response", str(item.status), item.raw
    if isinstance(item, End):
        return "end", item.how, item.how.encode()
    if isinstance(item, Opaque | Piece):
        return "opaque", "opaque", item.raw
    if isinstance(item, Frame):
        head = bytes((item.b0, item.mask is not None))
        return "frame", _OPCODES.get(item.opcode, f"op {item.opcode}"), head + item.payload
    if isinstance(item, Part):
        return "frame", "more", item.payload
    return None


def _label(message: Message) -> str:
    """START, CHUNK, END or ERROR, told from the first bytes where they say it; else the opcode's name."""
    if message.opcode == 1:
        head = message.data[:40]
        if head[:1] == b"{" and b'"type"' in head:
            word = head.partition(b'"type"')[2].partition(b'"')[2].partition(b'"')[0]
            found = _TYPES.get(word)  # no new string for each entry
            if found is not None:
                return found
    return _OPCODES.get(message.opcode, f"op {message.opcode}")


def content(item: bytes | Any) -> Content:
    """The content of an item: JSON where it is some; a head as its start line and headers."""
    if isinstance(item, bytes):
        return Content(item)
    if isinstance(item, Message | HttpBody):
        if isinstance(item, Message) and item.opcode == 8:
            return Content(item.data, {"code": item.close_code, "reason": item.close_reason})
        return Content(item.data if not isinstance(item, Message) or item.opcode < 8 else b"")
    if isinstance(item, Request):
        return Content(item.raw, {"method": item.method, "target": item.target, "headers": _headers(item.raw)})
    if isinstance(item, Response):
        fields: dict[str, Any] = {"status": item.status, "reason": item.reason, "headers": _headers(item.raw)}
        return Content(item.raw, fields | ({"by": item.by} if item.by else {}))
    if isinstance(item, End):
        return Content(item.how.encode(), item.how)
    if isinstance(item, Frame):
        head = {"fin": item.fin, "rsv": item.rsv, "opcode": item.opcode, "masked": item.mask is not None}
        return Content(item.payload, {**head, "length": item.length, "payload": _shown(item)})
    return Content(item.payload if isinstance(item, Part) else item.raw)


def _shown(frame: Frame) -> str:
    """A frame's payload as text. A compressed one is told by its digest: its bytes say nothing to a person, and may hold credentials."""
    if frame.rsv & 4:
        digest = hashlib.sha256(frame.payload).hexdigest()
        return f"compressed, SHA-256 {digest[:12]}"  # sixteen digits would be taken for an id, and held equal
    try:
        return frame.payload.decode()
    except UnicodeDecodeError:
        return frame.payload.hex(" ")


def _headers(raw: bytes) -> dict[str, Any]:
    """Header fields by lower-case name; several of one name as a list."""
    fields: dict[str, Any] = {}
    for name, value in head_fields(raw):
        key = name.lower()
        if key not in fields:
            fields[key] = value
        elif isinstance(fields[key], list):
            fields[key].append(value)
        else:
            fields[key] = [fields[key], value]
    return fields
