"""The disk is full, the folder is gone, descriptors run out: traffic does not notice, the recording says what it lost."""

from __future__ import annotations

import contextlib
import fcntl
import json
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wsproxy.analysis import exactness
from wsproxy.recording.events import Gap

from .raw import DEADLINE, MASK, Peer, RawServer, frame, request
from .relay_process import RelayProcess, assert_passed, assert_same
from .test_routing import JSON, exchange, goodbye, hook_body

StartRelay = Callable[..., RelayProcess]
LIMIT = 64 * 1024


def talk(client: Peer, server: Peer, size: int, times: int = 1) -> None:
    """Frames each way, each awaited."""
    for _ in range(times):
        client.send(frame(b"u" * size, mask=MASK))
        server.read(len(client.sent) - len(server.received))
        server.send(frame(b"d" * size))
        client.read(len(server.sent) - len(client.received))


def verify(path: Path) -> tuple[int, dict[str, object]]:
    """`wsproxy verify --json`: its exit status and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "wsproxy", "verify", "--json", str(path)], capture_output=True, text=True, timeout=30
    )
    return done.returncode, json.loads(done.stdout)


def told(relay: RelayProcess) -> list[str]:
    """What it said, but for stalls: the disk below the tests may have one of its own."""
    return [line for line in relay.stderr if "the disk has stalled" not in line and "the disk is quick" not in line]


def assert_says_what_it_lost(relay: RelayProcess, stream: str, client: Peer, server: Peer) -> None:
    """The recording has one gap, and what it holds and what it lost add up to what passed."""
    assert_same(server.received, client.sent, "the server got")
    assert_same(client.received, server.sent, "the client got")
    rec = relay.recording(stream)
    result = exactness.check(rec.events())
    assert rec.ending is not None and rec.ending.state == "finished"
    (gap,) = (event for event in rec.events() if isinstance(event, Gap))
    recorded = sum(stretch.bytes for stretch in result.stretches)
    assert recorded + gap.bytes == len(client.sent) + len(server.sent)
    assert gap.events > 0
    status, said = verify(rec.path)
    assert status == 1
    assert said["gaps"] == 1
    assert said["whole"] is False


def until_well(relay: RelayProcess, client: Peer, server: Peer) -> None:
    """Talk until the relay records again: it tries with the next frame, five times a second."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if relay.health()[0] == 200:
            return
        talk(client, server, 10)
    raise AssertionError(f"still {relay.health()}")


def mend_and_end(relay: RelayProcess, client: Peer, server: Peer, mend: Callable[[], None]) -> None:
    """While recording fails traffic flows and health says 503; when it is mended, recording goes on."""
    talk(client, server, 10_000, times=10)
    relay.said("cannot write")
    status, health = relay.health()
    assert status == 503
    assert health["status"] == "recording fails"
    mend()
    until_well(relay, client, server)
    talk(client, server, 1000, times=3)
    relay.said("recording works again")
    client.close()
    server.read_to_fin()
    server.close()
    relay.stop()
    assert len(told(relay)) == 2
    assert_says_what_it_lost(relay, "s", client, server)


@pytest.mark.parametrize("durability", ["every", "batch", "sync"])
def test_file_size_limit_costs_a_gap_and_no_traffic(start_relay: StartRelay, durability: str) -> None:
    relay = start_relay("--durability", durability, limits={resource.RLIMIT_FSIZE: (LIMIT, resource.RLIM_INFINITY)})
    client, server = relay.open_websocket("/stream/s")

    def mend() -> None:
        relay.limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)

    mend_and_end(relay, client, server, mend)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk_costs_a_gap_and_no_traffic(start_relay: StartRelay, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"b" * 128 * 1024)
    relay = start_relay(out=small_disk / "out")
    client, server = relay.open_websocket("/stream/s")
    mend_and_end(relay, client, server, ballast.unlink)


def test_disk_that_stays_full_leaves_a_readable_recording(start_relay: StartRelay) -> None:
    relay = start_relay(limits={resource.RLIMIT_FSIZE: (LIMIT, LIMIT)})
    client, server = relay.open_websocket("/stream/s")
    talk(client, server, 10_000, times=10)
    client.close()
    server.read_to_fin()
    server.close()
    relay.stop()
    rec = relay.recording("s")
    assert list(rec.events())
    assert rec.ending is not None and rec.ending.state in ("unfinished", "finished")
    assert verify(rec.path)[0] == 1
    assert len([line for line in relay.stderr if "cannot write" in line]) == 1


def test_many_streams_on_a_full_disk_are_told_once(start_relay: StartRelay) -> None:
    relay = start_relay(limits={resource.RLIMIT_FSIZE: (100, resource.RLIM_INFINITY)})  # not even a header fits
    for n in range(10):
        client, server = relay.open_websocket(f"/stream/{n}")
        talk(client, server, 10)
        client.close()
        server.read_to_fin()
        server.close()
    line = relay.open_websocket("/stream/10")
    assert relay.health()[0] == 503
    goodbye(*line)
    relay.stop()
    assert len(relay.stderr) == 1
    assert relay.files() == []


