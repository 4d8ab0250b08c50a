"""What is written behind the traffic: whatever the disk does meanwhile, the file says truly what it holds, and what is late or missing."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from wsproxy.recording import behind
from wsproxy.recording.behind import Account, Batch, Entry
from wsproxy.recording.disk import Disk
from wsproxy.recording.events import DirTotals, Gap, Late, Trailer
from wsproxy.recording.format import pack_event
from wsproxy.recording.writer import Durability, RecordingWriter

from .samples import BASE
from .stalls import (
    DEADLINE,
    Desk,
    StuckFile,
    back_from,
    become,
    descriptor,
    stall,
    standing_in,
    wait_until,
)


@pytest.fixture(autouse=True)
def not_quick_before_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stall lasts until the test says so."""
    monkeypatch.setattr(behind, "QUICK_SECONDS", 3600.0)


def be_quick(desk: Desk) -> None:
    """The disk counts as quick now."""
    behind.QUICK_SECONDS = 0.0
    desk.disk.put(desk.writer, lambda: None)  # so that the writing thread looks
    desk.until_inline()


def end(desk: Desk) -> None:
    """Everything is written, and the file is closed."""
    desk.writer.close(time.monotonic_ns())
    be_quick(desk)


def started(path: Path, durability: Durability = "every", limit: int = 1 << 20, disk: Disk | None = None) -> Desk:
    """A recording with one event."""
    desk = Desk(path / "r.msgpack", durability, limit, disk)
    desk.relay()
    desk.writer.flush(time.monotonic_ns())
    return desk


@contextmanager
def no_more_threads() -> Iterator[None]:
    """A stack larger than the address space: the kernel gives no thread."""
    before = threading.stack_size(1 << 48)
    try:
        yield
    finally:
        threading.stack_size(before)


def waits_in(thread: int, name: str) -> bool:
    """Whether a thread waits for a condition in the function of this name."""
    frame: FrameType | None = sys._current_frames()[thread]
    return bool(frame and frame.f_back and (frame.f_code.co_name, frame.f_back.f_code.co_name) == ("wait", name))


# --- a write of the relaying thread is stuck -------------------------------------------------------------------------


def test_what_is_relayed_while_a_write_is_stuck_follows_it_and_all_of_that_is_late(tmp_path: Path) -> None:
    desk = started(tmp_path)
    file = StuckFile(desk)
    with standing_in(desk, desk.relay):
        for _ in range(3):
            desk.relay()
        assert desk.writer.waits
        assert desk.disk.left() == (3, 1)
        file.go_on()
    desk.relay()
    end(desk)
    file.settled()
    assert desk.story() == [0, 1, "late from here", 2, 3, 4, 5, "5 late"]
    assert not desk.writer.waits
    assert desk.disk.left() == (0, 0)
    assert desk.disk.queued == 0
    late = desk.events()[-1]
    account = desk.disk.account
    assert isinstance(late, Late) and late.longest == account.late_ns > 0
    assert (account.stalls, account.late, account.lost) == (1, 5, 0)
    assert account.longest_ns > 0
    assert desk.told == []


def test_a_stuck_write_that_fails_is_written_behind_before_all_that_waits(tmp_path: Path) -> None:
    desk = started(tmp_path)
    file = StuckFile(desk)
    with standing_in(desk, desk.relay):
        desk.relay()
        desk.relay()
        file.fail()
    end(desk)
    assert desk.story() == [0, "late from here", 1, 2, 3, "3 late"]
    assert desk.told == []


def test_a_stuck_write_of_the_long_way_that_fails_is_missing_and_not_late(tmp_path: Path) -> None:
    desk = started(tmp_path)
    file = StuckFile(desk)
    with standing_in(desk, lambda: desk.relay(40_000)):
        desk.relay()
        desk.relay()
        file.fail()
    end(desk)
    assert desk.story() == [0, "1 missing", 2, 3, "2 late"]
    assert [sentence is None for sentence in desk.told] == [False, True]


@pytest.mark.parametrize("how", ["succeeds", "fails"])
def test_a_batch_that_is_stuck_comes_before_what_is_relayed_meanwhile(tmp_path: Path, how: str) -> None:
    desk = started(tmp_path, "batch")
    desk.relay()
    desk.relay()
    file = StuckFile(desk)
    with standing_in(desk, lambda: desk.writer.flush(time.monotonic_ns())):
        desk.relay()
        if how == "succeeds":
            file.go_on()
        else:
            file.fail()
    end(desk)
    if how == "succeeds":
        file.settled()
        assert desk.story() == [0, 1, 2, "late from here", 3, "1 late"]
    else:
        assert desk.story() == [0, "2 missing", 3, "1 late"]


