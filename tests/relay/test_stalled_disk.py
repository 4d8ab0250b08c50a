"""A disk that stalls does not stall the traffic: round trips complete while a call to it is blocked, and nothing is lost.

Strategy: a stand-in for the C library blocks one kind of call until it is told to stop (`faulty`), so what a test sees between the two moments
happened during the stall, however long that took.
"""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import pytest

import wsproxy
from wsproxy.recording.events import Late

from .certificates import Authority
from .faulty import FaultyDisk, StartOnDisk
from .raw import MASK, Peer, frame, request, response
from .relay_process import RelayProcess, assert_passed, assert_same, assert_whole
from .test_disk_trouble import talk, verify
from .test_markers import markers, post
from .test_routing import JSON, exchange, goodbye, hook_body
from .tls_peers import TlsServer, tls_client

Line = tuple[Peer, Peer]


def say(line: Line, payload: bytes) -> None:
    """A frame to the server, that is not waited for."""
    line[0].send(frame(payload, mask=MASK))


def talk_on(*lines: Line, rounds: int = 5) -> None:
    """Round trips on all of them, and whatever was sent before."""
    for _ in range(rounds):
        for client, server in lines:
            talk(client, server, 300)


def end(relay: RelayProcess, *lines: Line) -> None:
    for line in lines:
        goodbye(*line)
    relay.stop()


def lateness(recording: wsproxy.Recording) -> list[Late]:
    """What a recording says of events that were written late; how it begins is left out."""
    return [event for event in recording.events() if isinstance(event, Late) and event.until is not None]


def assert_whole_and_late(recording: wsproxy.Recording, *line: Peer) -> None:
    """Everything passed and stands there; and it says that some of it was written late."""
    assert_passed(recording, *line)
    assert sum(late.events for late in lateness(recording)) > 0


def stall(disk: FaultyDisk, line: Line, *others: Line, call: str = "write") -> None:
    """Have one connection's write blocked, and talk on all while it is."""
    disk.blocks(call)
    say(line, b"the write of this one is stuck")
    disk.until_blocked()
    talk_on(line, *others)
    disk.relay.said("the disk has stalled")
    disk.does("")


@pytest.mark.parametrize("connections", [1, 20])
def test_frames_pass_both_ways_on_every_connection_while_a_write_is_blocked(disk: FaultyDisk, connections: int) -> None:
    relay = disk.relay
    lines = [relay.open_websocket(f"/stream/{n}") for n in range(connections)]
    talk_on(*lines)
    stall(disk, *lines)
    relay.said("the disk is quick again")
    talk_on(*lines)
    assert relay.metric("disk_stalls_total") >= 1
    assert relay.metric("disk_late_events_total") >= 10 * connections
    end(relay, *lines)
    assert len(relay.stderr) == 2
    assert "nothing is lost" in relay.stderr[1]
    for n, line in enumerate(lines):
        assert_whole_and_late(relay.recording(str(n)), *line)
    status, said = verify(relay.recording("0").path)
    assert (status, said["whole"], said["exact"]) == (0, True, True)
    assert "after they were forwarded (the disk stalled)" in str(said["notes"])


@pytest.mark.parametrize(("durability", "call"), [("sync", "fdatasync"), ("batch", "write")])
def test_other_durabilities_stall_no_traffic_either(start_on_disk: StartOnDisk, durability: str, call: str) -> None:
    disk = start_on_disk("--durability", durability)
    lines = [disk.relay.open_websocket(f"/stream/{n}") for n in range(2)]
    stall(disk, *lines, call=call)
    disk.relay.said("the disk is quick again")
    end(disk.relay, *lines)
    for n, line in enumerate(lines):
        assert_passed(disk.relay.recording(str(n)), *line)


def test_stalls_may_come_again(disk: FaultyDisk) -> None:
    lines = [disk.relay.open_websocket(f"/stream/{n}") for n in range(3)]
    for n in range(3):
        stall(disk, *lines[n:], *lines[:n])
        talk_on(*lines)
    end(disk.relay, *lines)
    for n, line in enumerate(lines):
        assert_whole_and_late(disk.relay.recording(str(n)), *line)


def test_a_disk_that_is_slow_for_a_while_slows_no_round_trip(disk: FaultyDisk) -> None:
    """Each of its writes takes 100 ms: what comes meanwhile is written together."""
    lines = [disk.relay.open_websocket(f"/stream/{n}") for n in range(3)]
    disk.does("stall 100")
    talk_on(*lines, rounds=300)
    disk.does("")
    end(disk.relay, *lines)
    for n, line in enumerate(lines):
        assert_whole_and_late(disk.relay.recording(str(n)), *line)


def test_a_file_that_cannot_be_opened_for_a_while_delays_nobody(disk: FaultyDisk) -> None:
    """Not even the connection that it is for: its request goes up while it is being recorded, the rest is recorded afterwards."""
    relay = disk.relay
    old = relay.open_websocket("/stream/old")
    disk.blocks("open")
    new = relay.open_websocket("/stream/new")
    disk.until_blocked()
    talk_on(old, new)
    disk.does("")
    talk_on(old, new)
    end(relay, old, new)
    assert_passed(relay.recording("old"), *old)
    assert_whole_and_late(relay.recording("new"), *new)


def test_a_file_that_cannot_be_closed_for_a_while_delays_no_other_connection(disk: FaultyDisk) -> None:
    relay = disk.relay
    lines = [relay.open_websocket(f"/stream/{n}") for n in range(3)]
    talk_on(*lines)
    disk.blocks("close")
    goodbye(*lines[0])
    disk.until_blocked()
    talk_on(*lines[1:])
    disk.does("")
    end(relay, *lines[1:])
    for n, line in enumerate(lines):
        assert_passed(relay.recording(str(n)), *line)