def test_trailer_is_written_when_the_disk_is_mended_at_the_last_moment(start_relay: StartRelay) -> None:
    """Between two tries to write the connection ends: its end is reason enough to try."""
    relay = start_relay(limits={resource.RLIMIT_FSIZE: (LIMIT, resource.RLIM_INFINITY)})
    client, server = relay.open_websocket("/stream/s")
    talk(client, server, 10_000, times=5)
    relay.said("cannot write")
    talk(client, server, 10)
    relay.limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
    client.close()
    server.read_to_fin()
    server.close()
    relay.stop()
    assert_says_what_it_lost(relay, "s", client, server)


def test_folder_that_vanishes_costs_no_traffic_and_is_made_again(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/before")
    shutil.rmtree(relay.out)
    talk(client, server, 100)
    later = relay.open_websocket("/stream/after")
    talk(*later, 100)
    goodbye(*later)
    client.close()
    server.read_to_fin()
    server.close()
    relay.stop()
    assert_passed(relay.recording("after"), *later)
    assert_says_what_it_lost(relay, "before", client, server)
    assert relay.out.stat().st_mode & 0o777 == 0o700
    assert len(relay.files()) == 2


@pytest.mark.parametrize("durability", ["every", "batch"])
def test_recording_that_is_removed_while_it_is_written_begins_again_and_says_so(
    start_relay: StartRelay, durability: str
) -> None:
    """Without an error to tell it: what is written to a removed file goes nowhere."""
    relay = start_relay("--durability", durability)
    client, server = relay.open_websocket("/stream/s")
    talk(client, server, 100, times=3)
    deadline = time.monotonic() + DEADLINE
    while not relay.files():  # a batch is written within 50 ms
        assert time.monotonic() < deadline
    shutil.rmtree(relay.out)
    relay.said("was removed while it was written")
    relay.said("recording works again")
    talk(client, server, 100, times=3)
    client.close()
    server.read_to_fin()
    server.close()
    relay.stop()
    assert len(told(relay)) == 2
    assert_says_what_it_lost(relay, "s", client, server)


def test_hook_whose_first_half_could_not_be_written_is_said_to_be_lost(start_relay: StartRelay) -> None:
    """The provisional recording has no file when the stream becomes known."""
    relay = start_relay(limits={resource.RLIMIT_FSIZE: (100, resource.RLIM_INFINITY)})
    client, server = relay.connect()
    asked = request("POST", "/hook", JSON, body=hook_body("s"))
    client.send(asked[:-20])
    server.read(len(asked) - 20)
    relay.said("cannot write")
    relay.limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
    exchange(client, server, asked[-20:])
    goodbye(client, server)
    relay.stop()
    for rec in relay.recordings():
        result = exactness.check(rec.events())
        assert rec.ending is not None and rec.ending.state == "finished"
        assert result.gaps or not result.problems, result.problems
    assert any(exactness.check(rec.events()).gaps for rec in relay.recordings())


def test_reader_that_holds_the_lock_costs_no_event(relay: RelayProcess) -> None:
    """`wsproxy ls` and `show` take the file's lock for a moment to see whether a relay writes it."""
    first = relay.open_websocket("/stream/s")
    talk(*first, 10)
    first[0].close()
    first[1].read_to_fin()
    first[1].close()
    with open(relay.recording("s").path, "rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)  # granted when the relay has finished the file
        second = relay.open_websocket("/stream/s")
        talk(*second, 10)
    second[0].close()
    second[1].read_to_fin()
    second[1].close()
    relay.stop()
    assert relay.stderr == []
    assert_passed(relay.recording("s"), *second, conn=2)


def test_running_out_of_descriptors_is_survived(start_relay: StartRelay) -> None:
    relay = start_relay(limits={resource.RLIMIT_NOFILE: (64, 64)})
    with contextlib.ExitStack() as stack:
        for _ in range(80):
            stack.enter_context(socket.create_connection(("127.0.0.1", relay.port), DEADLINE))
        relay.said("too many open files")
    threading.Thread(target=echo_all, args=(relay.upstream,), daemon=True).start()
    deadline = time.monotonic() + DEADLINE
    while not comes_back(relay, b"\x00 are you there?"):
        assert time.monotonic() < deadline, relay.stderr
    relay.stop()
    assert len([line for line in relay.stderr if "cannot accept" in line]) == 1
    assert [line for line in relay.stderr if "upstream" in line] == []  # it is well; the relay is short of descriptors


def test_running_out_of_descriptors_on_the_control_port_is_one_line(start_relay: StartRelay) -> None:
    relay = start_relay(limits={resource.RLIMIT_NOFILE: (40, 40)})
    with contextlib.ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(socket.create_connection(("127.0.0.1", relay.control_port), DEADLINE))
        relay.said("too many open files")
    assert relay.health()[0] == 200
    goodbye(*relay.open_websocket("/stream/s"))
    relay.stop()
    assert len(relay.stderr) == 1


def echo_all(upstream: RawServer) -> None:
    """Answer one connection after the other with its first bytes, until the server is closed."""
    with contextlib.suppress(OSError):
        while True:
            server = upstream.accept()
            with contextlib.suppress(OSError):
                server.send(server.sock.recv(1000))
            server.close()


def comes_back(relay: RelayProcess, data: bytes) -> bool:
    """Whether a server behind the relay echoes."""
    client = Peer(socket.create_connection(("127.0.0.1", relay.port), DEADLINE))
    client.send(data)
    with contextlib.suppress(OSError):
        client.read_to_fin()
    client.close()
    return client.received == data
