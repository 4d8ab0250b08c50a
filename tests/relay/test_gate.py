"""The gate in one process, on a real pair of sockets: however the bytes are cut, each head goes up with its new Host and nothing else changes."""

from __future__ import annotations

import itertools
import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from wsproxy.relay.ends import SocketChannel
from wsproxy.relay.gate import Gate

from .raw import ACCEPTED, MASK, chunked, frame, request, response, upgrade

HOST = "new.example"
OK = response("200 OK", body=b"ok")
EARLY = b"\x82\x85" + MASK + b"GET /" + frame(b"Host: example.test\r\n\r\n", mask=MASK)

# (what the client sends, what the server answers to it), in turns.
TALKS: list[list[tuple[bytes, bytes]]] = [
    [(request("GET", "/"), OK), (request("POST", "/a", body=b"Host: example.test\r\n\r\n"), OK)],
    [(request("GET", "/") + request("GET", "/b") + request("HEAD", "/c"), OK + OK + response("200 OK"))],
    [(request("POST", "/", "Transfer-Encoding: chunked", body=chunked(b"GET / HTTP/1.1\r\n", b"Host: x\r\n")), OK)],
    [(upgrade("/ws"), ACCEPTED), (EARLY, frame(b"down"))],
    [(upgrade("/ws") + EARLY, ACCEPTED + frame(b"down"))],
    [(upgrade("/ws") + request("GET", "/next"), response("401 No") + OK)],
    [(upgrade("/ws") + request("GET", "/next"), b"\x00 no HTTP at all"), (b"more", b"more")],
    [(b"\x16\x03\x01 a TLS hello Host: example.test\r\n\r\n", b"garbage"), (request("GET", "/"), b"more")],
    [(request("CONNECT", "x:1"), response("200 OK")), (request("GET", "/in/the/tunnel"), OK)],
]
AS_IT_CAME = {6: b"GET /next", 7: b"", 8: b"GET /in"}  # talk → from where on nothing is HTTP any more


def forwarded(number: int, sent: bytes) -> bytes:
    """What the upstream should get."""
    stop = sent.find(AS_IT_CAME[number]) if number in AS_IT_CAME else len(sent)
    pieces = sent[:stop].split(b"HTTP/1.1\r\nHost: example.test")
    return (b"HTTP/1.1\r\nHost: " + HOST.encode()).join(pieces) + sent[stop:]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(at) if b > a]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(range(len(TALKS))), st.lists(st.integers(0, 2000), max_size=10))
def test_only_host_changes_however_the_bytes_are_cut(number: int, places: list[int]) -> None:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    gate = Gate(SocketChannel(ours), HOST, None, lambda why: b"", lambda: None)
    sent, answered, got_up, got_down = b"", b"", b"", b""
    for up, down in TALKS[number]:
        for part in cut(up, places):
            assert gate.send(part) == len(part)
            sent += part
        for part in cut(down, places):
            theirs.send(part)
            answered += part
            got_down += gate.recv(65536)
        got_up += theirs.recv(1 << 20)
    gate.finish(cut=False)
    while True:
        rest = theirs.recv(1 << 20)
        if not rest:
            break
        got_up += rest
    ours.close()
    theirs.close()
    assert got_down == answered
    assert got_up == forwarded(number, sent)
