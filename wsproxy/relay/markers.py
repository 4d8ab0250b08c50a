"""Stage markers from outside: read and checked.

Strategy: a batch is accepted whole or not at all, so everything is checked before anything is kept; what is wrong is named by its place
(`markers[3].stage`). There is one reading, of msgpack; a JSON body is made msgpack first. Text is left as bytes, and a marker's data, which
nobody here wants to see, goes into the recording in the bytes in which it came; it is unpacked all the same, as the proof that a reader of the
recording can.

Cost: 2.5 µs per marker with a chunk (6.2 µs when all of it was decoded and packed again), in slices between which the relay does other things.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import msgpack

from ..recording.marker_packer import Heads, Tail, Untimed, marker_heads, marker_tail, pack_untimed
from ..stages import is_stage
from .marker_clock import DAY_NS, BadMarkers, Clock, placed
from .marker_layout import ChunkLayout

BODY_LIMIT = 8 << 20  # bytes of one request
BATCH_LIMIT = 20_000  # markers of one request
DATA_LIMIT = 1 << 20  # bytes of one marker's data, as msgpack
ID_LIMIT = 1024  # characters of a stream id
SOURCE_LIMIT = 200  # characters
ITEMS_LIMIT = 1 << 17  # of a list or map of the data: what a reader of recordings takes
SLICE_BYTES = 32 << 10  # of a body are read in one go: 70 markers with chunks, 0.2 ms
_KEPT = 256  # stages and sources whose bytes are kept

_pack = msgpack.Packer(use_bin_type=True, unicode_errors="backslashreplace").pack
_MAPS = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))  # first bytes of a msgpack map
_ARRAYS = frozenset((*range(0x90, 0xA0), 0xDC, 0xDD))


class MarkerBatch:
    """The markers of one request.

    Args:
        content_type: `application/msgpack` (or x-msgpack), anything else is read as JSON.

    Attributes:
        by_stream: what was read so far, by stream id, the times on the relay's monotonic clock. Complete when `slices()` has ended without an error.

    Raises:
        BadMarkers: nothing of it may be kept.
    """

    def __init__(self, body: bytes, content_type: str, clock: Clock) -> None:
        self.by_stream: dict[str, list[Untimed]] = {}
        self._clock = clock
        self._kind = "msgpack" if "msgpack" in content_type else "JSON"
        self._body = body if self._kind == "msgpack" else _as_msgpack(body)
        self._several = self._body[:1] != b"" and self._body[0] in _ARRAYS
        self._number = self._begin = 0  # of the marker that is being read: its place in the batch and in the body
        self._of_ids: dict[Any, list[Untimed]] = {}  # by the id as it came

    def slices(self) -> Iterator[None]:
        """Read all of it; yields every 32 KiB or so, to whoever has something else to do meanwhile."""
        try:
            yield from self._read()
        except BadMarkers as error:
            raise BadMarkers(f"markers[{self._number}].{error}" if self._several else str(error)) from None
        except msgpack.OutOfData:
            raise BadMarkers(f"body: not {self._kind}: it ends too early") from None
        # msgpack raises ValueError, its own, and TypeError for keys that cannot be any; KeyError is `data` as binary.
        except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
            if self._body[self._begin] not in _MAPS:
                raise BadMarkers(f"{f'markers[{self._number}].' * self._several}marker: not an object") from None
            raise BadMarkers(f"body: not {self._kind}: {error or type(error).__name__}") from None

    def _read(self) -> Iterator[None]:
        # One loop with all that it needs in local names: as methods it was 0.9 µs more per marker.
        body, now, boot_id = self._body, self._clock.mono_ns, self._clock.boot_id.encode()
        unpacker = msgpack.Unpacker(
            raw=True,
            strict_map_key=False,
            max_buffer_size=max(len(body), 1),
            max_array_len=ITEMS_LIMIT,
            max_map_len=ITEMS_LIMIT,
        )
        unpacker.feed(body)
        unpack, tell, skip_bytes = unpacker.unpack, unpacker.tell, unpacker.read_bytes
        layout: ChunkLayout[tuple[list[Untimed], bytes]] | None = None  # of a sender whose times are exact
        tail = b""
        sliced = 0
        for number in range(self._count(unpacker)):
            self._number = number
            self._begin = begin = tell()
            if begin - sliced > SLICE_BYTES:
                sliced = begin
                yield
            head = layout.head(body, begin) if layout is not None else None
            if head is None or abs(head[1] - now) >= DAY_NS:
                m = self._any(unpacker)
                source = m.get(b"source")
                if layout is None and source and self._clock.shared and m.get(b"boot_id") == boot_id:
                    keys, tail = _tail_of(source)
                    layout = ChunkLayout(self._clock.boot_id, source.decode(), partial(self._chunks, keys + 2))
                continue
            (markers, start), t, index_at, data_at = head
            skip_bytes(data_at - begin)
            unpack()
            end = tell()
            if end - data_at > DATA_LIMIT:
                raise BadMarkers(f"data: {end - data_at:,} bytes; at most {DATA_LIMIT:,}")
            markers.append((t, start + body[index_at:end] + tail))
        if tell() != len(body):
            raise ValueError("more than one value")

    def _chunks(self, keys: int, stream_id: bytes, stage: bytes) -> tuple[list[Untimed], bytes]:
        return self._stream(stream_id), _heads_of(stage)[keys]

    def _any(self, unpacker: msgpack.Unpacker) -> dict[Any, Any]:
        """Read a marker of any layout; gives its fields."""
        keys = unpacker.read_map_header()
        # Keys and values in turn, without a line of Python for each; the last one alone, because hooks send the data last.
        m = dict(islice(zip(unpacker, unpacker, strict=False), keys - 1)) if keys > 1 else {}
        last, data_at = (unpacker.unpack(), unpacker.tell()) if keys else (None, 0)
        m[last] = unpacker.unpack() if keys else None
        end = unpacker.tell()
        index, data = m.get(b"index"), m.get(b"data")
        markers, heads = self._stream(m.get(b"stream_id")), _heads_of(m.get(b"stage"))
        if index is not None and (type(index) is not int or not 0 <= index < 1 << 63):
            raise BadMarkers("index: must be a whole number from 0")
        tail = _tail_of(m.get(b"source"))
        if data is not None:
            data = self._body[data_at:end] if last == b"data" else _repacked(self._body[self._begin : end])
            if len(data) > DATA_LIMIT:
                raise BadMarkers(f"data: {len(data):,} bytes; at most {DATA_LIMIT:,}")
        t, error_ns = placed(m, self._clock)
        markers.append(pack_untimed(t, heads, tail, index, data, error_ns))
        return m

    def _count(self, unpacker: msgpack.Unpacker) -> int:
        if not self._several:
            return 1
        count: int = unpacker.read_array_header()
        if count > BATCH_LIMIT:
            self._several = False  # it is no marker's fault
            raise BadMarkers(f"markers: {count:,} of them; send at most {BATCH_LIMIT:,} at once")
        return count

    def _stream(self, raw: Any) -> list[Untimed]:
        markers = self._of_ids.get(raw) if type(raw) is bytes else None
        if markers is not None:
            return markers
        stream_id = _text(raw)
        if stream_id is None or not 0 < len(stream_id) <= ID_LIMIT:
            raise BadMarkers(f"stream_id: must be a string of 1 to {ID_LIMIT:,} characters")
        markers = self._of_ids[raw] = self.by_stream.setdefault(stream_id, [])
        return markers


_heads: dict[bytes, Heads] = {}  # of a stage, as it came
_tails: dict[bytes | None, Tail] = {None: marker_tail(None)}  # of a source, as it came


def _heads_of(raw: Any) -> Heads:
    heads = _heads.get(raw) if type(raw) is bytes else None
    if heads is not None:
        return heads
    stage = _text(raw)
    if not is_stage(stage):
        raise BadMarkers("stage: must be a dotted lower-case name such as policy.chunk_in, of at most 64 characters")
    if len(_heads) >= _KEPT:
        _heads.clear()
    heads = _heads[raw] = marker_heads(stage)
    return heads


def _tail_of(raw: Any) -> Tail:
    tail = _tails.get(raw) if type(raw) is bytes or raw is None else None
    if tail is not None:
        return tail
    source = _text(raw)
    if raw is not None and (source is None or len(source) > SOURCE_LIMIT):
        raise BadMarkers(f"source: must be a string of at most {SOURCE_LIMIT} characters")
    if len(_tails) >= _KEPT:
        _tails.clear()
    tail = _tails[raw] = marker_tail(source)
    return tail


def _repacked(marker: bytes) -> bytes:
    """The data of a marker in which something stands behind it."""
    return bytes(_pack(msgpack.unpackb(marker, strict_map_key=False, unicode_errors="backslashreplace")["data"]))


def _text(raw: Any) -> str | None:
    """A string of a msgpack that was read as bytes; None where it is none."""
    try:
        return raw.decode() if type(raw) is bytes else None
    except UnicodeDecodeError:
        return None


def _as_msgpack(body: bytes) -> bytes:
    """A JSON body as msgpack; it has numbers that cannot be that, which are refused by name."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadMarkers(f"body: not JSON: {error or type(error).__name__}") from None
    if isinstance(parsed, list) and len(parsed) > BATCH_LIMIT:
        raise BadMarkers(f"markers: {len(parsed):,} of them; send at most {BATCH_LIMIT:,} at once")
    try:
        return bytes(_pack(parsed))
    except (ValueError, OverflowError, TypeError, RecursionError) as error:
        raise BadMarkers(f"{_place(parsed)}: cannot be recorded: {error}") from None


def _place(parsed: Any) -> str:
    """What of a JSON body cannot be packed."""
    for number, m in enumerate(parsed if isinstance(parsed, list) else [parsed]):
        for key, value in m.items() if isinstance(m, dict) else ():
            try:
                _pack(value)
            except (ValueError, OverflowError, TypeError, RecursionError):
                return f"markers[{number}].{key[:64]}" if isinstance(parsed, list) else key[:64]
    return "body"
