"""How connections end: a FIN passes as a FIN, a reset as a reset, each after the bytes that were sent before it."""

from __future__ import annotations

import random
import socket

import pytest

from wsproxy import Recording
from wsproxy.wire.events import End

from .raw import MASK, Peer, close_frame, frame, request, response
from .relay_process import RelayProcess, assert_passed, assert_recorded, assert_whole


def ends_of(relay: RelayProcess) -> tuple[Recording, set[tuple[str, str]]]:
    """The relay's only recording, and how each direction ended."""
    relay.stop()
    rec = relay.only_recording()
    return rec, {(event.dir, event.how) for event in rec.events() if isinstance(event, End)}


def test_client_that_half_closes_still_gets_its_answer(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/s")
    client.send(frame(b"question", mask=MASK))
    client.finish()
    server.read_to_fin()
    server.send(frame(b"long answer") * 1000)
    server.close()
    client.read_to_fin()
    rec, how = ends_of(relay)
    assert_passed(rec, client, server)
    assert how == {("c2s", "fin"), ("s2c", "fin")}


def test_server_that_half_closes_still_gets_more(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/s")
    server.send(close_frame(1001, "restarting"))
    server.finish()
    client.read_to_fin()
    client.send(frame(b"last words", mask=MASK) * 1000)
    client.close()
    server.read_to_fin()
    rec, how = ends_of(relay)
    assert_passed(rec, client, server)
    assert how == {("c2s", "fin"), ("s2c", "fin")}


def test_http_client_that_half_closes_still_gets_its_answer(relay: RelayProcess) -> None:
    client, server = relay.connect()
    client.send(request("GET", "/"))
    client.finish()
    server.read_to_fin()
    server.send(response("200 OK", body=b"here it is"))
    server.close()
    client.read_to_fin()
    rec, _ = ends_of(relay)
    assert_passed(rec, client, server)


def test_server_that_speaks_first_is_heard(relay: RelayProcess) -> None:
    client, server = relay.connect()
    server.send(b"220 smtp.example.test ready\r\n")
    client.read(len(server.sent))
    client.send(b"QUIT\r\n")
    server.read(6)
    server.close()
    client.read_to_fin()
    client.close()
    rec, _ = ends_of(relay)
    assert_passed(rec, client, server)


@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("size", [0, 20, 3_000_000])
def test_reset_passes_after_what_was_sent_before_it(relay: RelayProcess, who: str, size: int) -> None:
    """The reader reads while the other sends: everything is on its way when the reset comes."""
    client, server = relay.open_websocket("/stream/s")
    sender, receiver = (client, server) if who == "client" else (server, client)
    data = frame(random.Random(1).randbytes(size), 2, mask=MASK if who == "client" else None) if size else b""
    with sender.sending(data):
        receiver.read(max(0, len(data) - 20))  # the last of it may still be in the relay
    sender.reset()
    receiver.read_to_reset()
    rec, how = ends_of(relay)
    assert_passed(rec, client, server)
    assert how == {
        ("c2s", "reset" if who == "client" else "aborted"),
        ("s2c", "aborted" if who == "client" else "reset"),
    }


@pytest.mark.parametrize("who", ["client", "server"])
def test_reset_passes_while_the_other_side_floods(relay: RelayProcess, who: str) -> None:
    """The relay may learn of the reset by a failing send: it must not record (and pass on) an orderly end."""
    block = frame(b"x" * 4000, 2) * 8
    for n in range(10):
        client, server = relay.open_websocket(f"/stream/{n}")
        breaker, flooder = (client, server) if who == "client" else (server, client)
        with flooder.sending_until_it_breaks(block):
            breaker.read(10 * len(block))
            breaker.reset()
        flooder.close()
    relay.stop()
    hows = [{event.dir: event.how for event in rec.events() if isinstance(event, End)} for rec in relay.recordings()]
    broken, other = ("c2s", "s2c") if who == "client" else ("s2c", "c2s")
    assert hows == [{broken: "reset", other: "aborted"}] * 10


@pytest.mark.parametrize("who", ["client", "server"])
def test_reset_in_the_same_breath_as_the_bytes_before_it_passes(relay: RelayProcess, who: str) -> None:
    """The relay may find both at once: an event loop that reports the error only once must not lose it."""
    for n in range(20):
        client, server = relay.open_websocket(f"/stream/{n}")
        sender, receiver = (client, server) if who == "client" else (server, client)
        sender.send(frame(b"last words"))
        sender.reset()
        receiver.sock.settimeout(3)
        receiver.read_to_reset()
        assert receiver.received == sender.sent


def test_reset_after_a_half_close_passes(relay: RelayProcess) -> None:
    """The client sends its FIN, then dies: a server that says nothing must still learn of it."""
    client, server = relay.open_websocket("/stream/s")
    client.finish()
    server.read_to_fin()
    client.reset()
    server.wait_for_the_end()


def test_close_with_unread_bytes_passes_as_the_reset_that_it_is(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/s")
    server.send(frame(b"never read"))
    client.sock.recv(1, 2)  # MSG_PEEK: it is there
    client.close()
    server.read_to_reset()
    rec, how = ends_of(relay)
    assert_recorded(rec, client, server)
    assert how == {("c2s", "reset"), ("s2c", "aborted")}


@pytest.mark.parametrize("first", ["client", "server"])
def test_slow_reader_gets_all_after_both_sides_have_said_their_fin(relay: RelayProcess, first: str) -> None:
    """The sender's socket is hung up by then, with bytes that the relay has not read yet: that is no reset."""
    client, server = relay.open_websocket("/stream/s")
    server.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)  # so that the rest waits in the relay
    if first == "server":
        server.finish()
        client.read_to_fin()
    client.send_until_blocked(frame(b"y" * 60_000, 2, mask=MASK))
    client.finish()
    while client.unacknowledged() and (left := len(client.sent) - len(server.received)):
        server.read(min(left, 65536))
    if first == "client":
        server.finish()
        client.read_to_fin()
    client.wait_for_the_end()
    server.read_to_fin()
    rec, how = ends_of(relay)
    assert_passed(rec, client, server)
    assert how == {("c2s", "fin"), ("s2c", "fin")}


def test_connection_that_says_nothing_passes(relay: RelayProcess) -> None:
    lines: list[tuple[Peer, Peer]] = [relay.connect() for _ in range(3)]
    lines[0][0].close()
    lines[0][1].read_to_fin()
    lines[0][1].close()
    lines[1][1].reset()
    lines[1][0].read_to_reset()
    lines[2][1].close()
    lines[2][0].read_to_fin()
    lines[2][0].close()
    relay.stop()
    assert all(not client.sent and not server.sent for client, server in lines)


def test_client_that_resets_while_bytes_wait_for_a_slow_server_is_told(relay: RelayProcess) -> None:
    """The reset waits for what came before it, but not for ever; what could not be handed on is counted."""
    client, server = relay.open_websocket("/stream/s")
    client.send_until_blocked(frame(b"y" * 60_000, 2, mask=MASK))
    client.reset()
    server.sock.settimeout(3)
    server.read_to_reset()
    rec, _ = ends_of(relay)
    recorded = b"".join(rec.wire("c2s"))
    assert client.sent.startswith(recorded)
    assert recorded.startswith(server.received)
    assert_whole(rec)
