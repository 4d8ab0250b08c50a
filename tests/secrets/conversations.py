"""Hypothesis strategies: whole recordings of conversations with secrets planted in any place."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, NamedTuple
from urllib.parse import quote

from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from wsproxy.recording.events import Event, Marker, Trailer
from wsproxy.wire.events import C2S, S2C, Dir

from ..recording.samples import finished
from ..wire.strategies import chunked, cuts

_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
#: Keys that are known by their shape, wherever they stand.
keys = st.text(_ALPHABET, min_size=24, max_size=40).map(lambda rest: f"sk-{rest}")
#: Any other secret: known by where it stands.
passwords = st.text(_ALPHABET + "/+=._-~!", min_size=20, max_size=40).map(lambda rest: f"q7{rest}9")

_DEFLATE = "permessage-deflate"
UPGRADE = (
    "GET /stream/s1?api_key={} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {}\r\nX-Note: {}\r\n\r\n"
)


class Planted(NamedTuple):
    """A recording, the secrets in it, and what was read of which connection: [(connection, t, direction, bytes, or None for its end)]."""

    events: list[Event]
    secrets: set[str]
    said: list[tuple[int, int, Dir, bytes | None]]


@st.composite
def texts(draw: st.DrawFn, key: str, password: str) -> bytes:
    """A text, JSON or not, with the secrets in it somewhere."""
    before, after = draw(words), draw(words)
    form = draw(st.sampled_from(["json", "ascii", "nested", "prose", "url", "form", "sse", "base64", "utf-16", "none"]))
    document: Any = {
        "type": draw(st.sampled_from(["START", "CHUNK"])),
        "data": {
            "secret_fields": {"raw_headers": {"authorization": f"Bearer {password}"}},
            "deployment": {"litellm_params": {"api_key": key}},
            "note": f"{before} {key} {after}",
            "n": [1, 2.5, None, True, before],
        },
    }
    if form == "json":
        return json.dumps(document, ensure_ascii=False).encode()
    if form == "ascii":
        return json.dumps(document, indent=draw(st.sampled_from([None, 1]))).encode()
    if form == "nested":
        return json.dumps({"arguments": json.dumps(document)}).encode()
    if form == "url":
        return f"see https://me:{quote(password, safe='')}@host/x?token={key}&a={quote(before)} {after}".encode()
    if form == "form":
        return f"api_key={quote(key)}&b={quote(before)}".encode()
    if form == "sse":
        return f"data: {json.dumps(document)}\n\ndata: [DONE]\n\n".encode()
    if form == "base64":
        return b"blob " + base64.b64encode(f"key: {key} end".encode()) + b" end"
    if form == "utf-16":
        return f"{before} {key} {after}".encode("utf-16-le")
    return f"{before} {after if form == 'none' else key} {after}".encode()


@st.composite
def messages(draw: st.DrawFn, dir: Dir, compress: Any, key: str, password: str) -> bytes:
    """A message in as many frames as may be, the secrets cut anywhere; pings between them."""
    data = draw(texts(key, password))
    opcode = Opcode.TEXT if draw(st.booleans()) else Opcode.BINARY
    squeezed = compress is not None and draw(st.integers(0, 3)) > 0
    if squeezed:
        data = (compress.compress(data) + compress.flush(zlib.Z_SYNC_FLUSH))[:-4]
    parts = draw(cuts(data)) or [b""]
    out = b""
    for number, part in enumerate(parts):
        frame = Frame(Opcode.CONT if number else opcode, part, fin=number == len(parts) - 1)
        raw = frame.serialize(mask=dir == C2S)
        out += (bytes([raw[0] | 0x40]) + raw[1:]) if squeezed and not number else raw
        if number < len(parts) - 1 and draw(st.integers(0, 4)) == 0:
            out += Frame(Opcode.PING, f"p {key}".encode()).serialize(mask=dir == C2S)
    return out


@st.composite
def conversations(draw: st.DrawFn) -> Planted:
    """A hook's exchange, a WebSocket and a few markers, read in any pieces."""
    key, password = draw(keys), draw(passwords)
    deflate = draw(
        st.sampled_from(["", _DEFLATE, f"{_DEFLATE}; client_no_context_takeover; server_no_context_takeover"])
    )
    body = draw(texts(key, password))
    field = b"Content-Length: %d\r\n" % len(body)
    if draw(st.booleans()):
        field, body = b"Transfer-Encoding: chunked\r\n", chunked(draw(cuts(body)))
    elif draw(st.booleans()):
        body = zlib.compress(body)
        field = b"Content-Encoding: deflate\r\nContent-Length: %d\r\n" % len(body)
    post = b"POST /api/hooks/x HTTP/1.1\r\nX-Api-Key: %s\r\nCookie: a=%s\r\n" % (key.encode(), password.encode())
    post += b"Content-Type: application/json\r\n" + field + b"\r\n" + body
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: b=%s\r\n" % password.encode() + field + b"\r\n" + body
    upgrade = UPGRADE.format(quote(password, safe=""), key, quote(draw(words))).encode()
    extension = f"Sec-WebSocket-Extensions: {deflate}\r\n" if deflate else ""
    switch = (
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{extension}\r\n".encode()
    )
    said: dict[int, list[tuple[int, Dir, bytes | None]]] = {1: [], 2: []}
    t = 0

    def say(conn: int, dir: Dir, data: bytes) -> None:
        nonlocal t
        for part in draw(cuts(data)):
            t += 1
            said[conn].append((t, dir, part))

    say(1, C2S, post)
    say(1, S2C, answer)
    say(2, C2S, upgrade)
    say(2, S2C, switch)
    compress = {dir: zlib.compressobj(wbits=-12) if deflate else None for dir in (C2S, S2C)}
    for _ in range(draw(st.integers(0, 4))):
        dir: Dir = draw(st.sampled_from([C2S, S2C]))
        if deflate != _DEFLATE and deflate:
            compress[dir] = zlib.compressobj(wbits=-12)
        say(2, dir, draw(messages(dir, compress[dir], key, password)))
    if draw(st.booleans()):
        reason = Frame(Opcode.CLOSE, b"\x0b\xb8" + f"no {key}".encode()).serialize(mask=True)
        say(2, C2S, reason[: draw(st.sampled_from([len(reason), len(reason) - 7]))])
    said[1] += [(t + 1, C2S, None), (t + 1, S2C, None)]
    said[2] += [(t + 2, C2S, None), (t + 2, S2C, None)]
    events = finished(said)
    trailer = events.pop()
    assert isinstance(trailer, Trailer)
    mark = Marker(
        t, "callback.invoked", None, {"api_key": key, "text": f"x {key}", "list": [password.encode(), 3]}, "x", 0
    )
    events += [mark, trailer._replace(events=trailer.events + 1, markers=1)]
    flat = sorted(((conn, *one) for conn, rows in said.items() for one in rows), key=lambda one: one[1])
    return Planted(events, {key, password}, flat)
