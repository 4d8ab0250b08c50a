"""Who may use the control port: tokens, names, pages in browsers, and how much anybody may ask."""

from __future__ import annotations

import http.client
import json
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from wsproxy.relay import access, visitors
from wsproxy.relay.control import JSON_LIMIT

from .raw import DEADLINE, MASK, frame
from .relay_process import RelayProcess
from .test_routing import goodbye

StartRelay = Callable[..., RelayProcess]
MARKER = json.dumps({"stream_id": "abc", "stage": "my.stage"}).encode()
TOKEN = "secret-of-the-house"


def ask(
    relay: RelayProcess, *fields: tuple[str, str], method: str = "POST", path: str = "/v1/markers", body: bytes = MARKER
) -> tuple[int, dict[str, str], str]:
    """(status, header, body) of a request with exactly these fields and a Content-Length."""
    connection = http.client.HTTPConnection("127.0.0.1", relay.control_port, timeout=DEADLINE)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in fields:
        connection.putheader(name, value.encode("latin-1"))
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    with answer:
        text = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


def host(relay: RelayProcess) -> tuple[str, str]:
    return "Host", f"127.0.0.1:{relay.control_port}"


def error(text: str) -> str:
    return str(json.loads(text)["error"])


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_without_the_token_nothing_but_health_is_answered_and_it_is_said_what_to_do(start_relay: StartRelay) -> None:
    relay = start_relay("--token", TOKEN)
    for wrong in (
        "",
        "Bearer",
        "Bearer wrong",
        f"Basic {TOKEN}",
        f"Bearer {TOKEN}x",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 7000,
    ):
        status, head, text = ask(relay, host(relay), *([("Authorization", wrong)] if wrong else []))
        assert status == 401, wrong
        assert head["www-authenticate"].startswith("Bearer")
        assert "WSPROXY_TOKEN" in error(text) and TOKEN not in text
    for path in ("/metrics", "/v1/clock", "/v1/markers"):
        assert ask(relay, host(relay), method="GET", path=path, body=b"")[0] == 401
    assert relay.health()[0] == 200
    assert ask(relay, host(relay), ("Authorization", f"Bearer {TOKEN}"))[0] == 202
    relay.stop()
    assert relay.stderr == []


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        (("--control", "0.0.0.0:0"), True),
        (("--control", "[::]:0"), True),
        (("--control", "0.0.0.0:0", "--token", TOKEN), False),
        (("--control", "localhost:0"), False),
        (("--control", "127.0.0.2:0"), False),
    ],
)
def test_a_control_port_beyond_loopback_without_a_token_is_warned_of(
    start_relay: StartRelay, options: tuple[str, ...], warned: bool
) -> None:
    relay = start_relay(*options)
    relay.stop()
    assert len(relay.stderr) == warned
    if warned:
        assert "WSPROXY_TOKEN" in relay.stderr[0] and "127.0.0.1" in relay.stderr[0]


# --- names and pages -------------------------------------------------------------------------------------------------

OURS = [
    "127.0.0.1:{port}",
    "127.0.0.1",
    "[::1]:{port}",
    "localhost:{port}",
    "LOCALHOST.",
    "wsproxy:{port}",
    "wsproxy.localhost",
]
FOREIGN = [
    "evil.example:{port}",
    "evil.example",
    "127.0.0.1.nip.io:{port}",
    "a.b.c.d",
    "wsproxy.internal:{port}",
    ".",
    "",
    "[",
    "x:y:z.w",
]


def test_a_name_that_somebody_may_have_registered_is_refused(relay: RelayProcess) -> None:
    """A page whose name was rebound to this machine is no stranger to its browser; its name gives it away."""
    for name in FOREIGN:
        status, _, text = ask(relay, ("Host", name.format(port=relay.control_port)))
        assert status in (400, 421), name
        if status == 421:
            assert "--control-host" in error(text)
    assert ask(relay, host(relay), ("Host", "evil.example"))[0] in (400, 421)
    assert ask(relay, ("Host", "evil.example"), method="GET", path="/healthz", body=b"")[0] == 421
    relay.stop()
    assert relay.files() == []


