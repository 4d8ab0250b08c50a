"""A chunk's marker as the hooks send it, told by its bytes: nothing of it but the data has to be unpacked.

Strategy: `hooks.sender.Sender.pack` writes eight keys in one order, and all but the id, the stage and three numbers is the same in a whole
batch. So the ends of id and stage are computed, and everything is compared, byte by byte; a marker that is not exactly so is no harm: it is
read as any other.

Cost: 0.7 µs, where unpacking these keys and looking at each is 2.2 µs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

import msgpack

T = TypeVar("T")

_ID, _STAGE, _DATA = map(msgpack.packb, ("stream_id", "stage", "data"))
_MONO, _WALL, _INDEX = (msgpack.packb(key) + b"\xcf" for key in ("t_mono_ns", "t_wall_ns", "index"))  # of 64 bits
_MAP_OF_8, _STR8 = 0x88, 0xD9
_LONGEST = 13 + 255 + 7 + 31  # bytes of map, id and stage, as far as their ends are computed here
_INDEX_TO_DATA = len(_INDEX) + 8 + len(_DATA)

# A plain tuple: a named one takes 0.2 µs to make.
Head: TypeAlias = tuple[T, int, int, int]
"""What stands before the data: what belongs to id and stage, `t_mono_ns`, where the field of the index begins, and where the data."""


class ChunkLayout(Generic[T]):
    """The layout of one sender's batch.

    Args:
        boot_id: the sender's, as one of its markers has it.
        source: likewise.
        belonging: what the caller keeps for a stream id and a stage (in UTF-8); asked once for each pair.
    """

    def __init__(self, boot_id: str, source: str, belonging: Callable[[bytes, bytes], T]) -> None:
        self._whence = b"".join(map(msgpack.packb, ("boot_id", boot_id, "source", source))) + _INDEX
        rest = struct.Struct(f">{len(_MONO)}sQ{len(_WALL)}s8x{len(self._whence)}sB7x{len(_DATA)}s")
        self._unpack_rest, self._size = rest.unpack_from, rest.size
        self._longest = _LONGEST + self._size
        self._belonging = belonging
        self._known: dict[bytes, T] = {}  # by the fields of id and stage

    def head(self, body: bytes, begin: int) -> Head[T] | None:
        """The head of the marker that begins there; None where it is not of this layout."""
        if begin + self._longest > len(body) or body[begin] != _MAP_OF_8:
            return None
        form = body[begin + 11]
        id_end = begin + (13 + body[begin + 12] if form == _STR8 else 12 + (form & 31))
        rest = id_end + 7 + (body[id_end + 6] & 31)
        mono_key, mono_ns, wall_key, whence, index_high, data_key = self._unpack_rest(body, rest)
        if whence != self._whence or mono_key != _MONO or wall_key != _WALL or data_key != _DATA or index_high >= 0x80:
            return None
        known = self._known.get(body[begin + 1 : rest])
        if known is None:
            where = body[id_end:rest]
            stream_id = _text(body[begin + 1 : id_end], _ID)
            stage = _text(where, _STAGE) if where[6] != _STR8 else None
            if stream_id is None or stage is None:
                return None
            known = self._known[body[begin + 1 : rest]] = self._belonging(stream_id, stage)
        data_at = rest + self._size
        return known, mono_ns, data_at - _INDEX_TO_DATA, data_at


def _text(field: bytes, key: bytes) -> bytes | None:
    """The text of a field; None where it has another key, or is no text in the form by which its end was computed."""
    at = len(key)
    form = field[at]
    if not field.startswith(key) or (form != _STR8 and form >> 5 != 0b101):
        return None
    return field[at + 2 :] if form == _STR8 else field[at + 1 :]
