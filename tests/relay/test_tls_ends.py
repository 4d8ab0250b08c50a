"""TLS on either side, or both: what holds for plain connections holds here: bytes, ends, pressure.

Strategy: the conversations of plain peers, with TLS peers. What differs is what TLS cannot say, and that is said in the test.
"""

from __future__ import annotations

import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from wsproxy.wire.events import End

from .certificates import Authority
from .raw import ACCEPTED, BINARY, MASK, Peer, RawServer, close_frame, frame, request, response, upgrade
from .relay_process import RelayProcess, assert_passed, assert_whole
from .test_ends_pass import ends_of
from .test_pressure import come_and_go
from .tls_peers import TlsServer, TlsSocket, tls_client

Start = Callable[..., RelayProcess]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=["client", "server", "both"])
def tls_on(request: pytest.FixtureRequest) -> str:
    """Which side of the relay speaks TLS."""
    return str(request.param)


@pytest.fixture
def start(tls_on: str, authority: Authority, tmp_path: Path) -> Iterator[Start]:
    """Starts a relay with TLS on the sides that are asked for, upstream alone in version 1.2; requests keep their Host."""
    context = authority.server_context("localhost")
    if tls_on == "server":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = RawServer() if tls_on == "client" else TlsServer(context)
    relays: list[RelayProcess] = []

    def start(*options: str) -> RelayProcess:
        if tls_on != "client":
            options += ("--ca-file", str(authority.file), "--host-header", "keep")
        if tls_on != "server":
            options += ("--tls-cert", str(authority.issue("localhost")))
        relay = RelayProcess(server, tmp_path / "out", *options)
        if tls_on != "server":
            relay.dial = partial(tls_client, context=authority.client_context())
        relays.append(relay)
        return relay

    yield start
    for relay in relays:
        relay.kill()
    server.close()


@pytest.fixture
def relay(start: Start) -> RelayProcess:
    return start()


def finish_both(client: Peer, server: Peer) -> None:
    client.finish()
    server.read_to_fin()
    server.finish()
    client.read_to_fin()


def read_in_background(peer: Peer, size: int) -> Callable[[], None]:
    """Read on a thread; the function that is returned waits for it."""
    thread = threading.Thread(target=peer.read, args=(size,), daemon=True)
    thread.start()

    def join() -> None:
        thread.join(60)
        assert not thread.is_alive()

    return join


def test_large_transfers_both_ways_at_once_pass_byte_for_byte(relay: RelayProcess) -> None:
    up = b"".join(frame(random.Random(n).randbytes(1 << 20), BINARY, mask=MASK) for n in range(24))
    down = b"".join(frame(random.Random(n).randbytes(1 << 20), BINARY) for n in range(24, 48))
    client, server = relay.open_websocket("/stream/s")
    with client.sending(up), server.sending(down):
        wait = read_in_background(server, len(up))
        client.read(len(down))
        wait()
    finish_both(client, server)
    relay.stop()
    assert_passed(relay.recording("s"), client, server)


def test_single_bytes_pass_handshake_and_frames(relay: RelayProcess) -> None:
    client, server = relay.connect()
    client.send_bytewise(upgrade("/stream/slow"), to=server)
    server.send_bytewise(ACCEPTED, to=client)
    client.send_bytewise(frame(b"hello", mask=MASK), to=server)
    server.send_bytewise(frame(b"x" * 130), to=client)
    finish_both(client, server)
    relay.stop()
    assert_passed(relay.recording("slow"), client, server)


@pytest.mark.parametrize("who", ["client", "server"])
def test_half_close_passes_and_the_other_side_still_speaks(relay: RelayProcess, who: str) -> None:
    client, server = relay.open_websocket("/stream/s")
    first, second = (client, server) if who == "client" else (server, client)
    mask = MASK if second is client else None
    first.send(frame(b"question", mask=MASK if first is client else None))
    first.finish()
    second.read_to_fin()
    with second.sending(frame(b"a long answer " * 5000, mask=mask) * 20):
        first.read(20 * len(frame(b"a long answer " * 5000, mask=mask)))
    second.finish()
    first.read_to_fin()
    for peer in (first, second):
        if isinstance(peer.sock, TlsSocket):
            assert peer.sock.farewell, "the end came without close_notify"
    rec, how = ends_of(relay)
    assert_passed(rec, client, server)
    assert how == {("c2s", "fin"), ("s2c", "fin")}