class HeldUp(Disk):
    """The relaying thread loses its processor when it has begun a call, before it has done anything."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        self.goes_on.set()

    @property
    def call(self) -> object:
        return self._call

    @call.setter
    def call(self, call: object) -> None:
        self._call = call
        if call is not None:
            self.goes_on.wait()


@pytest.mark.parametrize("how", ["flush", "close"])
def test_a_batch_whose_write_was_not_even_begun_stands_there_once(tmp_path: Path, how: str) -> None:
    disk = HeldUp()
    desk = started(tmp_path, "batch", disk=disk)
    desk.relay()
    desk.relay()
    disk.goes_on.clear()
    call = desk.writer.flush if how == "flush" else desk.writer.close
    with standing_in(desk, lambda: call(time.monotonic_ns())):
        desk.relay()
        disk.goes_on.set()
    end(desk)
    assert desk.story() == [0, 1, 2, "late from here", 3, "1 late"]


# --- the baton -------------------------------------------------------------------------------------------------------


def test_without_a_thread_to_write_behind_the_relaying_thread_keeps_the_baton(tmp_path: Path) -> None:
    desk = started(tmp_path)
    file = StuckFile(desk)
    thread = threading.Thread(target=desk.relay)
    thread.start()
    wait_until(lambda: desk.disk.call is not None, "the write does not begin")
    with no_more_threads():
        assert not desk.disk.take(desk.disk.call)
    assert not desk.disk.stalled
    file.go_on()
    thread.join()
    end(desk)
    file.settled()
    assert desk.story() == [0, 1]
    assert desk.disk.account == Account()


def test_the_baton_of_a_call_that_is_over_is_not_to_be_had(tmp_path: Path) -> None:
    desk = started(tmp_path)
    assert not desk.disk.take(desk.writer)
    desk.relay()
    end(desk)
    assert desk.story() == [0, 1]
    assert desk.disk.account == Account()


class NoThreadWhenTheWriteFails(Disk):
    """The relaying thread's write fails just when the standby finds that it gets no thread."""

    file: StuckFile

    def __init__(self) -> None:
        super().__init__()
        self._failed = threading.Event()

    def put(self, writer: RecordingWriter, entry: Entry, *, first: bool = False) -> bool:
        self._failed.set()
        return super().put(writer, entry, first=first)

    def _begin(self) -> bool:
        self.file.fail()
        assert self._failed.wait(DEADLINE)
        with no_more_threads():
            return super()._begin()


def test_a_write_that_fails_while_the_standby_gets_no_thread_is_written_again_inline(tmp_path: Path) -> None:
    disk = NoThreadWhenTheWriteFails()
    desk = started(tmp_path, disk=disk)
    disk.file = StuckFile(desk)
    thread = threading.Thread(target=desk.relay)
    thread.start()
    wait_until(lambda: disk.call is not None, "the write does not begin")
    assert not disk.take(disk.call)
    thread.join()
    desk.writer.close(time.monotonic_ns())
    assert desk.story() == [0, 1]
    assert desk.told == []


class QuickAfterAll(Disk):
    """The writing thread finishes just after the relaying thread has seen that it has not."""

    desk: Desk

    def aside(self) -> bool:
        answer = super().aside()
        if answer:
            be_quick(self.desk)
        return answer


@pytest.mark.parametrize("durability", ["every", "sync", "batch"])
def test_a_disk_that_is_quick_again_before_something_went_aside_is_written_inline(
    tmp_path: Path, durability: Durability
) -> None:
    disk = QuickAfterAll()
    disk.desk = desk = started(tmp_path, durability, disk=disk)
    desk.relay()
    back_from(desk, stall(desk))
    assert disk.stalled
    desk.relay()
    assert not disk.stalled
    desk.writer.close(time.monotonic_ns())
    assert desk.story() == [0, 1, 2]


def test_a_disk_that_is_quick_takes_nothing_aside_and_calls_nothing_late(tmp_path: Path) -> None:
    desk = started(tmp_path)
    assert not desk.disk.put(desk.writer, Batch([b"never"], 1, 5, 1, 1))
    desk.disk.was_late(desk.writer, 1, 0)
    desk.writer.close(time.monotonic_ns())
    assert desk.story() == [0]
    assert desk.disk.account == Account()


