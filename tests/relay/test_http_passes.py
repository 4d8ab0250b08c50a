"""HTTP/1.x on the relay's port: whatever a client and a server say to each other passes, and is recorded exactly.

Strategy: an exchange is two lines of a conversation, `ask` and `answer`; what belongs to no stream is in the run's `http-` recording.
"""

from __future__ import annotations

import json

from wsproxy.wire.events import Body, Opaque, Request, Response

from .raw import ACCEPTED, MASK, Peer, chunked, frame, request, response, upgrade
from .relay_process import RelayProcess, assert_passed, assert_whole


def say(speaker: Peer, listener: Peer, *parts: bytes) -> None:
    """Send parts one after the other, each only when the one before has arrived."""
    for part in parts:
        speaker.send(part)
        listener.read(len(part))


def hang_up(client: Peer, server: Peer) -> None:
    server.finish()
    client.read_to_fin()
    client.close()
    server.read_to_fin()


def ended(relay: RelayProcess, client: Peer, server: Peer) -> list[object]:
    """The connection ends and the relay too; it must have passed. The events of its only recording."""
    hang_up(client, server)
    relay.stop()
    rec = relay.only_recording()
    assert_passed(rec, client, server)
    return list(rec.events())


def statuses(events: list[object]) -> list[int]:
    return [event.status for event in events if isinstance(event, Response)]


def targets(events: list[object]) -> list[str]:
    return [event.target for event in events if isinstance(event, Request)]


