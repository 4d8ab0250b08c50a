"""Hypothesis strategies: what comes over a wire, valid, mutated and foreign."""

from __future__ import annotations

from hypothesis import strategies as st
from websockets.frames import Frame as Oracle
from websockets.frames import Opcode

from .conversation import GET, OK, SWITCH, UPGRADE

payloads = st.one_of(
    st.binary(max_size=300),
    st.integers(0, 70_000).map(lambda size: bytes(range(256)) * (size // 256) + b"x" * (size % 256)),
)


@st.composite
def serialized_frames(draw: st.DrawFn, *, mask: bool | None = None) -> tuple[Oracle, bytes, int]:
    """A frame of the `websockets` library, the bytes that this library writes for it, and reserved bits set in these."""
    opcode = draw(st.sampled_from(list(Opcode)))
    control = opcode >= 8
    data = draw(st.binary(max_size=125) if control else payloads)
    frame = Oracle(opcode, data, fin=control or draw(st.booleans()))
    raw = frame.serialize(mask=draw(st.booleans()) if mask is None else mask)
    rsv = draw(st.sampled_from([0, 0, 0, 4, 1, 7]))
    return frame, bytes([raw[0] | rsv << 4]) + raw[1:], rsv


frame_bytes = st.lists(serialized_frames().map(lambda pair: pair[1]), max_size=6).map(b"".join)

_names = st.sampled_from([b"Host", b"X-A", b"Accept", b"Cookie"])
_values = st.binary(max_size=20).map(lambda raw: raw.translate(None, bytes(range(32)) + b"\x7f").strip(b" \t"))
_fields = st.lists(st.tuples(_names, _values).map(lambda pair: pair[0] + b": " + pair[1] + b"\r\n"), max_size=4)


def chunked(parts: list[bytes], trailers: bytes = b"") -> bytes:
    """A chunked body of these parts."""
    framed = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part]
    return b"".join(framed) + b"0\r\n" + trailers + b"\r\n"


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """(the field that frames a body, the body on the wire)"""
    form = draw(st.sampled_from(["none", "length", "chunked", "trailers"]))
    if form == "none":
        return b"", b""
    parts = draw(st.lists(st.binary(max_size=60), max_size=4))
    if form == "length":
        body = b"".join(parts)
        return b"Content-Length: %d\r\n" % len(body), body
    return b"Transfer-Encoding: chunked\r\n", chunked(parts, b"X-Sum: 1\r\n" if form == "trailers" else b"")


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    field, body = draw(bodies())
    method = draw(st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"DELETE"]))
    return method + b" /p HTTP/1.1\r\n" + b"".join(draw(_fields)) + field + b"\r\n" + body


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    status = draw(
        st.sampled_from([b"200 OK", b"404 Not Found", b"500 Oh", b"204 No Content", b"304 Not Modified", b"100 Go"])
    )
    field, body = draw(bodies()) if status[:1] in b"245" and status != b"204 No Content" else (b"", b"")
    return b"HTTP/1.1 " + status + b"\r\n" + b"".join(draw(_fields)) + field + b"\r\n" + body


garbage = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=40).map(lambda raw: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + raw),
    st.sampled_from(
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\r\n", b"\r\n" * 20, b"SSH-2.0-x\r\n", b"HTTP/1.1 200", b"GET /a"]
    ),
)


@st.composite
def mutated(draw: st.DrawFn, base: st.SearchStrategy[bytes]) -> bytes:
    """A valid thing with a few bytes changed, dropped or put in."""
    data = bytearray(draw(base))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(data)


client_words = st.one_of(
    requests(), st.just(UPGRADE), st.just(GET), frame_bytes, garbage, mutated(requests()), mutated(st.just(UPGRADE))
)
server_words = st.one_of(
    responses(), st.just(SWITCH), st.just(OK), frame_bytes, garbage, mutated(responses()), mutated(st.just(SWITCH))
)


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Data in parts, split anywhere."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    parts = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    return [part for part in parts if part]


#: What both sides say, in small pieces, in one order: (whether the client speaks, bytes)
interleavings = st.lists(
    st.one_of(
        st.tuples(st.just(True), client_words),
        st.tuples(st.just(False), server_words),
    ),
    max_size=8,
).flatmap(
    lambda words: st.tuples(
        *[cuts(data).map(lambda parts, who=who: [(who, part) for part in parts]) for who, data in words]
    ).map(lambda groups: [said for group in groups for said in group])
)
