"""One relay, many upstreams: by path, by listener; and the one rewrite, of Host."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from wsproxy.recording.events import Open
from wsproxy.wire.events import Frame, Request, Response
from wsproxy.wire.host import with_host

from .raw import ACCEPTED, MASK, Peer, RawServer, frame, request, response, upgrade
from .relay_process import RelayProcess, assert_same, assert_whole, dial_plain

Start = Callable[..., RelayProcess]


@pytest.fixture
def servers() -> Iterator[list[RawServer]]:
    made = [RawServer() for _ in range(3)]
    yield made
    for server in made:
        server.close()


@pytest.fixture
def start(servers: list[RawServer], tmp_path: Path) -> Iterator[Start]:
    """Starts relays whose --upstream is the first server."""
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(RelayProcess(servers[0], tmp_path / "out", *options))


def url(server: RawServer) -> str:
    return f"ws://127.0.0.1:{server.port}"


def finish_both(client: Peer, server: Peer) -> None:
    client.finish()
    server.read_to_fin()
    server.finish()
    client.read_to_fin()


# --- by path ---------------------------------------------------------------------------------------------------------


def test_longest_prefix_wins_and_ends_where_a_segment_ends(start: Start, servers: list[RawServer]) -> None:
    relay = start("--route", f"/api={url(servers[1])}", "--route", f"/api/v2/={url(servers[2])}")
    cases = {
        "/": 0, "/apiary": 0, "/other/api": 0, "/api": 1, "/api?x=/api/v2/": 1, "/api/v2": 1, "/api/v2/x": 2,
        "http://h/api/v2/": 2, "*": 0,
    }  # fmt: skip
    for target, wanted in cases.items():
        client = dial_plain(relay.port)
        client.send(request("GET", target))
        server = servers[wanted].accept()
        server.read(len(client.sent))
        server.send(response("200 OK"))
        client.read(len(server.sent))
        finish_both(client, server)
    relay.stop()
    rec = relay.recording_of_rest()
    assert_whole(rec)
    led = {event.conn: event.upstream for event in rec.events() if isinstance(event, Open)}
    asked = {event.conn: event.target for event in rec.events() if isinstance(event, Request)}
    assert {asked[conn]: upstream for conn, upstream in led.items()} == {
        target: url(servers[n]) for target, n in cases.items()
    }


def test_head_in_single_bytes_is_waited_for_and_passes_in_order(start: Start, servers: list[RawServer]) -> None:
    relay = start("--route", f"/stream={url(servers[1])}")
    client = dial_plain(relay.port)
    asked = upgrade("/stream/s") + frame(b"early", mask=MASK)
    for n in range(len(asked)):
        client.send(asked[n : n + 1])
    server = servers[1].accept()
    server.read(len(upgrade("/stream/s")))  # what follows waits for the answer: it may be frames, or another request
    server.send(ACCEPTED + frame(b"welcome"))
    client.read(len(server.sent))
    server.read(len(frame(b"early", mask=MASK)))
    with client.sending(frame(b"u" * 1_000_000, mask=MASK)), server.sending(frame(b"d" * 1_000_000)):
        server.read(len(frame(b"u" * 1_000_000, mask=MASK)))
        client.read(len(frame(b"d" * 1_000_000)))
    finish_both(client, server)
    relay.stop()
    rec = relay.recording("s")
    assert_whole(rec)
    assert_same(server.received, client.sent, "the server got")
    assert_same(client.received, server.sent, "the client got")
    assert_same(b"".join(rec.wire("c2s")), client.sent, "recorded")
    assert len([event for event in rec.events() if isinstance(event, Frame)]) >= 4


def test_request_of_a_kept_connection_that_belongs_elsewhere_gets_421_after_its_elders(
    start: Start, servers: list[RawServer]
) -> None:
    relay = start("--route", f"/other={url(servers[1])}")
    client = dial_plain(relay.port)
    client.send(request("GET", "/one"))
    server = servers[0].accept()
    server.read(len(client.sent))
    server.send(response("200 OK", body=b"1"))
    client.read(len(server.sent))
    two = request("POST", "/two", body=b"2" * 1000)
    client.send(two + request("GET", "/other/three") + request("GET", "/four"))
    server.read(len(two))
    server.send(response("200 OK", body=b"2" * 100))
    client.read(len(server.sent) - len(client.received))
    head = client.read_head()
    assert head.startswith(b"HTTP/1.1 421 ")
    body = json.loads(client.read_to_fin())
    assert body["path"] == "/other/three"
    assert url(servers[0]) in body["reason"] and url(servers[1]) in body["reason"]
    assert bytes(server.received) == request("GET", "/one") + two
    client.close()
    server.read_to_fin()
    relay.stop()
    rec = relay.recording_of_rest()
    assert_whole(rec)
    answers = [(event.status, event.by) for event in rec.events() if isinstance(event, Response)]
    assert answers == [(200, None), (200, None), (421, "relay")]
    assert b"".join(rec.wire("c2s")) == client.sent
    assert b"".join(rec.wire("s2c")) == client.received


def test_without_a_default_what_has_no_route_gets_404(servers: list[RawServer], tmp_path: Path) -> None:
    with RelayProcess(servers[0], tmp_path / "out", "--route", f"/a={url(servers[1])}", upstream_option=False) as relay:
        client = dial_plain(relay.port)
        client.send(request("GET", "/b"))
        client.read_to_fin()
        client.close()
        head, body = bytes(client.received).split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 404 ")
        assert json.loads(body)["path"] == "/b"
        relay.stop()
        rec = relay.recording_of_rest()
        assert_whole(rec)
        assert [(e.upstream, e.error) for e in rec.events() if isinstance(e, Open)] == [
            ("", "no route for this request")
        ]


def test_what_is_no_http_goes_to_the_default(start: Start, servers: list[RawServer]) -> None:
    relay = start("--route", f"/a={url(servers[1])}")
    client = dial_plain(relay.port)
    client.send(b"\x16\x03\x01 a TLS hello")
    server = servers[0].accept()
    server.read(len(client.sent))
    finish_both(client, server)


def test_client_that_leaves_before_its_head_is_whole_leaves_nothing_behind(
    start: Start, servers: list[RawServer]
) -> None:
    relay = start("--route", f"/a={url(servers[1])}")
    client = dial_plain(relay.port)
    client.send(b"GET /a HTT")
    client.close()
    server = servers[0].accept()
    assert server.read_to_fin() == b"GET /a HTT"
    server.close()
    relay.stop()
    for rec in relay.recordings():
        assert_whole(rec)


def test_absent_upstream_of_a_route_is_named_in_its_502(start: Start, servers: list[RawServer]) -> None:
    gone = url(servers[1])
    relay = start("--route", f"/a={gone}")
    servers[1].close()
    client = dial_plain(relay.port)
    client.send(request("GET", "/a"))
    client.read_to_fin()
    assert json.loads(bytes(client.received).split(b"\r\n\r\n", 1)[1])["upstream"] == gone
    assert relay.health()[1]["upstream_errors"] == {gone: "connection refused"}
    client.close()


# --- by listener -----------------------------------------------------------------------------------------------------


def test_each_listener_leads_to_its_own_upstream_by_its_own_rule(
    start: Start, servers: list[RawServer], tmp_path: Path
) -> None:
    (tmp_path / "wsproxy.toml").write_text(
        f"""
        [record]
        upstream = "{url(servers[0])}"
        [[record.listen]]
        address = "127.0.0.1:0"
        [[record.listen]]
        address = "127.0.0.1:0"
        upstream = "{url(servers[1])}"
        stream-path = "/chat/(?P<id>[a-z]+)"
        """
    )
    with RelayProcess(servers[0], tmp_path / "out", cwd=tmp_path, listen_option=False) as relay:
        first, second = relay.ports
        for port, server, target in ((first, servers[0], "/stream/one"), (second, servers[1], "/chat/two")):
            client = dial_plain(port)
            client.send(upgrade(target))
            peer = server.accept()
            peer.read_head()
            finish_both(client, peer)
        listeners = relay.health()[1]["listeners"]
        relay.stop()
        assert listeners == [
            {"listen": f"http://127.0.0.1:{first}", "upstreams": [url(servers[0])]},
            {"listen": f"http://127.0.0.1:{second}", "upstreams": [url(servers[1])]},
        ]
        for stream, server in (("one", servers[0]), ("two", servers[1])):
            rec = relay.recording(stream)
            assert_whole(rec)
            (opened,) = (event for event in rec.events() if isinstance(event, Open))
            assert opened.upstream == url(server)


def test_two_addresses_in_one_start_are_both_freed_when_one_is_taken(servers: list[RawServer], tmp_path: Path) -> None:
    from .test_start_and_stop import refusal

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    taken = servers[2].port
    listen = [part for p in (port, taken) for part in ("--listen", f"127.0.0.1:{p}={url(servers[0])}")]
    line = refusal(*listen, "--control", "127.0.0.1:0", "--out", str(tmp_path / "out"))
    assert f"cannot listen on 127.0.0.1:{taken}" in line
    socket.create_server(("127.0.0.1", port)).close()


# --- Host ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["upstream", "api.example.com:8443"])
def test_rewritten_host_stands_in_the_recording_and_both_forms_are_proved(
    start: Start, servers: list[RawServer], how: str
) -> None:
    relay = start("--host-header", how)
    host = f"127.0.0.1:{servers[0].port}" if how == "upstream" else how
    client, server = relay.connect()
    asked = [request("POST", f"/{n}", "hOST2: x", "X: Host: y", body=b"Host: in a body\r\n\r\n") for n in range(3)]
    cut = len(asked[0]) + 30
    client.send(b"".join(asked)[:cut], b"".join(asked)[cut:])
    client.send(upgrade("/last"))
    early = frame(b"Host: in a frame", mask=MASK)
    server.read(sum(map(len, asked)) + len(upgrade("/last")) + 4 * (len(host) - len("example.test")))
    for _ in asked:
        server.send(response("200 OK", body=b"ok"))
    server.send(ACCEPTED)
    client.read(len(server.sent))
    client.send(early)
    server.read(len(early))
    finish_both(client, server)
    relay.stop()
    assert bytes(server.received) == bytes(client.sent).replace(b"Host: example.test", b"Host: " + host.encode())
    recs = relay.recordings()
    for rec in recs:
        assert assert_whole(rec).rewritten
    (rest,) = (rec for rec in recs if "conn" not in str(rec.header.stream_id))
    (own,) = (rec for rec in recs if "conn" in str(rec.header.stream_id))
    assert b"".join(rest.wire("c2s")) + b"".join(own.wire("c2s")) == client.sent
    forwarded = b"".join(rest.wire("c2s", forwarded=True)) + b"".join(own.wire("c2s", forwarded=True))
    assert forwarded == server.received


def test_refused_upgrade_with_a_request_behind_it_has_both_hosts_rewritten(
    start: Start, servers: list[RawServer]
) -> None:
    relay = start("--host-header", "h.example")
    client, server = relay.connect()
    client.send(upgrade("/ws") + request("GET", "/next"))
    server.read_head()
    server.send(response("401 No"))
    assert server.read_head() == with_host(request("GET", "/next"), "h.example")
    server.send(response("200 OK"))
    client.read(len(server.sent))
    finish_both(client, server)
    assert server.received.count(b"h.example") == 2


def test_host_is_kept_by_default_and_where_it_is_asked_for(start: Start) -> None:
    for options in ((), ("--host-header", "keep")):
        relay = start(*options)
        client, server = relay.connect()
        client.send(request("GET", "/"))
        assert server.read_head() == client.sent
        client.close()
        relay.stop()


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"),
        (b"GET / HTTP/1.1\nhost:a\n\n", b"GET / HTTP/1.1\nhost:new\n\n"),
        (b"GET / HTTP/1.1\r\nHOST :  a \r\nhost: b\r\n\r\n", b"GET / HTTP/1.1\r\nHOST :  new\r\nhost: new\r\n\r\n"),
        (
            b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\nX-Host: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: new\r\nX-Host: a\r\n\r\n",
        ),
        (b"GET / HTTP/1.1\r\nHost:\r\nA: b\r\n\r\n", b"GET / HTTP/1.1\r\nHost:new\r\nA: b\r\n\r\n"),
    ],
)
def test_only_the_value_of_host_is_replaced(raw: bytes, wanted: bytes) -> None:
    assert with_host(raw, "new") == wanted