def test_http_1_0_answer_until_close_passes(relay: RelayProcess) -> None:
    client, server = relay.connect()
    say(client, server, b"GET /old HTTP/1.0\r\n\r\n")
    say(server, client, b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n", b"as long as ", b"it lasts")
    events = ended(relay, client, server)
    bodies = [event for event in events if isinstance(event, Body)]
    assert b"".join(body.raw for body in bodies) == b"as long as it lasts"
    assert bodies[-1].end


def test_keep_alive_exchanges_pass_one_after_the_other(relay: RelayProcess) -> None:
    client, server = relay.connect()
    for n in range(50):
        say(client, server, request("POST", f"/{n}", body=b"b" * n))
        say(server, client, response("200 OK", body=b"a" * n))
    events = ended(relay, client, server)
    assert targets(events) == [f"/{n}" for n in range(50)]
    assert statuses(events) == [200] * 50


def test_pipelined_requests_pass_and_find_their_answers(relay: RelayProcess) -> None:
    client, server = relay.connect()
    say(client, server, b"".join(request("HEAD" if n % 3 == 0 else "GET", f"/{n}") for n in range(30)))
    answers = [response("200 OK", "Content-Length: 4", body=b"" if n % 3 == 0 else b"four") for n in range(30)]
    say(server, client, b"".join(answers))
    events = ended(relay, client, server)
    assert statuses(events) == [200] * 30
    answered = [event.exchange for event in events if isinstance(event, Response)]
    assert answered == list(range(1, 31))


def test_chunked_bodies_pass_each_way(relay: RelayProcess) -> None:
    body = chunked(b"x" * 70_000, b"GET / HTTP/1.1\r\n\r\n", b"last")
    trailer = b"5;name=value\r\nhello\r\n0\r\nDigest: none\r\n\r\n"
    client, server = relay.connect()
    head = request("POST", "/upload", "Transfer-Encoding: chunked")
    with client.sending(head + body):
        server.read(len(head) + len(body))
    say(server, client, response("200 OK", "Transfer-Encoding: chunked"), *[bytes((byte,)) for byte in trailer])
    say(client, server, request("GET", "/after"))
    say(server, client, response("204 No Content"))
    events = ended(relay, client, server)
    assert targets(events) == ["/upload", "/after"]


def test_expect_100_continue_passes(relay: RelayProcess) -> None:
    client, server = relay.connect()
    say(client, server, request("PUT", "/file", "Expect: 100-continue", "Content-Length: 5"))
    say(server, client, b"HTTP/1.1 100 Continue\r\n\r\n")
    say(client, server, b"hello")
    say(server, client, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", response("201 Created"))
    assert statuses(ended(relay, client, server)) == [100, 103, 201]


def test_answers_without_a_body_pass(relay: RelayProcess) -> None:
    """HEAD, 204 and 304 have none, whatever their Content-Length says."""
    client, server = relay.connect()
    for method, status in (
        ("HEAD", "200 OK"),
        ("GET", "204 No Content"),
        ("GET", "304 Not Modified"),
        ("GET", "200 OK"),
    ):
        say(client, server, request(method, "/page"))
        answer = f"HTTP/1.1 {status}\r\nContent-Length: 1000\r\n\r\n".encode()
        say(server, client, answer if method == "HEAD" or status != "200 OK" else response(status, body=b"page"))
    assert statuses(ended(relay, client, server)) == [200, 204, 304, 200]


def test_upgrade_on_the_third_request_becomes_a_websocket(relay: RelayProcess) -> None:
    client, server = relay.connect()
    for n in range(2):
        say(client, server, request("GET", f"/{n}"))
        say(server, client, response("200 OK", body=b"hello"))
    say(client, server, upgrade("/stream/third"))
    say(server, client, ACCEPTED)
    say(client, server, frame(b"up", mask=MASK))
    say(server, client, frame(b"down"))
    hang_up(client, server)
    relay.stop()
    assert [one.payload for one in relay.recording("third").frames()] == [b"up", b"down"]
    assert statuses(list(relay.recording_of_rest().events())) == [200, 200]
    assert len(relay.files()) == 2


def test_refused_upgrades_are_followed_by_more_http(relay: RelayProcess) -> None:
    client, server = relay.connect()
    refusals = [
        response("401 Unauthorized", "WWW-Authenticate: Bearer", body=b"who?"),
        response("403 Forbidden", "Transfer-Encoding: chunked") + chunked(b"no"),
        response("302 Found", "Location: ws://elsewhere/", body=b""),
    ]
    for refusal in refusals:
        say(client, server, upgrade("/ws"))
        say(server, client, refusal)
        say(client, server, request("GET", "/why"))
        say(server, client, response("200 OK", body=b"because"))
    say(client, server, upgrade("/ws"))
    say(server, client, ACCEPTED)
    say(client, server, frame(b"at last", mask=MASK))
    hang_up(client, server)
    relay.stop()
    (socket,) = (rec for rec in relay.recordings() if list(rec.frames()))
    assert [one.payload for one in socket.frames()] == [b"at last"]
    answers = sorted(status for rec in relay.recordings() for status in statuses(list(rec.events())))
    assert answers == [101, 200, 200, 200, 302, 401, 403]


def test_request_pipelined_behind_a_refused_upgrade_passes(relay: RelayProcess) -> None:
    client, server = relay.connect()
    say(client, server, upgrade("/ws") + request("GET", "/next") + b"GET /half")
    say(server, client, response("401 Unauthorized", body=b"no"), response("200 OK", body=b"yes"))
    say(client, server, b"-and-half HTTP/1.1\r\nHost: example.test\r\n\r\n")
    say(server, client, response("200 OK", body=b"yes"))
    hang_up(client, server)
    relay.stop()
    for rec in relay.recordings():
        assert_whole(rec)
    assert sorted(t for rec in relay.recordings() for t in targets(list(rec.events()))) == [
        "/half-and-half",
        "/next",
        "/ws",
    ]


def test_upgrade_to_another_protocol_is_opaque(relay: RelayProcess) -> None:
    client, server = relay.connect()
    say(client, server, request("GET", "/tunnel", "Connection: Upgrade", "Upgrade: raw-tcp"))
    say(server, client, b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw-tcp\r\n\r\n")
    say(client, server, bytes(range(256)))
    say(server, client, bytes(range(255, -1, -1)))
    opaque = [event for event in ended(relay, client, server) if isinstance(event, Opaque)]
    assert opaque[0].reason == "101 switched to raw-tcp"


def test_connect_opens_an_opaque_tunnel(relay: RelayProcess) -> None:
    client, server = relay.connect()
    say(client, server, b"CONNECT inner:443 HTTP/1.1\r\nHost: inner:443\r\n\r\n")
    say(server, client, b"HTTP/1.1 200 Connection established\r\n\r\n")
    say(client, server, b"\x16\x03\x01\x02\x00\x01")
    say(server, client, b"\x16\x03\x03\x00\x7a\x02")
    opaque = [event for event in ended(relay, client, server) if isinstance(event, Opaque)]
    assert {event.reason for event in opaque} == {"inside a CONNECT tunnel"}


def test_garbage_and_a_tls_hello_pass_as_opaque_bytes(relay: RelayProcess) -> None:
    hello = bytes.fromhex("1603010200010001fc0303") + bytes(range(200))
    lines = []
    for up, down in (
        (hello, b"\x15\x03\x01\x00\x02\x02\x46"),
        (b"\x00\xff\r\n\r\n" * 40, b"\r\n\r\nwhat?"),
        (b"SSH-2.0-x\r\n", b"SSH-2.0-y\r\n"),
    ):
        client, server = relay.connect()
        say(client, server, up)
        say(server, client, down)
        hang_up(client, server)
        lines.append((client, server))
    relay.stop()
    for rec, (client, server) in zip(relay.recordings(), lines, strict=True):
        assert_passed(rec, client, server)
        assert any(isinstance(event, Opaque) and event.reason for event in rec.events())


def test_answer_that_is_not_http_passes(relay: RelayProcess) -> None:
    client, server = relay.connect()
    say(client, server, request("GET", "/"))
    say(server, client, b"\x00\x01 this is no HTTP")
    say(client, server, request("GET", "/again"))
    say(server, client, response("200 OK"))
    ended(relay, client, server)


def test_head_of_more_than_128_kib_passes_as_opaque_bytes(relay: RelayProcess) -> None:
    before = relay.rss()
    client, server = relay.connect()
    bomb = request("GET", "/bomb", *(f"X-{n}: {'y' * 1000}" for n in range(2000)))
    with client.sending(bomb):
        server.read(len(bomb))
    with server.sending(b"HTTP/1.1 200 OK\r\n" + bomb):
        client.read(17 + len(bomb))
    assert relay.rss() - before < 16 << 20
    opaque = [event for event in ended(relay, client, server) if isinstance(event, Opaque)]
    assert opaque[0].reason == "an HTTP head of more than 128 KiB"


def test_contradicting_framing_passes_as_opaque_bytes(relay: RelayProcess) -> None:
    """What smuggles requests past proxies passes, and is not interpreted."""
    client, server = relay.connect()
    say(client, server, request("POST", "/", "Content-Length: 3", "Transfer-Encoding: chunked") + chunked(b"abc"))
    say(server, client, response("400 Bad Request", "Content-Length: 2", "Content-Length: 3", body=b"no!"))
    events = ended(relay, client, server)
    assert [event.dir for event in events if isinstance(event, Opaque)] == ["c2s", "s2c"]


def test_two_thousand_pipelined_requests_pass(relay: RelayProcess) -> None:
    """More than the tap remembers: the rest is opaque."""
    client, server = relay.connect()
    asked, answered = request("GET", "/") * 2000, response("200 OK") * 2000
    with client.sending(asked):
        server.read(len(asked))
    with server.sending(answered):
        client.read(len(answered))
    hang_up(client, server)
    relay.stop()
    for rec in relay.recordings():
        assert_whole(rec)
    assert b"".join(relay.recording_of_rest().wire("c2s")) == asked
    assert sum(len(part) for rec in relay.recordings() for part in rec.wire("s2c")) == len(answered)


def test_body_of_json_that_names_no_stream_passes(relay: RelayProcess) -> None:
    body = json.dumps({"data": {"litellm_call_id": 7}}).encode()
    client, server = relay.connect()
    say(client, server, request("POST", "/hook", "Content-Type: application/json", body=body))
    say(server, client, response("200 OK", body=b"{}"))
    assert targets(ended(relay, client, server)) == ["/hook"]
