"""Load and what it may cost: back-pressure passes through, memory per connection is bounded, nothing is left behind."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from .raw import BINARY, MASK, frame, request, response
from .relay_process import RelayProcess, assert_passed, assert_whole

BLOCK = frame(b"z" * 60_000, BINARY)


@pytest.fixture
def many_descriptors() -> Iterator[int]:
    """As many as the hard limit allows, in this process and in the relays that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_writer_of_a_slow_reader_is_slowed_and_nothing_is_lost(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/slow")
    before = relay.rss()
    server.send_until_blocked(BLOCK)
    assert len(server.sent) < 64 << 20  # the buffers of four sockets
    assert relay.rss() - before < 8 << 20
    rest = len(server.sent) - len(client.received)
    client.read(rest)
    server.send(BLOCK)
    client.read(len(BLOCK))
    client.close()
    server.read_to_fin()
    server.close()
    relay.stop()
    assert_passed(relay.recording("slow"), client, server)


def test_slow_server_slows_its_client(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/slow")
    client.send_until_blocked(BLOCK)
    assert len(client.sent) < 64 << 20
    server.send(frame(b"the other direction flows"))
    client.read(len(frame(b"the other direction flows")))
    server.read(len(client.sent) - len(server.received))
    client.finish()
    server.read_to_fin()
    server.close()
    client.read_to_fin()
    relay.stop()
    assert_passed(relay.recording("slow"), client, server)


def test_two_thousand_idle_connections_cost_little_and_all_still_work(
    many_descriptors: int, relay: RelayProcess
) -> None:
    count = 2000 if many_descriptors > 10_000 else many_descriptors // 5
    lines = [relay.open_websocket(f"/stream/warm-{n}") for n in range(50)]
    before = relay.rss()
    lines += [relay.open_websocket(f"/stream/idle-{n}") for n in range(count)]
    growth = (relay.rss() - before) / count
    for n, (client, server) in enumerate(lines):
        client.send(frame(b"up %d" % n, mask=MASK))
        server.send(frame(b"down %d" % n))
    for client, server in lines:
        server.read(len(client.sent) - len(server.received))
        client.read(len(server.sent) - len(client.received))
    assert relay.metric("connections_open") == len(lines)
    for client, server in lines:
        client.close()
        server.read_to_fin()
        server.close()
    relay.stop()
    recs = {rec.header.stream_id: rec for rec in relay.recordings()}
    assert len(recs) == len(lines)
    for n in range(0, count, 97):
        assert_passed(recs[f"idle-{n}"], *lines[50 + n])
    assert growth < 16 * 1024, f"{growth:.0f} bytes per idle connection"


def come_and_go(relay: RelayProcess, count: int) -> None:
    """Connections of every kind, one after the other: closed by either side, reset by either side, asking, upgrading."""
    for n in range(count):
        kind = n % 10
        if kind > 7:
            client, server = relay.connect()
            client.send(request("GET", "/"))
            server.read_head()
            server.send(response("200 OK"))
            client.read(len(server.sent))
        else:
            client, server = relay.open_websocket(f"/stream/{n}")
            client.send(frame(b"hello", mask=MASK))
            server.read(11)
        first, second = (client, server) if n % 2 else (server, client)
        if kind < 2:
            first.reset()
            second.read_to_reset()
            second.close()
        else:
            first.close()
            second.read_to_fin()
            second.close()


def test_five_hundred_connections_leave_nothing_behind(relay: RelayProcess) -> None:
    come_and_go(relay, 100)
    idle_client, idle_server = relay.open_websocket("/stream/mark")  # the answer comes after all that was before it
    descriptors, memory = relay.descriptors(), relay.rss()
    come_and_go(relay, 500)
    idle_client.send(frame(b"still here", mask=MASK))
    idle_server.read(16)
    assert relay.metric("connections_open") == 1
    assert relay.descriptors() <= descriptors + 1
    assert relay.rss() - memory < 500 * 8 * 1024
    relay.stop()
    for rec in relay.recordings():
        assert_whole(rec)
