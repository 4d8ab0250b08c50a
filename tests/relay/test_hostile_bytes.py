"""What an enemy of either side sends: it passes as it came, stands in the recording as it came, and costs the relay next to nothing."""

from __future__ import annotations

import zlib

import pytest

from .raw import BINARY, MASK, TEXT, frame, request, response, upgrade
from .relay_process import RelayProcess, assert_passed
from .test_routing import goodbye

NEXT = b"GET /admin HTTP/1.1\r\nHost: inside\r\n\r\n"
SMUGGLED = {
    "CL.TE": request("POST", "/", "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + NEXT),
    "TE.CL": request("POST", "/", "Transfer-Encoding: chunked", "Content-Length: 4", body=b"5\r\nGET /\r\n0\r\n\r\n"),
    "TE.TE": request("POST", "/", "Transfer-Encoding: chunked", "Transfer-Encoding: x", body=b"0\r\n\r\n" + NEXT),
    "two lengths": request("POST", "/", "Content-Length: 0", "Content-Length: 38", body=NEXT),
    "a length with a sign": request("POST", "/", "Content-Length: +38", body=NEXT),
    "a length in a list": request("POST", "/", "Content-Length: 38, 0", body=NEXT),
    "an obscured coding": request("POST", "/", "Transfer-Encoding:\x0bchunked", body=b"0\r\n\r\n" + NEXT),
    "a space before the colon": request("POST", "/", "Content-Length : 38", body=NEXT),
    "a folded field": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 38\r\n\r\n" + NEXT,
    "line feeds alone": b"POST / HTTP/1.1\nHost: a\nContent-Length: 0\n\n" + NEXT,
    "a carriage return in a field": b"GET / HTTP/1.1\r\nHost: a\rContent-Length: 38\r\n\r\n" + NEXT,
    "a chunk's extension": request(
        "POST", "/", "Transfer-Encoding: chunked", body=b"0;\nGET /x HTTP/1.1\r\n\r\n" + NEXT
    ),
    "a chunk of 2^64": request("POST", "/", "Transfer-Encoding: chunked", body=b"10000000000000000\r\n" + NEXT),
    "a chunk of 2^63": request("POST", "/", "Transfer-Encoding: chunked", body=b"8000000000000000\r\n" + NEXT),
    "a length of 2^63": request("POST", "/", "Content-Length: 9223372036854775808", body=NEXT),
    "a length of 2^64": request("POST", "/", "Content-Length: 18446744073709551616", body=NEXT),
    "an upgrade with a body": upgrade("/x", "Content-Length: 38") + NEXT,
    "HTTP/2 over plain TCP": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + NEXT,
    "NUL in a head": b"GET /\x00 HTTP/1.1\r\nHost: a\x00b\r\n\r\n" + NEXT,
}


@pytest.mark.parametrize("shape", SMUGGLED)
def test_a_smuggled_request_passes_as_it_came_and_is_recorded_as_it_came(relay: RelayProcess, shape: str) -> None:
    """Who believes which of two lengths is the peers' affair; the relay has no opinion that could differ."""
    client, server = relay.connect()
    client.send(SMUGGLED[shape])
    server.read(len(client.sent))
    server.send(response("400 Bad Request", body=b"what?"))
    client.read(len(server.sent))
    goodbye(client, server)
    relay.stop()
    assert relay.stderr == []
    assert_passed(relay.only_recording(), client, server)


HEADS = {
    "100,000 fields": b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 100_000 + b"\r\n",
    "a field of 16 MiB": b"GET / HTTP/1.1\r\nX: " + b"x" * (16 << 20) + b"\r\n\r\n",
    "a target of 16 MiB": b"GET /stream/" + b"x" * (16 << 20) + b" HTTP/1.1\r\n\r\n",
    "a head that folds for ever": b"GET / HTTP/1.1\r\nX: y\r\n" + b" z\r\n" * 1_000_000,
    "empty lines": b"\r\n" * 4_000_000,
}


@pytest.mark.parametrize("shape", HEADS)
def test_a_bomb_of_a_head_passes_and_costs_no_memory(relay: RelayProcess, shape: str) -> None:
    client, server = relay.connect()
    before = relay.rss()
    with client.sending(HEADS[shape]):
        server.read(len(HEADS[shape]))
    assert relay.rss() - before < 12 << 20
    goodbye(client, server)
    relay.stop()
    assert relay.stderr == []
    assert_passed(relay.only_recording(), client, server)


def test_heads_that_trickle_hold_nobody_up(relay: RelayProcess) -> None:
    """200 of them, a byte at a time; how long they may take is the upstream's to say, and its FIN ends them."""
    slow = [relay.connect() for _ in range(200)]
    client, server = relay.open_websocket("/stream/quick")
    for byte in b"GET /stream/slow HTT":
        for one, _ in slow:
            one.send(bytes((byte,)))
        client.send(frame(b"quick", mask=MASK))
        server.read(11)
    for one, other in slow:
        other.read(20)
        other.close()
        one.read_to_fin()
        one.close()
    goodbye(client, server)
    relay.stop()
    assert_passed(relay.recording("quick"), client, server)


HOSTILE_FRAMES = {
    "a length of 2^63": frame(b"x" * 100, BINARY, length=1 << 63, form=64),
    "a length of 2^64 - 1": frame(b"x" * 100, BINARY, length=(1 << 64) - 1, form=64),
    "text that is no UTF-8": frame(b"\xc3\x28\xff\xfe\xed\xa0\x80", TEXT),
    "a deflate bomb": frame(zlib.compress(bytes(64 << 20), 9, -15)[:-4], TEXT, rsv=4),
    "a control frame of 1 MiB": frame(bytes(1 << 20), 9),
    "a fragmented close": frame(b"\x03", 8, fin=False) + frame(b"\xe8", 0),
    "100,000 empty fragments": frame(b"", TEXT, fin=False) * 100_000,
    "100,000 deep JSON": frame(b"[" * 100_000, TEXT),
}


@pytest.mark.parametrize("shape", HOSTILE_FRAMES)
def test_hostile_frames_pass_as_they_came_and_cost_no_memory(relay: RelayProcess, shape: str) -> None:
    deflate = b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    client, server = relay.open_websocket("/stream/s", answer=deflate)
    before = relay.rss()
    with server.sending(HOSTILE_FRAMES[shape]):
        client.read(len(HOSTILE_FRAMES[shape]))
    client.send(frame(b"still here", mask=MASK))
    server.read(16)
    assert relay.rss() - before < 32 << 20  # one read can hold 32,768 empty frames
    goodbye(client, server)
    relay.stop()
    assert relay.stderr == []
    assert_passed(relay.recording("s"), client, server)