@pytest.mark.parametrize("how", ["write", "another call"])
def test_the_first_call_after_a_rest_wakes_the_standby(tmp_path: Path, how: str) -> None:
    desk = started(tmp_path)
    disk, awake = desk.disk, threading.Semaphore(0)
    disk.wake = awake.release
    standby = threading.Thread(target=awake.acquire)
    standby.start()
    disk.inline = False
    assert not desk.writer.vanished  # it is not asleep yet
    disk.inline, disk.asleep = False, True
    if how == "write":
        desk.relay()
    else:
        assert not desk.writer.vanished
    standby.join(DEADLINE)
    assert not standby.is_alive()
    assert disk.inline and not disk.asleep
    desk.writer.close(time.monotonic_ns())
    assert desk.story() == list(range(desk.written))


# --- what waits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["write", "flush"])
def test_what_a_batch_holds_when_a_stall_begins_goes_aside_before_the_rest(tmp_path: Path, how: str) -> None:
    desk = started(tmp_path, "batch")
    desk.relay()
    stalled = stall(desk)
    if how == "flush":
        desk.writer.flush(time.monotonic_ns())
    desk.relay()
    back_from(desk, stalled)
    end(desk)
    assert desk.story() == [0, "late from here", 1, 2, "2 late"]


def test_several_buffers_of_one_write_are_all_there(tmp_path: Path) -> None:
    desk = started(tmp_path)
    stalled = stall(desk)
    gaps = [pack_event(Gap(BASE, BASE, number, 0, ""), BASE) for number in (7, 8)]
    desk.writer.write(gaps, 2, 0, time.monotonic_ns())
    back_from(desk, stalled)
    end(desk)
    assert desk.story() == [0, "late from here", "7 missing", "8 missing", "2 late"]


def test_written_out_all_that_waits_is_in_the_file_though_the_stall_goes_on(tmp_path: Path) -> None:
    desk = started(tmp_path)
    stalled = stall(desk)
    held = threading.Event()
    desk.disk.put(desk.writer, lambda: (held.wait(DEADLINE), None)[1])
    for _ in range(3):
        desk.relay()
    waiting = threading.get_ident()

    def let_go() -> None:
        wait_until(lambda: waits_in(waiting, "until_written"), "it does not wait")
        held.set()

    thread = threading.Thread(target=let_go)
    thread.start()
    desk.writer.write_out(time.monotonic_ns())
    assert desk.story() == [0, "late from here", 1, 2, 3]
    assert desk.disk.stalled and not desk.writer.waits
    thread.join()
    back_from(desk, stalled)
    end(desk)
    assert desk.story() == [0, "late from here", 1, 2, 3, "3 late"]


def test_written_out_by_a_disk_that_is_quick_a_batch_is_in_the_file(tmp_path: Path) -> None:
    desk = started(tmp_path, "batch")
    desk.relay()
    desk.writer.write_out(time.monotonic_ns())
    assert desk.story() == [0, 1]
    desk.writer.close(time.monotonic_ns())


def test_what_a_small_queue_does_not_take_is_missing_and_not_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behind, "STALL_SECONDS", 0.0)
    desk = started(tmp_path, limit=10_000)
    file = StuckFile(desk)
    stalled = stall(desk)
    for _ in range(50):
        desk.relay(1000)
    assert len(desk.told) == 1 and "queue" in str(desk.told[0])
    taken = 50 - desk.disk.account.lost
    assert 0 < taken < 50
    file.go_on()
    desk.writer.write_out(time.monotonic_ns())
    desk.relay()
    back_from(desk, stalled)
    end(desk)
    file.settled()
    numbers = list(range(1, taken + 1))
    missing = 50 - taken
    assert desk.story() == [0, "late from here", *numbers, f"{missing} missing", 51, f"{taken + 1} late"]
    (gap,) = (event for event in desk.events() if isinstance(event, Gap))
    assert gap.bytes == missing * 1000
    assert desk.disk.account.late == taken + 1
    assert desk.told[1:] == [None]
    assert desk.writer.gaps == 1


# --- what goes wrong behind ------------------------------------------------------------------------------------------