def test_addresses_localhost_and_names_of_services_are_taken(relay: RelayProcess) -> None:
    for name in [*OURS, socket.gethostname()]:
        assert ask(relay, ("Host", name.format(port=relay.control_port)))[0] == 202, name


def test_a_name_is_taken_that_was_given_to_the_relay(start_relay: StartRelay) -> None:
    relay = start_relay("--control-host", "wsproxy.team.svc.cluster.local", "--control-host", "Records.Example")
    assert ask(relay, ("Host", f"wsproxy.team.svc.cluster.local:{relay.control_port}"))[0] == 202
    assert ask(relay, ("Host", "records.example"))[0] == 202
    assert ask(relay, ("Host", "other.example"))[0] == 421


def test_who_has_the_token_may_use_any_name_but_no_foreign_page(start_relay: StartRelay) -> None:
    relay = start_relay("--token", TOKEN)
    key = ("Authorization", f"Bearer {TOKEN}")
    assert ask(relay, ("Host", "wsproxy.internal"), key)[0] == 202
    assert ask(relay, ("Host", "wsproxy.internal"), key, ("Origin", "http://evil.example"))[0] == 403


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "GET", "PUT"])
def test_pages_of_other_origins_are_refused_and_so_are_their_preflights(relay: RelayProcess, method: str) -> None:
    for origin in (
        "http://evil.example",
        "null",
        "https://127.0.0.1",
        "http://127.0.0.1:1",
        "http://localhost",
        "",
        "http://[",
        "\xff",
    ):
        fields = (
            host(relay),
            ("Origin", origin),
            ("Content-Type", "text/plain"),
            ("Access-Control-Request-Method", "POST"),
        )
        status, head, _ = ask(relay, *fields, method=method)
        assert status == 403, origin
        assert not [name for name in head if name.startswith("access-control")]
    for site in ("cross-site", "same-site"):  # what a browser says of an image or a form
        assert ask(relay, host(relay), ("Sec-Fetch-Site", site), method=method)[0] == 403
    relay.stop()
    assert relay.files() == []


def test_a_page_of_the_control_port_s_own_origin_is_no_stranger(relay: RelayProcess) -> None:
    own = ("Origin", f"http://127.0.0.1:{relay.control_port}")
    assert ask(relay, host(relay), own, ("Sec-Fetch-Site", "same-origin"))[0] == 202
    status, head, _ = ask(relay, host(relay), own, method="OPTIONS", body=b"")
    assert status == 405
    assert not [name for name in head if name.startswith("access-control")]


