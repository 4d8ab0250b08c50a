"""The disk's two ways: inline, and aside by another thread. Whoever relays, the file holds every event once and in order."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsproxy.recording import behind
from wsproxy.recording.events import Gap, Late
from wsproxy.recording.writer import Durability, RecordingWriter

from .stalls import DEADLINE, Desk, end_of, stall

WRITES = 400


@pytest.fixture(autouse=True)
def soon_quick_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads that take turns often, and a disk that is called quick after a millisecond: so all transitions happen often."""
    monkeypatch.setattr(behind, "QUICK_SECONDS", 0.001)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("durability", ["every", "sync", "batch"])
def test_however_often_the_baton_changes_hands_every_event_is_there_once_and_in_order(
    tmp_path: Path, durability: Durability, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def slowly(fd: int, data: bytes) -> int:
        done = write(fd, data)
        time.sleep(0.0002)  # without the interpreter's lock, so that the other thread comes between
        return done

    monkeypatch.setattr(os, "write", slowly)
    desk = Desk(tmp_path / "r.msgpack", durability)
    disk, taken = desk.disk, 0
    deadline = time.monotonic() + DEADLINE

    def goes_on() -> bool:
        return (desk.written < WRITES or taken <= 10) and time.monotonic() < deadline

    def stand_by() -> None:
        """Take the baton whenever it can be had, as if every write were stuck."""
        nonlocal taken
        while goes_on():
            call = disk.call
            if call is not None and disk.take(call):
                taken += 1
                for _ in range(3):
                    desk.relay()
                while not disk.wanted:
                    pass
                disk.give_back()

    standby = threading.Thread(target=stand_by)
    standby.start()
    while goes_on():
        for _ in range(5):
            desk.relay(40_000 if desk.written % 100 == 0 else 8)
        desk.writer.flush(time.monotonic_ns())
        desk.until_inline()
    standby.join()
    desk.writer.close(time.monotonic_ns())
    desk.until_inline()
    assert taken > 10
    assert desk.numbers() == list(range(desk.written))
    assert desk.told == []
    assert disk.queued == 0
    late = sum(event.events for event in desk.events() if isinstance(event, Late))
    assert 0 < late <= desk.written
    assert disk.account.late == late


def test_what_finds_the_queue_full_is_one_gap_with_true_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path / "r.msgpack", limit=100_000)
    held = threading.Event()
    put = RecordingWriter.put
    monkeypatch.setattr(RecordingWriter, "put", lambda writer, batch: held.wait() and put(writer, batch))
    stalled = stall(desk)
    for _ in range(1000):
        desk.relay(1000)
    held.set()
    end_of(desk, stalled)
    desk.relay()
    desk.writer.close(time.monotonic_ns())
    numbers = desk.numbers()
    (gap,) = (event for event in desk.events() if isinstance(event, Gap))
    assert numbers == [*range(len(numbers) - 1), 1000]
    assert gap.events == 1001 - len(numbers)
    assert gap.bytes == 1000 * gap.events
    assert desk.disk.account.lost == gap.events
    assert "queue" in gap.reason
    assert desk.writer.gaps == 1
    assert [sentence is None for sentence in desk.told] == [False, True]


def test_a_disk_that_fails_while_it_is_written_behind_is_a_gap_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "not" / "r.msgpack")
    (tmp_path / "not").write_bytes(b"a file where the folder should be")
    stalled = stall(desk)
    for _ in range(10):
        desk.relay()
    end_of(desk, stalled)
    (tmp_path / "not").unlink()
    desk.writer.tell()
    desk.relay()
    desk.writer.close(time.monotonic_ns())
    gaps = [event for event in desk.events() if isinstance(event, Gap)]
    assert sum(gap.events for gap in gaps) + len(desk.numbers()) == 11
    assert len(gaps) == 1


def test_a_trailer_that_waits_counts_what_stands_before_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.msgpack")
    counted: list[tuple[int, int]] = []
    desk.relay()
    stalled = stall(desk)
    desk.relay()

    def trailer(gaps: int, own: int) -> bytes:
        counted.append((gaps, own))
        return b""

    desk.writer.finish(trailer, time.monotonic_ns())
    desk.relay()  # opens it again
    end_of(desk, stalled)
    kinds = [type(event).__name__ for event in desk.events()]
    assert kinds[:4] == ["Opaque", "Late", "Opaque", "Late"]
    assert counted == [(0, 2)]
    assert desk.numbers() == [0, 1, 2]
    desk.writer.close(time.monotonic_ns())
