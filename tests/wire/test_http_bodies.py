"""Where bodies end, against h11: what it reads as requests, responses and data, the tap must read so too."""

from __future__ import annotations

import subprocess
import sys

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsproxy.wire.events import C2S, S2C, Body, Opaque, Request, Response
from wsproxy.wire.http1 import dechunk, head_fields

from .conversation import GET, Conversation
from .strategies import chunked, cuts, requests, responses

few = settings(max_examples=80, deadline=None)


def oracle_requests(data: bytes) -> list[tuple[str, str, bytes]]:
    """(method, target, body data) of each request, as h11's server side reads them."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    out: list[tuple[str, str, bytes]] = []
    while True:
        event = server.next_event()
        if isinstance(event, h11.Request):
            out.append((event.method.decode(), event.target.decode(), b""))
        elif isinstance(event, h11.Data):
            out[-1] = (*out[-1][:2], out[-1][2] + bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            answer = [("Content-Length", "0")]
            server.send(h11.Response(status_code=200, headers=answer))
            server.send(h11.EndOfMessage())
            server.start_next_cycle()
        else:
            assert event is h11.NEED_DATA, event
            return out


def oracle_response(method: str, data: bytes, *, closed: bool) -> tuple[int, bytes, bytes]:
    """(status, body data, what stays behind) of one answer, as h11's client side reads it."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    if closed:
        client.receive_data(b"")
    status, body = 0, b""
    while True:
        event = client.next_event()
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return status, body, client.trailing_data[0]
        else:
            assert isinstance(event, h11.InformationalResponse), event


def read_requests(talk: Conversation) -> list[tuple[str, str, bytes]]:
    out: list[tuple[str, str, bytes]] = []
    chunks = False
    for event in talk.of(C2S):
        if isinstance(event, Request):
            chunks = ("transfer-encoding", "chunked") in [
                (name.lower(), value) for name, value in head_fields(event.raw)
            ]
            out.append((event.method, event.target, b""))
        elif isinstance(event, Body):
            out[-1] = (*out[-1][:2], out[-1][2] + event.raw)
            if event.end and chunks:
                out[-1] = (*out[-1][:2], dechunk(out[-1][2]))
    return out


@few
@given(st.data())
def test_requests_and_their_bodies_are_those_that_h11_reads(data: st.DataObject) -> None:
    raw = b"".join(
        request.replace(b"Host:", b"X-Host:").replace(b"\r\n", b"\r\nHost: h\r\n", 1)
        for request in data.draw(st.lists(requests(), min_size=1, max_size=3))
    )
    talk = Conversation()
    for part in data.draw(cuts(raw)):
        talk.client(part)
    try:
        expected = oracle_requests(raw)
    except h11.RemoteProtocolError:
        return  # h11 judges field values more strictly; the tap's own promise is checked in every feed
    assert read_requests(talk) == expected


@few
@given(st.sampled_from(["GET", "HEAD", "POST"]), st.data())
def test_the_body_of_a_response_ends_where_h11_says(method: str, data: st.DataObject) -> None:
    raw = data.draw(responses().filter(lambda raw: not raw.startswith(b"HTTP/1.1 100"))) + data.draw(
        st.sampled_from([b"", b"HTTP/1.1 "])
    )
    try:
        status, body, behind = oracle_response(method, raw, closed=True)
    except h11.RemoteProtocolError:
        return
    talk = Conversation()
    talk.client(f"{method} / HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    for part in data.draw(cuts(raw)):
        talk.server(part)
    head = next(event for event in talk.of(S2C) if isinstance(event, Response))
    got = b"".join(event.raw for event in talk.of(S2C) if isinstance(event, Body) and event.exchange == 1)
    assert head.status == status
    assert (dechunk(got) if b"chunked" in head.raw else got) == body
    assert len(raw) - len(head.raw) - len(got) == len(behind)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("field", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_204_and_304_have_no_body_whatever_their_fields_say(status: bytes, field: bytes) -> None:
    talk = Conversation()
    talk.client(GET + GET)
    talk.server(b"HTTP/1.1 " + status + b"\r\n" + field + b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert [event.exchange for event in talk.of(S2C) if isinstance(event, Response)] == [1, 2]
    assert not [event for event in talk.of(S2C) if isinstance(event, Body)]


def test_an_answer_to_head_has_no_body() -> None:
    talk = Conversation()
    talk.client(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + GET)
    talk.server(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    assert [event.exchange for event in talk.of(S2C)] == [1, 2, 2]  # type: ignore[union-attr]


@few
@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.sampled_from([b"", b"A: 1\r\n", b"A: 1\r\nB: 2\r\n"])
)
def test_dechunk_undoes_chunking_with_any_trailers(parts: list[bytes], trailers: bytes) -> None:
    assert dechunk(chunked(parts, trailers)) == b"".join(parts)


@few
@given(st.binary(max_size=200))
def test_dechunk_never_raises(raw: bytes) -> None:
    assert len(dechunk(raw)) <= len(raw)


def test_a_response_in_a_coding_that_is_not_chunked_never_passes_for_a_second_response() -> None:
    talk = Conversation()
    talk.client(GET)
    talk.server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")
    assert len([event for event in talk.of(S2C) if isinstance(event, Response)]) == 1
    assert [event for event in talk.of(S2C) if isinstance(event, Opaque | Body)]


_COSTLY = {
    "spaces inside a value": 'b"a: x" + b" " * 120_000 + b"y"',
    "tabs inside a value": 'b"a: x" + b"\\t" * 120_000 + b"y"',
    "a line without a colon": 'b"a" * 120_000',
    "spaces after a name": 'b"a" + b" " * 120_000 + b": b"',
    "folded lines": 'b"a: b" + b"\\r\\n c" * 40_000',
    "lines of nothing": 'b"a\\r\\n" * 40_000',
    "colons": 'b":" * 120_000',
}


@pytest.mark.parametrize("name", _COSTLY)
def test_a_hostile_head_of_120_kb_costs_less_than_two_seconds_of_cpu(name: str) -> None:
    """Linear reading takes milliseconds, quadratic reading half a minute; the kernel counts, not a clock."""
    program = (
        "import resource; from wsproxy.wire.tap import Tap\n"
        f"head = b'GET / HTTP/1.1\\r\\n' + {_COSTLY[name]} + b'\\r\\n\\r\\n'\n"
        "used = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime) + 3\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (used, used))\n"
        "assert Tap(1).c2s.feed(head, 0)\n"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