def test_the_control_port_has_nothing_but_health_counts_clock_and_markers(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/private", "Authorization: Bearer sk-of-the-caller")
    client.send(frame(b"what was said", mask=MASK))
    server.read(19)
    known = {"/healthz", "/metrics", "/v1/clock"}
    for path in [
        *known,
        "/",
        "/v1/markers",
        "/v1/recordings",
        "/recordings",
        f"/{relay.files()[0]}",
        "/../../etc/passwd",
        "/v1",
    ]:
        status, _, text = ask(relay, host(relay), method="GET", path=path, body=b"")
        assert (status == 200) == (path in known), path
        assert not [word for word in ("private", "what was said", "sk-of", "root:") if word in text]
    goodbye(client, server)


# --- how much --------------------------------------------------------------------------------------------------------


def test_a_flood_of_requests_is_answered_429_and_the_next_second_is_not(relay: RelayProcess) -> None:
    """Pipelined, because a client that waits for each answer does not reach the limit."""
    count = 4 * access.REQUESTS_PER_SECOND
    asked = b"GET /v1/clock HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
    answers = b""
    with socket.create_connection(("127.0.0.1", relay.control_port), DEADLINE) as sock:
        for _ in range(count // 100):
            sock.sendall(asked)
            before = answers.count(b"HTTP/1.1 ")
            while answers.count(b"HTTP/1.1 ") < before + 100 or not answers.endswith(b"}"):
                answers += sock.recv(1 << 20)
    served, refused = answers.count(b"HTTP/1.1 200"), answers.count(b"HTTP/1.1 429")
    assert served + refused == count
    assert answers.count(b"Retry-After: 1") == refused
    assert served >= 2 * access.REQUESTS_PER_SECOND
    assert relay.health()[0] == 200


def test_a_compressed_body_is_refused_before_it_is_inflated(relay: RelayProcess) -> None:
    bomb = zlib.compress(bytes(256 << 20), 9)
    before = relay.rss()
    for coding in ("deflate", "gzip", "br", "zstd"):
        assert ask(relay, host(relay), ("Content-Encoding", coding), body=bomb)[0] == 415
    assert relay.rss() - before < 32 << 20


def test_a_body_beyond_its_limit_is_refused_at_its_length(relay: RelayProcess) -> None:
    status, _, text = ask(relay, host(relay), body=b"x" * (JSON_LIMIT + 1))
    assert (status, "2 MiB" in error(text)) == (413, True)
    status, _, text = ask(relay, host(relay), ("Content-Type", "application/msgpack"), body=b"x" * ((8 << 20) + 1))
    assert (status, "8 MiB" in error(text)) == (413, True)


@contextmanager
def trickling(relay: RelayProcess, count: int) -> Iterator[list[socket.socket]]:
    """Connections that have sent half a head."""
    socks = []
    try:
        for n in range(count):
            socks.append(sock := socket.create_connection(("127.0.0.1", relay.control_port), DEADLINE))
            sock.sendall(b"POST /v1/markers HTTP/1.1\r\nX-%d: " % n)
        yield socks
    finally:
        for sock in socks:
            sock.close()


def ends(sock: socket.socket) -> bool:
    """Wait until the other side has ended the connection."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_heads_and_bodies_that_trickle_are_cut_off_and_others_are_served_meanwhile(relay: RelayProcess) -> None:
    with trickling(relay, visitors.CONNECTIONS_OF_AN_ADDRESS - 8) as socks:
        body = socket.create_connection(("127.0.0.1", relay.control_port), DEADLINE)
        body.sendall(b"POST /v1/markers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n[")
        line = relay.open_websocket("/stream/s")
        assert ask(relay, host(relay))[0] == 202
        for sock in [*socks, body]:
            assert ends(sock)
        body.close()
        goodbye(*line)
    relay.stop()
    assert relay.stderr == []


def test_more_connections_than_an_address_may_have_are_cut_off_at_once_and_traffic_passes(relay: RelayProcess) -> None:
    with trickling(relay, visitors.CONNECTIONS_OF_AN_ADDRESS) as socks:
        with socket.create_connection(("127.0.0.1", relay.control_port), DEADLINE) as one_more:
            assert ends(one_more)
        client, server = relay.open_websocket("/stream/s")
        client.send(frame(b"passes", mask=MASK))
        server.read(12)
        goodbye(client, server)
        for sock in socks:
            sock.close()
    assert relay.health()[0] == 200


def test_garbage_on_the_control_port_is_refused_without_a_word_on_standard_error(relay: RelayProcess) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /%00 HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/markers HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/markers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST /v1/markers HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"\r\n" * 10_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", relay.control_port), DEADLINE) as sock:
            try:
                sock.sendall(garbage)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            answer = b""
            try:
                while data := sock.recv(65536):
                    answer += data
            except ConnectionResetError:
                pass
            assert not answer or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4", b"HTTP/1.1 200")), answer[:300]
            assert b"Traceback" not in answer
    assert relay.health()[0] == 200
    relay.stop()
    assert relay.stderr == []


def test_a_batch_of_thousands_of_streams_holds_few_descriptors(relay: RelayProcess) -> None:
    before = relay.descriptors()
    batch = [{"stream_id": f"s{n}", "stage": "my.stage"} for n in range(5_000)]
    assert ask(relay, host(relay), body=json.dumps(batch).encode())[0] == 202
    assert relay.descriptors() - before < 300
    relay.stop()
    assert len(relay.files()) == 5_000