def test_markers_that_come_during_a_stall_wait_and_stand_in_the_recording(disk: FaultyDisk) -> None:
    relay = disk.relay
    line = relay.open_websocket("/stream/s")
    disk.blocks()
    told: list[int] = []
    batch = [{"stream_id": "s", "stage": "my.own", "index": n} for n in range(20)]
    sender = threading.Thread(target=lambda: told.append(post(relay, batch)[0]))
    sender.start()
    disk.until_blocked()
    talk_on(line)
    disk.does("")
    sender.join()
    assert told == [202]
    end(relay, line)
    assert [m.index for m in markers(relay, "s")] == list(range(20))
    assert_passed(relay.recording("s"), *line)


def test_hooks_of_no_websocket_pass_during_a_stall_and_find_their_stream(disk: FaultyDisk) -> None:
    """Their recorder looks for an id in the body, moves events, and so on: that is the loop's, and done afterwards."""
    relay = disk.relay
    line, hook = relay.open_websocket("/stream/s"), relay.connect()
    asked, answer = request("POST", "/hook", JSON, body=hook_body("s")), response("200 OK", body=b"{}")
    exchange(*hook, asked)
    disk.blocks()
    say(line, b"stuck")
    disk.until_blocked()
    for _ in range(3):
        for cut in (asked[:-20], asked[-20:]):
            hook[0].send(cut)
            hook[1].read(len(cut))
        hook[1].send(answer)
        hook[0].read(len(answer))
    talk_on(line)
    disk.does("")
    end(relay, line, hook)
    rec = relay.recording("s")
    assert_whole(rec)
    assert_same(b"".join(rec.wire("c2s", conn=2)), hook[0].sent, "recorded:")
    assert_same(b"".join(rec.wire("c2s", conn=1)), line[0].sent, "recorded:")
    assert len(relay.files()) == 1


@pytest.mark.parametrize("option", ["--redact", "--live"])
def test_connections_that_are_recorded_the_slow_way_pass_too(start_on_disk: StartOnDisk, option: str) -> None:
    disk = start_on_disk(option)
    lines = [disk.relay.open_websocket(f"/stream/{n}") for n in range(3)]
    talk_on(*lines)
    stall(disk, *lines)
    talk_on(*lines)
    end(disk.relay, *lines)
    for n, line in enumerate(lines):
        assert_whole_and_late(disk.relay.recording(str(n)), *line)


def test_a_reader_that_pauses_during_a_stall_gets_everything(disk: FaultyDisk) -> None:
    """What the kernel does not take waits, the source is not read, and both go on without the loop."""
    relay = disk.relay
    line, other = relay.open_websocket("/stream/s"), relay.open_websocket("/stream/other")
    disk.blocks()
    say(other, b"stuck")
    disk.until_blocked()
    data = frame(bytes(range(256)) * 65536, 2, mask=MASK)
    with line[0].sending(data):
        line[1].read(1)
        talk_on(other)
        line[1].read(len(data) - 1)
    disk.does("")
    end(relay, line, other)
    assert_passed(relay.recording("s"), *line)
    assert_passed(relay.recording("other"), *other)


def test_ends_that_come_during_a_stall_pass_when_it_is_over(disk: FaultyDisk) -> None:
    relay = disk.relay
    line, finished, reset, gone = (relay.open_websocket(f"/stream/{n}") for n in range(4))
    disk.blocks()
    say(line, b"stuck")
    disk.until_blocked()
    say(finished, b"the last words")
    finished[0].finish()
    finished[1].read(len(finished[0].sent) - len(finished[1].received))
    reset[0].reset()
    gone[1].reset()
    talk_on(line)
    disk.does("")
    assert finished[1].read_to_fin() == b""
    assert reset[1].read_to_reset() == b""
    assert gone[0].read_to_reset() == b""
    finished[1].close()
    end(relay, line)
    assert_passed(relay.recording("0"), *line)
    assert_passed(relay.recording("1"), *finished)


def test_tls_on_both_sides_passes_during_a_stall(start_on_disk: StartOnDisk, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = TlsServer(authority.server_context("localhost"))
    options = ("--ca-file", str(authority.file), "--tls-cert", str(authority.issue("localhost")))
    disk = start_on_disk(*options, "--host-header", "keep", upstream=server)
    disk.relay.dial = partial(tls_client, context=authority.client_context())
    lines = [disk.relay.open_websocket(f"/stream/{n}") for n in range(2)]
    talk_on(*lines)
    disk.blocks()
    say(lines[0], b"stuck")
    disk.until_blocked()
    for client, peer in lines:
        talk(client, peer, 100_000)
    talk_on(*lines)
    disk.does("")
    talk_on(*lines)
    for client, peer in lines:
        client.finish()
        peer.read_to_fin()
        peer.finish()
        client.read_to_fin()
    disk.relay.stop()
    server.close()
    for n, line in enumerate(lines):
        assert_whole_and_late(disk.relay.recording(str(n)), *line)


def test_asyncio_has_nothing_to_say_about_the_other_thread(start_on_disk: StartOnDisk) -> None:
    """In its debug mode it tells every call from a thread that is not the loop's."""
    disk = start_on_disk("--live", PYTHONASYNCIODEBUG="1", PYTHONDEVMODE="1")
    lines = [disk.relay.open_websocket(f"/stream/{n}") for n in range(2)]
    stall(disk, *lines)
    disk.relay.said("the disk is quick again")
    end(disk.relay, *lines)
    assert [line for line in disk.relay.stderr if "thread" in line.lower() or "fault" in line] == []
    for n, line in enumerate(lines):
        assert_whole_and_late(disk.relay.recording(str(n)), *line)