def test_what_a_full_device_did_not_take_behind_is_missing_and_not_late(tmp_path: Path) -> None:
    desk = started(tmp_path)
    fd = descriptor(desk.writer.path)
    stalled = stall(desk)
    become(fd, "/dev/full")
    desk.relay()
    desk.relay()
    desk.writer.write_out(time.monotonic_ns())
    assert desk.writer.failing
    become(fd, desk.writer.path)
    desk.relay()
    back_from(desk, stalled)
    end(desk)
    assert desk.story() == [0, "2 missing", 3, "1 late"]
    assert [sentence is None for sentence in desk.told] == [False, True]


def test_a_fault_behind_is_told_and_costs_nothing_that_comes_after_it(tmp_path: Path) -> None:
    desk = started(tmp_path)
    faults: list[Exception] = []
    desk.disk.on_fault = faults.append
    broken = ValueError("a trailer that cannot be made")

    def trailer(gaps: int, own: int) -> bytes:
        raise broken

    stalled = stall(desk)
    desk.relay()
    desk.writer.finish(trailer, time.monotonic_ns())
    desk.relay()
    back_from(desk, stalled)
    end(desk)
    assert faults == [broken]
    assert desk.story() == [0, "late from here", 1, "1 late", "late from here", 2, "1 late"]


# --- other calls during a stall --------------------------------------------------------------------------------------


def test_a_recording_that_is_finished_during_a_stall_has_its_trailer_after_all_that_waits(tmp_path: Path) -> None:
    desk = started(tmp_path)
    done = threading.Event()
    total = DirTotals(0, 0, "")
    stalled = stall(desk)
    desk.relay()
    desk.writer.finish(
        lambda gaps, own: pack_event(Trailer(BASE, 2 + own, 0, gaps, 0, total, total), BASE),
        time.monotonic_ns(),
        done.set,
    )
    assert done.wait(DEADLINE)  # though the stall goes on
    assert desk.story()[:-1] == [0, "late from here", 1, "1 late"]
    trailer = desk.events()[-1]
    assert isinstance(trailer, Trailer) and trailer.events == 4
    back_from(desk, stalled)
    be_quick(desk)
    assert desk.events()[-1] == trailer


@pytest.mark.parametrize("durability", ["every", "batch"])
def test_a_recording_that_is_closed_during_a_stall_holds_all_that_waited(
    tmp_path: Path, durability: Durability
) -> None:
    desk = started(tmp_path, durability)
    desk.relay()
    stalled = stall(desk)
    desk.writer.close(time.monotonic_ns())
    back_from(desk, stalled)
    be_quick(desk)
    assert desk.numbers() == [0, 1]
    with pytest.raises(StopIteration):
        descriptor(desk.writer.path)


def test_a_recording_that_is_discarded_during_a_stall_is_gone_after_it(tmp_path: Path) -> None:
    desk = started(tmp_path)
    stalled = stall(desk)
    desk.relay()
    desk.writer.discard()
    back_from(desk, stalled)
    be_quick(desk)
    assert not os.path.exists(desk.writer.path)
    assert desk.told == []


def test_a_file_that_is_removed_during_a_stall_is_noticed_after_it(tmp_path: Path) -> None:
    desk = started(tmp_path)
    os.unlink(desk.writer.path)
    stalled = stall(desk)
    assert not desk.writer.vanished
    desk.writer.begin_again(1, 8, time.monotonic_ns())
    assert not os.path.exists(desk.writer.path)
    back_from(desk, stalled)
    be_quick(desk)
    assert desk.writer.vanished
    desk.writer.begin_again(1, 8, time.monotonic_ns())
    desk.relay()
    desk.writer.close(time.monotonic_ns())
    assert desk.story() == ["1 missing", 1]


def test_stalls_that_were_told_are_told_again_when_they_are_over(tmp_path: Path) -> None:
    desk = started(tmp_path)
    over: list[Account] = []
    desk.disk.on_caught_up = over.append
    stalled = stall(desk)
    desk.disk.told = True
    desk.relay()
    back_from(desk, stalled)
    end(desk)
    (account,) = over
    assert (account.stalls, account.late, account.lost) == (1, 1, 0)
    behind.QUICK_SECONDS = 3600.0
    end_of_second = stall(desk)
    back_from(desk, end_of_second)
    be_quick(desk)
    assert len(over) == 1  # nothing was late: not worth telling
    assert desk.disk.account.stalls == 2