def test_fin_without_close_notify_passes_as_one(relay: RelayProcess, tls_on: str) -> None:
    """A TLS stream that may have been cut off looks cut off on the other side too, as far as that speaks TLS."""
    client, server = relay.open_websocket("/stream/s")
    server.send(frame(b"last words"))
    (server.sock.sock if isinstance(server.sock, TlsSocket) else server.sock).shutdown(socket.SHUT_WR)
    client.read_to_fin()
    if isinstance(client.sock, TlsSocket):
        assert client.sock.farewell == (tls_on == "client")
    client.close()
    server.read_to_fin()
    rec, _ = ends_of(relay)
    assert_passed(rec, client, server)


@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("size", [0, 20, 3_000_000])
def test_reset_passes_after_what_was_sent_before_it(relay: RelayProcess, who: str, size: int) -> None:
    client, server = relay.open_websocket("/stream/s")
    sender, receiver = (client, server) if who == "client" else (server, client)
    data = frame(random.Random(1).randbytes(size), 2, mask=MASK if who == "client" else None) if size else b""
    with sender.sending(data):
        receiver.read(max(0, len(data) - 20))
    sender.reset()
    receiver.read_to_reset()
    rec, how = ends_of(relay)
    assert_passed(rec, client, server)
    assert (("c2s" if who == "client" else "s2c"), "reset") in how


@pytest.mark.parametrize("who", ["client", "server"])
def test_slow_reader_slows_its_writer_and_memory_stays(relay: RelayProcess, who: str) -> None:
    """60 MB are on their way: more than all buffers hold, and the relay holds hardly any of it."""
    client, server = relay.open_websocket("/stream/slow")
    writer, reader = (client, server) if who == "client" else (server, client)
    before = relay.rss()
    block = frame(b"z" * 60_000, BINARY, mask=MASK if who == "client" else None)
    with writer.sending(block * 1000):
        reader.read(100)
        assert relay.rss() - before < 12 << 20
        reader.read(1000 * len(block) - 100)
    client.close()
    server.read_to_fin()
    server.close()
    relay.stop()
    assert_passed(relay.recording("slow"), client, server)


def test_http_requests_on_one_connection_pass(relay: RelayProcess) -> None:
    client, server = relay.connect()
    for n in range(3):
        client.send(request("POST", f"/{n}", body=b"x" * 100_000))
        server.read(len(client.sent) - len(server.received))
        server.send(response("200 OK", body=b"y" * 100_000))
        client.read(len(server.sent) - len(client.received))
    finish_both(client, server)
    relay.stop()
    assert_passed(relay.only_recording(), client, server)


def test_data_after_a_close_frame_passes(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/s")
    server.send(close_frame(1000))
    client.read(len(close_frame(1000)))
    client.send(frame(b"one more", mask=MASK), close_frame(1000, mask=MASK))
    server.read(len(client.sent) - len(server.received))
    finish_both(client, server)
    relay.stop()
    assert_passed(relay.recording("s"), client, server)


def test_two_hundred_connections_at_once_do_not_mix(relay: RelayProcess) -> None:
    lines = [relay.open_websocket(f"/stream/{n}") for n in range(200)]
    for n, (client, server) in enumerate(lines):
        client.send(frame(b"up %d" % n, mask=MASK))
        server.send(frame(b"down %d" % n))
    for client, server in lines:
        server.read(len(client.sent) - len(server.received))
        client.read(len(server.sent) - len(client.received))
        finish_both(client, server)
    relay.stop()
    for n, line in enumerate(lines):
        assert_passed(relay.recording(str(n)), *line)


def test_connections_leave_nothing_behind(relay: RelayProcess) -> None:
    come_and_go(relay, 100)
    idle_client, idle_server = relay.open_websocket("/stream/mark")
    descriptors, memory = relay.descriptors(), relay.rss()
    come_and_go(relay, 300)
    idle_client.send(frame(b"still here", mask=MASK))
    idle_server.read(16)
    assert relay.metric("connections_open") == 1
    assert relay.descriptors() <= descriptors + 1
    assert relay.rss() - memory < 300 * 10 * 1024
    relay.stop()
    for rec in relay.recordings():
        assert_whole(rec)


def test_nothing_delivered_is_missing_after_a_kill(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/s")
    block = frame(b"k" * 9000, BINARY)
    with client.sending_until_it_breaks(block):
        server.read(200 * len(block))
        relay.kill()
    try:
        while data := server.sock.recv(1 << 20):
            server.received += data
    except ConnectionError:
        pass
    rec = relay.recording("s")
    recorded = b"".join(rec.wire("c2s"))
    assert recorded.startswith(server.received)
    assert not [event for event in rec.events() if isinstance(event, End)]
