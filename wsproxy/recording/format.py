"""The msgpack layout: one map per event. `recordings/FORMAT.md` is this module in prose.

Strategy: every event type has one row in `_PACKERS` (event → map) and one in `_READERS` (map → event). Frames, parts and pieces are the
hot path, markers too: their maps are written from prepared bytes instead of through the packer.

Times in a file are nanoseconds since the header's start: the packers subtract it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import msgpack

from ..wire.events import (
    C2S,
    S2C,
    Body,
    Dir,
    End,
    Frame,
    Opaque,
    Part,
    Piece,
    Redacted,
    Request,
    Response,
)
from .events import (
    DIGEST,
    DIGEST_OF_1,
    VERSION,
    DirTotals,
    Event,
    Gap,
    Header,
    Late,
    Link,
    Marker,
    Open,
    Totals,
    Trailer,
    Unknown,
)
from .frame_packer import FramePacker
from .marker_packer import marker_heads, marker_tail, pack_timed, pack_untimed

FORMAT = "wsproxy"
LARGEST = 2**64 - 1  # number that msgpack holds: a stranger's counts may add up to more


class FormatError(ValueError):
    """A map that is not what its kind should be."""


# --- event → map → bytes ---------------------------------------------------------------------------------------------

_PACKERS: dict[type, Callable[[Any], dict[str, Any]]] = {
    Frame: lambda e: {
        "fin": e.fin,
        "rsv": e.rsv,
        "opcode": e.opcode,
        "mask": e.mask,
        "payload": e.payload,
        "length": e.length,
        "form": e.form,
    },
    Part: lambda e: {"offset": e.offset, "payload": e.payload},
    Piece: lambda e: {"exchange": e.exchange, "raw": e.raw},
    Marker: lambda e: {key: value for key, value in e._asdict().items() if value is not None and key != "t"},
    Request: lambda e: (
        {"exchange": e.exchange, "method": e.method, "target": e.target, "raw": e.raw}
        | ({"host": e.host, "sent": e.sent} if e.host is not None else {})
    ),
    Response: lambda e: (
        {"exchange": e.exchange, "status": e.status, "reason": e.reason, "raw": e.raw} | ({"by": e.by} if e.by else {})
    ),
    Body: lambda e: (
        {"exchange": e.exchange, "raw": e.raw, "end": e.end} | ({"omitted": e.omitted} if e.omitted else {})
    ),
    Opaque: lambda e: {"raw": e.raw} | ({"reason": e.reason} if e.reason else {}),
    End: lambda e: {"how": e.how} | ({"undelivered": e.undelivered} if e.undelivered else {}),
    Open: lambda e: {"client": e.client, "upstream": e.upstream} | ({"error": e.error} if e.error else {}),
    Gap: lambda e: {"until": e.until, "events": e.events, "bytes": e.bytes, "reason": e.reason},
    Late: lambda e: {} if e.until is None else {"until": e.until, "events": e.events, "longest": e.longest},
    Trailer: lambda e: {
        "events": e.events,
        "markers": e.markers,
        "gaps": e.gaps,
        "conns": e.conns,
        "c2s": _totals_map(e.c2s),
        "s2c": _totals_map(e.s2c),
    },
    Totals: lambda e: (
        {"c2s": _totals_map(e.c2s), "s2c": _totals_map(e.s2c)}
        | {name: link._asdict() for name in ("client", "server") if (link := getattr(e, name)) is not None}
    ),
    Redacted: lambda e: (
        {"how": e.how, "wire": e.wire}
        | {name: getattr(e, name) for name in ("frames", "payload", "rsv") if getattr(e, name)}
    ),
}

_pack: Callable[[Any], bytes] = msgpack.Packer(use_bin_type=True, unicode_errors="backslashreplace").pack


def _totals_map(totals: DirTotals) -> dict[str, Any]:
    fields = totals._asdict()
    if not totals.redacted:
        del fields["redacted"]
    return fields


def pack_header(header: Header) -> bytes:
    """The header map. Its first keys are fixed, so that `file` and `head -c` can tell what it is."""
    fields = header._asdict()
    if not header.redacted:
        del fields["redacted"]
    return _pack({"kind": "header", "format": FORMAT, **fields})


def pack_event(event: Event, base: int) -> bytes:
    """Any event as msgpack; its times become relative to `base` (nanoseconds)."""
    try:
        if isinstance(event, Frame | Part | Piece):
            out: list[bytes] = []
            FramePacker(event.conn, event.dir, base).pack([event], out)
            return b"".join(out)
        if type(event) is Marker:
            heads, tail = marker_heads(event.stage), marker_tail(event.source)
            data = None if event.data is None else _pack(event.data)
            return b"".join(pack_timed([pack_untimed(event.t, heads, tail, event.index, data, event.error_ns)], base))
    except struct.error:
        pass  # a time beyond 292 years, a negative index: a stranger's, and msgpack has a form for it
    if isinstance(event, Unknown):
        return _pack(event.fields)
    fields: dict[str, Any] = {"kind": type(event).__name__.lower()}
    conn = getattr(event, "conn", None)
    if conn is not None:
        fields["conn"] = conn
    dir = getattr(event, "dir", None)
    if dir is not None:
        fields["dir"] = dir
    fields["t"] = event.t - base
    fields |= _PACKERS[type(event)](event)
    if isinstance(event, Gap | Late) and event.until is not None:
        fields["until"] = event.until - base
    return _pack(fields)


# --- map → event -----------------------------------------------------------------------------------------------------

# Frames and markers come by the hundred thousand: what is ordinary is checked in one expression (0.5 µs instead of 1.3), and made without the
# constructor of named tuples (0.1 µs instead of 0.3).
_new = tuple.__new__
_of_frame = itemgetter("payload", "mask", "conn", "dir", "t", "fin", "rsv", "opcode")


def _frame(m: dict[str, Any]) -> Frame:
    payload, mask, conn, dir, t, fin, rsv, opcode = _of_frame(m)
    if (
        type(payload) is not bytes
        or (mask is not None and (type(mask) is not bytes or len(mask) != 4))
        or not (type(conn) is type(t) is type(rsv) is type(opcode) is int)
        or (dir != C2S and dir != S2C)
        or "length" in m
        or "form" in m
    ):
        return _odd_frame(m)
    size = len(payload)
    form = 7 if size < 126 else 16 if size < 65536 else 64
    b0 = (0x80 if fin else 0) | (rsv & 7) << 4 | (opcode & 15)
    return _new(Frame, (conn, dir, t, b0, mask, size, form, payload))


def _odd_frame(m: dict[str, Any]) -> Frame:
    """One in parts, of an odd form, or malformed."""
    payload = _bytes(m, "payload")
    mask = m["mask"]
    if mask is not None and (type(mask) is not bytes or len(mask) != 4):
        raise FormatError("'mask' is not 4 bytes")
    length = m.get("length")
    if length is None:
        length = len(payload)
    elif type(length) is not int or not len(payload) <= length < 1 << 64:
        raise FormatError("'length' is impossible")
    form = m.get("form") or (7 if length < 126 else 16 if length < 65536 else 64)
    if form not in (7, 16, 64) or length >= (126 if form == 7 else 1 << form):
        raise FormatError("'form' is impossible")
    b0 = (0x80 if m["fin"] else 0) | (_int(m, "rsv") & 7) << 4 | (_int(m, "opcode") & 15)
    return Frame(_int(m, "conn"), _dir(m), _int(m, "t"), b0, mask, length, form, payload)


def _marker(m: dict[str, Any]) -> Marker:
    get = m.get
    t, stage, index, source, error_ns = m["t"], m["stage"], get("index"), get("source"), get("error_ns", 0)
    if (
        type(t) is int
        and type(stage) is str
        and (index is None or type(index) is int)
        and (source is None or type(source) is str)
        and type(error_ns) is int
    ):
        return _new(Marker, (t, stage, index, get("data"), source, error_ns))
    fields = (_int(m, "t"), _str(m, "stage"), _opt_int(m, "index"), m.get("data"), _opt_str(m, "source"))
    return Marker(*fields, _count(m, "error_ns"))


def _dir_totals(m: dict[str, Any]) -> DirTotals:
    return DirTotals(
        _int(m, "bytes"), _int(m, "frames"), _str(m, "digest" if "digest" in m else "sha256"), _count(m, "redacted")
    )


def _link(m: dict[str, Any], name: str) -> Link | None:
    link = m.get(name)
    return None if link is None else Link(_int(link, "rtt_us"), _int(link, "resent"))


_READERS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "frame": _frame,
    "part": lambda m: Part(_int(m, "conn"), _dir(m), _int(m, "t"), _int(m, "offset"), _bytes(m, "payload")),
    "piece": lambda m: Piece(_int(m, "conn"), _dir(m), _int(m, "t"), _int(m, "exchange"), _bytes(m, "raw")),
    "request": lambda m: Request(
        _int(m, "conn"), _dir(m), _int(m, "t"), _int(m, "exchange"),
        _str(m, "method"), _str(m, "target"), _bytes(m, "raw"), _opt_str(m, "host"), _opt_str(m, "sent"),
    ),
    "response": lambda m: Response(
        _int(m, "conn"), _dir(m), _int(m, "t"), _int(m, "exchange"),
        _int(m, "status"), _str(m, "reason"), _bytes(m, "raw"), _opt_str(m, "by"),
    ),
    "body": lambda m: Body(
        _int(m, "conn"), _dir(m), _int(m, "t"), _int(m, "exchange"), _bytes(m, "raw"), bool(m["end"]), _count(m, "omitted")
    ),
    "opaque": lambda m: Opaque(_int(m, "conn"), _dir(m), _int(m, "t"), _bytes(m, "raw"), _opt_str(m, "reason")),
    "end": lambda m: End(_int(m, "conn"), _dir(m), _int(m, "t"), _str(m, "how"), _count(m, "undelivered")),
    "open": lambda m: Open(
        _int(m, "conn"), _int(m, "t"), _str(m, "client"), _str(m, "upstream"), _opt_str(m, "error")
    ),
    "marker": _marker,
    "gap": lambda m: Gap(_int(m, "t"), _int(m, "until"), _int(m, "events"), _int(m, "bytes"), _str(m, "reason")),
    "late": lambda m: Late(_int(m, "t"), _opt_int(m, "until"), _count(m, "events"), _count(m, "longest")),
    "trailer": lambda m: Trailer(
        _int(m, "t"), _int(m, "events"), _int(m, "markers"), _int(m, "gaps"),
        _int(m, "conns"), _dir_totals(m["c2s"]), _dir_totals(m["s2c"]),
    ),
    "redacted": lambda m: Redacted(
        _int(m, "conn"), _dir(m), _int(m, "t"), _str(m, "how"), _int(m, "wire"),
        _count(m, "frames"), _count(m, "payload"), _count(m, "rsv"),
    ),
    "totals": lambda m: Totals(
        _int(m, "conn"), _int(m, "t"), _dir_totals(m["c2s"]), _dir_totals(m["s2c"]), _link(m, "client"), _link(m, "server")
    ),
}  # fmt: skip


def _int(m: dict[str, Any], key: str) -> int:
    value = m[key]
    if type(value) is not int:
        raise FormatError(f"'{key}' is not an integer")
    return value


def _opt_int(m: dict[str, Any], key: str) -> int | None:
    return None if m.get(key) is None else _int(m, key)


def _count(m: dict[str, Any], key: str) -> int:
    return _opt_int(m, key) or 0


def _str(m: dict[str, Any], key: str) -> str:
    value = m[key]
    if type(value) is not str:
        raise FormatError(f"'{key}' is not a string")
    return value


def _opt_str(m: dict[str, Any], key: str) -> str | None:
    return None if m.get(key) is None else _str(m, key)


def _bytes(m: dict[str, Any], key: str) -> bytes:
    value = m[key]
    if type(value) is not bytes:
        raise FormatError(f"'{key}' is not binary")
    return value


def _dir(m: dict[str, Any]) -> Dir:
    value = m["dir"]
    if value == C2S:
        return C2S
    if value == S2C:
        return S2C
    raise FormatError("'dir' is neither 'c2s' nor 's2c'")


def read_header(m: Any) -> Header:
    """The first map of a file. Raises FormatError; a newer major version is refused."""
    if not isinstance(m, dict) or m.get("kind") != "header" or m.get("format") != FORMAT:
        raise FormatError("not a wsproxy recording")
    version = m.get("version")
    if not isinstance(version, list) or len(version) != 2 or not all(type(n) is int for n in version):
        raise FormatError("the header's version is not two numbers")
    if version[0] > VERSION[0]:
        raise FormatError(
            f"this recording has format version {version[0]}.{version[1]}; this wsproxy reads up to {VERSION[0]}.x: "
            "upgrade with 'pip install -U wsproxy'"
        )
    try:
        digest = DIGEST_OF_1 if version[0] < 2 else _str(m, "digest")
        if digest not in (DIGEST, DIGEST_OF_1):
            raise FormatError(f"this wsproxy does not know digests {digest!r}: upgrade with 'pip install -U wsproxy'")
        return Header(
            _opt_str(m, "stream_id"), _int(m, "start_wall_ns"), _int(m, "start_mono_ns"), _str(m, "boot_id"),
            _str(m, "relay"), _str(m, "listen"), _str(m, "upstream"), (version[0], version[1]), bool(m.get("redacted")), digest,
        )  # fmt: skip
    except KeyError as missing:
        raise FormatError(f"a header without {missing}") from None


def read_event(m: Any) -> Event:
    """The event of a map that is not the first. Raises FormatError."""
    kind = m.get("kind") if type(m) is dict else None
    if type(kind) is not str:
        raise FormatError("an object that is no event map")
    reader = _READERS.get(kind)
    if reader is None:
        return Unknown(kind, m)
    try:
        return reader(m)
    except KeyError as missing:
        raise FormatError(f"a {kind} without {missing}") from None
    except (TypeError, AttributeError) as error:
        raise FormatError(f"a malformed {kind}: {error}") from None
