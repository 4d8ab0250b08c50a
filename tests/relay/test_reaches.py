"""The relay goes where it was told to, and nowhere else: no request steers it."""

from __future__ import annotations

import select
from collections.abc import Iterator

import pytest

from .raw import MASK, RawServer, frame, request, response, upgrade
from .relay_process import RelayProcess, assert_passed
from .test_routing import goodbye


@pytest.fixture
def bystander() -> Iterator[RawServer]:
    """A server that nobody named to the relay."""
    server = RawServer()
    yield server
    server.close()


def assert_untouched(bystander: RawServer) -> None:
    assert not select.select([bystander._listener], [], [], 0)[0], "somebody has connected to it"


STEERING = {
    "an absolute target": "GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
    "another host": "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
    "two hosts": "GET / HTTP/1.1\r\nHost: a\r\nHost: 127.0.0.1:{port}\r\n\r\n",
    "CONNECT": "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
    "a target that is no path": "GET @127.0.0.1:{port}/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a path with a host": "GET //127.0.0.1:{port}/stream/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "fields of proxies": "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: 127.0.0.1:{port}\r\nForwarded: host=127.0.0.1:{port}\r\n\r\n",
    "PROXY": "PROXY TCP4 127.0.0.1 127.0.0.1 {port} {port}\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "SOCKS": "\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01{port}",
}


@pytest.mark.parametrize("how", STEERING)
def test_no_request_steers_the_relay_to_another_server(relay: RelayProcess, bystander: RawServer, how: str) -> None:
    asked = STEERING[how].format(port=bystander.port).encode("latin-1")
    client, server = relay.connect()  # the upstream's, whatever is asked
    client.send(asked)
    server.read(len(asked))
    server.send(response("200 OK", body=b"from the upstream"))
    client.read(len(server.sent))
    assert_untouched(bystander)
    goodbye(client, server)
    relay.stop()
    assert_passed(relay.only_recording(), client, server)


def test_an_answer_does_not_steer_it_either(relay: RelayProcess, bystander: RawServer) -> None:
    elsewhere = f"http://127.0.0.1:{bystander.port}/"
    client, server = relay.connect()
    client.send(request("GET", "/"))
    server.read_head()
    server.send(response("307 Temporary Redirect", f"Location: {elsewhere}", f"Refresh: 0; url={elsewhere}"))
    client.read(len(server.sent))
    assert_untouched(bystander)
    goodbye(client, server)


def test_what_follows_an_accepted_connect_reaches_the_upstream_alone(relay: RelayProcess, bystander: RawServer) -> None:
    client, server = relay.connect()
    client.send(f"CONNECT 127.0.0.1:{bystander.port} HTTP/1.1\r\n\r\n".encode())
    server.read_head()
    server.send(b"HTTP/1.1 200 OK\r\n\r\n")
    client.read(len(server.sent))
    client.send(b"GET / HTTP/1.1\r\nHost: bystander\r\n\r\n")
    server.read(len(client.sent) - len(server.received))
    assert_untouched(bystander)
    goodbye(client, server)
    relay.stop()
    assert_passed(relay.only_recording(), client, server)


def test_a_client_cannot_reach_the_control_port_through_the_relay(relay: RelayProcess) -> None:
    client, server = relay.connect()
    client.send(upgrade("/v1/markers", f"X-Target: 127.0.0.1:{relay.control_port}"))
    assert b"/v1/markers" in server.read_head()
    server.send(response("404 Not Found"))
    client.read(len(server.sent))
    client.send(frame(b"x", mask=MASK))
    server.read(7)
    assert relay.metric("markers_total") == 0
    goodbye(client, server)
