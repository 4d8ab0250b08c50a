"""Recordings as a stranger would make them: well-formed where that helps, and hostile in one way each."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from functools import reduce
from typing import Any

import msgpack

from wsproxy.recording.events import DirTotals, Event, Gap, Late, Marker, Open, Trailer, Unknown
from wsproxy.wire.events import C2S, S2C, Body, Dir, End, Frame, Part, Request, Response

EVIL = "\x1b]0;owned\x07\x1b[2J\r\n\x9b1A\u202e\u2028 fake"
_UPGRADE = b"GET /stream/s1 HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
_DEFLATE = b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
_POST = b"POST /api/hooks/x HTTP/1.1\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n\r\n"
OPENED: list[Event] = [
    Open(1, 0, "127.0.0.1:1", "h:2"),
    Request(1, C2S, 1, 1, "GET", "/stream/s1", _UPGRADE),
    Response(1, S2C, 2, 1, 101, "x", _DEFLATE),
]


def frame(payload: bytes, dir: Dir = C2S, b0: int = 0x81, conn: int = 1, t: int = 5) -> Frame:
    size = len(payload)
    return Frame(conn, dir, t, b0, None, size, 7 if size < 126 else 16 if size < 65536 else 64, payload)


def chunk(data: bytes, t: int = 5) -> Frame:
    return frame(b'{"type":"CHUNK","data":%b}' % data, t=t)


def deflated(data: bytes, t: int = 5) -> Frame:
    """A compressed message that needs no earlier one."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return frame((squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4], b0=0xC1, t=t)


def _nested(depth: int) -> Any:
    return reduce(lambda inner, _: {"a": inner}, range(depth), "x")


def _deep_json() -> list[Event]:
    depths = (200, 400, 700, 900, 960, 990, 1_500, 100_000)
    return [
        *OPENED,
        *(chunk(b"[" * n + b"]" * n, t=n) for n in depths),
        *(chunk(b'{"a":' * n + b"1" + b"}" * n, t=n) for n in depths),
    ]


def _huge_numbers() -> list[Event]:
    numbers = (b"9" * 5_000, b"9" * 4_000, b"1e999", b"-1e999", b"NaN", b"-Infinity", b"-0", b"1E400")
    shape = b'{"created":%b,"choices":[{"index":%b,"delta":{"content":"x"}}]}'
    markers = [
        Marker(2**63 - 1, "policy.chunk_in", 2**64 - 1, {"a": 2**64 - 1}, None, 2**63),
        Marker(-(2**63), "ws.sent", 0, float("nan"), "x", 0),
    ]
    return [*OPENED, *(chunk(shape % (n, n), t=t) for t, n in enumerate(numbers)), *markers]


def _extreme_fields() -> list[Event]:
    big = 2**64 - 1
    odd: list[Event] = [
        Frame(big, C2S, 2**63 - 1, 0x81, None, big, 64, b"x"),
        Part(big, C2S, -(2**63), big, b"y"),
        End(1, C2S, 1, "fin", big),
        Frame(1, C2S, big, 0x81, None, 1, 7, b"z"),
        Part(1, S2C, 2**63, 7, b"z"),
        Marker(big, "ws.sent", -1, None, None, -1),
    ]
    return [
        *OPENED,
        *odd,
        Body(1, C2S, 1, big, b"z", False, big),
        Gap(-(2**63), 2**63, big, big, "r"),
        Late(-(2**63)),
        Late(-(2**63), 2**63, big, big),
        Trailer(big, big, big, big, big, DirTotals(big, big, "", big), DirTotals(big, big, "", big)),
    ]


def _acting() -> list[Event]:
    raw = EVIL.encode() + b"\xff\xfe"
    return [
        Open(1, 0, EVIL, EVIL, EVIL), Request(1, C2S, 1, 1, EVIL, EVIL, b"GET / HTTP/1.1\r\nX: " + raw + b"\r\n\r\n"), *OPENED, frame(raw),
        chunk(json.dumps({"choices": [{"delta": {"content": EVIL}}]}).encode()), frame(b"\x03\xe8" + raw, S2C, 0x88),
        Marker(3, EVIL, None, {EVIL: EVIL}, EVIL, 0), Unknown(EVIL, {"kind": EVIL, EVIL: EVIL}), Gap(3, 4, 1, 1, EVIL),
    ]  # fmt: skip


def _texts() -> list[Event]:
    """What regular expressions that look for secrets could trip over."""
    texts = (b"a", b"\\", b'"', b'"token": "', b"Bearer ", b"sk-", b"&token=", b'\\"', b"password-")
    return [
        *OPENED,
        *(frame(text * ((1 << 20) // len(text)), t=t) for t, text in enumerate([*texts, b"eyJ" + b"a" * (1 << 20)])),
    ]


STRANGE: dict[str, Callable[[], list[Event]]] = {
    "deflate bombs": lambda: [*OPENED, *(deflated(b"a" * (40 << 20), t) for t in range(3))],
    "a bomb of JSON": lambda: [*OPENED, deflated(b'{"type":"CHUNK","data":[' + b'"aaaa",' * (1 << 18) + b"1]}")],
    "a gzip bomb": lambda: [
        OPENED[0],
        Request(1, C2S, 1, 1, "POST", "/", _POST),
        Body(1, C2S, 2, 1, zlib.compress(bytes(300 << 20), 9), True, 0),
    ],
    "deep JSON": _deep_json,
    "deep markers": lambda: [
        *OPENED,
        *(Marker(1, "policy.chunk_in", n, _nested(n), None, 0) for n in (100, 300, 450, 500)),
    ],
    "huge numbers": _huge_numbers,
    "extreme fields": _extreme_fields,
    "what acts on a terminal": _acting,
    "8,000 connections": lambda: [
        event for n in range(8_000) for event in (Open(n, 0, "c", "u"), Frame(n, C2S, 1, 1, None, 9, 7, b"x"))
    ],
    "100,000 keys": lambda: [*OPENED, chunk(b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(100_000)) + b"}")],
    "100,000 fields": lambda: [
        OPENED[0],
        Request(1, C2S, 1, 1, "GET", "/", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000 + b"\r\n"),
    ],
    "texts": _texts,
}

#: Bytes behind good events: bombs of msgpack.
TAILS = {
    "arrays in arrays": b"\x91" * 100_000 + b"\xc0",
    "a bin of 4 GiB": b"\xc6\xff\xff\xff\xff" + b"x" * 50,
    "500 arrays of 100,000 in each other": b"\xdd\x00\x01\x86\xa0" * 500,
    "a map of 2^32": b"\xdf\xff\xff\xff\xff\xc0\xc0",
    "an extension of 4 GiB": b"\xc9\xff\xff\xff\xff\x10",
    "an impossible timestamp": msgpack.packb({"kind": "frame"})[:-1] + b"\xd7\xff" + b"\xff" * 8,
    "nothing but empty arrays": b"\x90" * (4 << 20),
}  # fmt: skip
