"""A stall that does not end in time: the queue is full, the relay is told to end, or is killed; and a file system that is truly frozen."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wsproxy.analysis import exactness
from wsproxy.recording.behind import QUEUE_BYTES
from wsproxy.recording.events import Late

from .faulty import FaultyDisk, StartOnDisk
from .raw import BINARY, MASK, frame
from .relay_process import RelayProcess, assert_passed
from .test_disk_trouble import assert_says_what_it_lost, talk, until_well, verify
from .test_stalled_disk import Line, end, say, talk_on

BLOCK = 1 << 20


def test_a_queue_that_overflows_is_a_gap_and_no_more(disk: FaultyDisk) -> None:
    """Traffic goes on, the counts are true, and recording goes on without a restart."""
    relay = disk.relay
    line = relay.open_websocket("/stream/s")
    talk_on(line)
    disk.blocks()
    say(line, b"stuck")
    disk.until_blocked()
    data = frame(os.urandom(BLOCK), BINARY, mask=MASK)
    with line[0].sending(data * (QUEUE_BYTES // BLOCK + 8)):
        line[1].read(len(data) * (QUEUE_BYTES // BLOCK + 8))
    talk_on(line)
    relay.said("the queue of 64 MiB was full")
    disk.does("")
    relay.said("are lost")
    relay.said("recording works again")
    assert relay.health()[0] == 200
    assert relay.metric("disk_lost_events_total") > 0
    talk_on(line)
    line[0].close()
    line[1].read_to_fin()
    line[1].close()
    relay.stop()
    assert_says_what_it_lost(relay, "s", *line)


def test_a_stall_that_ends_in_an_error_is_a_gap(disk: FaultyDisk) -> None:
    relay = disk.relay
    line = relay.open_websocket("/stream/s")
    talk_on(line)
    disk.blocks()
    say(line, b"stuck")
    disk.until_blocked()
    talk_on(line)
    disk.does("eio")
    relay.said("input/output error")
    talk_on(line)
    disk.does("")
    until_well(relay, *line)
    line[0].close()
    line[1].read_to_fin()
    line[1].close()
    relay.stop()
    assert_says_what_it_lost(relay, "s", *line)


@pytest.fixture(params=["the loop", "the writer"])
def stalled(request: pytest.FixtureRequest, start_on_disk: StartOnDisk) -> tuple[FaultyDisk, Line]:
    """A relay on a stalled disk, and a connection: what is stuck is the loop's thread, or the one that writes behind it."""
    disk = start_on_disk("--grace", "0")
    line = disk.relay.open_websocket("/stream/s")
    talk_on(line)
    disk.blocks()
    say(line, b"stuck")
    disk.until_blocked()
    talk_on(line)
    if request.param == "the writer":
        disk.does("")
        assert disk.relay.health()[1]["disk"]["stalled"] is True
        disk.blocks()
        say(line, b"stuck")
        disk.until_blocked()
        talk_on(line)
        assert disk.relay.health()[1]["disk"]["queued_bytes"] > 0
    return disk, line


def assert_what_was_written_is_there(relay: RelayProcess, line: Line) -> None:
    """The recording breaks off, and holds what had been sent before the stall, exactly."""
    rec = relay.recording("s")
    up, down = (b"".join(rec.wire("c2s")), b"".join(rec.wire("s2c")))
    client, server = line
    assert client.sent.startswith(up)
    assert server.sent.startswith(down)
    assert len(down) >= 5 * len(frame(b"d" * 300))
    result = exactness.check(rec.events())
    assert result.problems == []
    assert rec.ending is not None and rec.ending.state in ("unfinished", "torn")
    assert verify(rec.path)[0] == 1


def test_told_to_end_during_a_stall_the_relay_ends_in_time_and_says_what_is_missing(
    stalled: tuple[FaultyDisk, Line],
) -> None:
    disk, line = stalled
    disk.relay.signal(signal.SIGTERM)
    assert disk.relay.wait() == 1
    disk.relay.said("ended while the disk stalls")
    assert_what_was_written_is_there(disk.relay, line)


def test_told_to_end_during_a_stall_that_is_over_in_time_the_relay_finishes_everything(
    stalled: tuple[FaultyDisk, Line],
) -> None:
    disk, line = stalled
    disk.relay.signal(signal.SIGTERM)
    disk.does("")
    assert disk.relay.wait() == 0
    assert_passed(disk.relay.recording("s"), *line)


def test_killed_during_a_stall_what_had_been_written_is_there(stalled: tuple[FaultyDisk, Line]) -> None:
    disk, line = stalled
    disk.relay.kill()
    assert_what_was_written_is_there(disk.relay, line)


def test_killed_while_it_writes_behind_the_recording_says_that_its_end_may_be_missing(disk: FaultyDisk) -> None:
    line = disk.relay.open_websocket("/stream/s")
    disk.blocks()
    say(line, b"stuck")
    disk.until_blocked()
    talk_on(line)
    disk.does("stall 100")
    while not any(isinstance(event, Late) for event in disk.relay.recording("s").events()):
        talk_on(line)
    disk.relay.kill()
    _, said = verify(disk.relay.recording("s").path)
    assert "the last may be missing" in str(said["notes"])


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A folder on a file system of its own; and what freezes ("-f") and thaws ("-u") it."""
    for program in ("mkfs.ext4", "fsfreeze"):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            pytest.skip(f"no {program} here")
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", str(image), str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount an image here: {os.fsdecode(mounted.stderr).strip()}")

    def freeze(how: str) -> None:
        subprocess.run(["fsfreeze", how, str(folder)], check=True)

    yield folder, freeze
    subprocess.run(["fsfreeze", "-u", str(folder)], capture_output=True)
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_frozen_file_system_stalls_no_traffic(
    start_relay: Callable[..., RelayProcess], frozen: tuple[Path, Callable[[str], None]]
) -> None:
    """No stand-in: the kernel itself does not return from the write."""
    folder, freeze = frozen
    relay = start_relay(out=folder / "out")
    lines = [relay.open_websocket(f"/stream/{n}") for n in range(2)]
    talk_on(*lines)
    freeze("-f")
    say(lines[0], b"stuck")
    talk_on(*lines)
    relay.said("the disk has stalled")
    for client, server in lines:
        talk(client, server, 100_000)
    freeze("-u")
    relay.said("the disk is quick again")
    end(relay, *lines)
    for n, line in enumerate(lines):
        assert_passed(relay.recording(str(n)), *line)
