"""The writer: what it promises when the disk works."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import termios
import threading
from pathlib import Path

import pytest

from wsproxy.recording.events import DirTotals, Event, Gap, Trailer
from wsproxy.recording.format import pack_event
from wsproxy.recording.reader import Recording
from wsproxy.recording.writer import Durability, RecordingWriter
from wsproxy.wire.events import C2S, Frame, Opaque

from .samples import BASE, HEADER
from .stalls import become, descriptor

DURABILITIES: tuple[Durability, ...] = ("every", "batch", "sync")


def opaque(number: int, size: int = 10) -> Opaque:
    return Opaque(1, C2S, BASE + number, bytes([number % 256]) * size)


class Desk:
    """A writer and what it complained about."""

    def __init__(self, path: Path, durability: Durability = "every") -> None:
        self.path = path
        self.trouble: list[str | None] = []
        self.writer = RecordingWriter(str(path), HEADER, durability, lambda _, sentence: self.trouble.append(sentence))

    def add(self, *events: Opaque, t: int | None = None) -> None:
        buffers = [pack_event(event, BASE) for event in events]
        self.writer.write(
            buffers, len(events), sum(len(event.raw) for event in events), events[-1].t if t is None else t
        )

    def read(self) -> list[Event]:
        return list(Recording(self.path).events())


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("size", [10, 1_000, 20_000, 100_000])
def test_what_is_written_is_read_in_order(tmp_path: Path, durability: Durability, size: int) -> None:
    desk = Desk(tmp_path / "r.msgpack", durability)
    events = [opaque(number, size) for number in range(12)]
    desk.add(*events[:3])
    for event in events[3:]:
        desk.add(event)
    desk.writer.close(BASE + 99)
    assert desk.read() == [event._replace(t=event.t - BASE) for event in events]
    assert desk.trouble == []


@pytest.mark.parametrize("durability", ["every", "sync"])
def test_an_event_is_in_the_file_when_write_returns(tmp_path: Path, durability: Durability) -> None:
    desk = Desk(tmp_path / "r.msgpack", durability)
    for number in range(5):
        desk.add(opaque(number))
        assert len(desk.read()) == number + 1


def test_a_batch_waits_for_flush_or_for_its_limit(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.msgpack", "batch")
    desk.add(opaque(1))
    assert not desk.path.exists()
    desk.writer.flush(BASE)
    assert len(desk.read()) == 1
    desk.add(opaque(2, 600_000))
    assert len(desk.read()) == 1
    desk.add(opaque(3, 600_000))
    assert len(desk.read()) == 3


def test_more_buffers_than_one_writev_takes_are_all_written(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.msgpack")
    desk.add(*[opaque(number, 200) for number in range(3_000)])
    assert len(desk.read()) == 3_000


def test_a_closed_recording_opens_again_at_its_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.msgpack")
    desk.add(opaque(1))
    desk.writer.close(BASE)
    assert not Recording(desk.path).is_open()
    desk.add(opaque(2))
    assert Recording(desk.path).is_open()
    assert [event.t for event in desk.read() if isinstance(event, Opaque)] == [1, 2]


def test_a_recording_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.msgpack")
    desk.add(opaque(1))
    assert desk.path.stat().st_mode & 0o777 == 0o600


def test_an_existing_file_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "r.msgpack").write_bytes(b"mine")
    desk = Desk(tmp_path / "r.msgpack")
    desk.add(opaque(1))
    desk.writer.close(BASE)
    assert (tmp_path / "r.msgpack").read_bytes() == b"mine"
    assert desk.trouble and "file exists" in str(desk.trouble[0])


def test_what_could_not_be_created_is_a_gap_once_it_can(tmp_path: Path) -> None:
    (tmp_path / "later").write_bytes(b"a file where the folder should be")
    desk = Desk(tmp_path / "later" / "r.msgpack")
    desk.add(opaque(1), opaque(2))
    (tmp_path / "later").unlink()
    (tmp_path / "later").mkdir()
    desk.add(opaque(3), t=BASE + 10**9)
    gap, event = desk.read()
    assert gap[2:4] == (2, 20)  # type: ignore[index]
    assert isinstance(event, Opaque) and event.t == 3
    assert len(desk.trouble) == 2 and desk.trouble[1] is None


def test_a_discarded_recording_is_gone(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.msgpack")
    desk.add(opaque(1))
    desk.writer.discard()
    assert not desk.path.exists()


def test_a_reader_that_looks_at_the_lock_costs_the_writer_no_event(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.msgpack")
    desk.add(opaque(1))
    desk.writer.close(BASE)
    with desk.path.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)  # as Recording.is_open does, for a moment
        desk.add(opaque(2))
    desk.writer.close(BASE)
    assert desk.trouble == []


def test_frames_of_the_hot_path_are_written_as_they_are(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.msgpack")
    frame = Frame(1, C2S, BASE + 5, 0x82, b"abcd", 3, 7, b"abc")
    desk.writer.write([pack_event(frame, BASE)], 1, 9, frame.t)
    assert desk.read() == [frame._replace(t=5)]


@pytest.mark.parametrize("durability", DURABILITIES)
def test_what_a_full_device_did_not_take_is_a_gap_when_it_takes_something_again(
    tmp_path: Path, durability: Durability
) -> None:
    """Nothing can be cut off on /dev/full either: it is tried again before the next write."""
    desk = Desk(tmp_path / "r.msgpack", durability)
    desk.add(opaque(1))
    desk.writer.flush(BASE + 1)
    fd = descriptor(desk.path)
    become(fd, "/dev/full")
    desk.add(opaque(2), opaque(3))
    desk.writer.flush(BASE + 3)
    assert desk.writer.failing and str(desk.trouble[0]).startswith("cannot write")
    desk.path.write_bytes(desk.path.read_bytes() + b"torn")
    become(fd, desk.path)
    desk.writer.close(BASE + 4)
    first, gap = desk.read()
    assert isinstance(first, Opaque) and isinstance(gap, Gap)
    assert (first.t, gap.events, gap.bytes, desk.writer.failing, desk.trouble[1:]) == (1, 2, 20, False, [None])


def test_a_file_that_was_removed_while_it_is_open_is_noticed_and_begun_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.msgpack")
    assert not desk.writer.vanished
    desk.add(opaque(1))
    assert not desk.writer.vanished
    desk.path.unlink()
    assert desk.writer.vanished
    desk.writer.begin_again(1, 10, BASE + 1)
    desk.add(opaque(2))
    gap, event = desk.read()
    assert isinstance(gap, Gap) and gap == Gap(0, 1, 1, 10, "the file was removed while it was written")
    assert isinstance(event, Opaque) and event.t == 2
    desk.writer.close(BASE + 3)


@pytest.mark.parametrize("how", ["before", "meanwhile"])
def test_a_closed_recording_that_was_removed_begins_anew_with_a_gap(tmp_path: Path, how: str) -> None:
    desk = Desk(tmp_path / "r.msgpack")
    desk.add(opaque(1))
    desk.writer.close(BASE + 1)
    with desk.path.open("rb") as removed:
        desk.path.unlink()
        if how == "meanwhile":  # what is opened is a file that has no name any more
            desk.path.symlink_to(f"/proc/self/fd/{removed.fileno()}")
        desk.add(opaque(2))
        desk.path.unlink(missing_ok=True)
    desk.add(opaque(3), t=BASE + 10**9)
    gap, event = desk.read()
    assert isinstance(gap, Gap) and (gap.events, gap.reason) == (1, "no such file or directory")
    assert isinstance(event, Opaque) and event.t == 3
    desk.writer.close(BASE + 10**9)


def test_discarding_what_was_never_written_or_is_gone_already_is_nothing(tmp_path: Path) -> None:
    Desk(tmp_path / "none.msgpack").writer.discard()
    desk = Desk(tmp_path / "r.msgpack")
    desk.add(opaque(1))
    desk.path.unlink()
    desk.writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_asked_whether_it_was_removed_is_taken_to_be_there(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "r.msgpack")
    desk.add(opaque(1))
    fd = descriptor(desk.path)
    kept = os.dup(fd)
    os.close(fd)
    vanished = desk.writer.vanished
    os.dup2(kept, fd, inheritable=False)
    os.close(kept)
    assert not vanished
    desk.add(opaque(2))
    assert len(desk.read()) == 2
    desk.writer.close(BASE)


def test_an_error_that_comes_only_when_the_file_is_closed_is_a_gap_in_which_nothing_is_known_to_be_missing(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path / "r.msgpack")
    desk.add(opaque(1))
    os.close(descriptor(desk.path))
    desk.writer.close(BASE + 1)
    assert desk.trouble == [f"cannot write {desk.path}: bad file descriptor"]
    desk.add(opaque(2))
    desk.writer.close(BASE + 3)
    first, gap, second = desk.read()
    assert isinstance(gap, Gap) and (gap.events, gap.reason) == (0, "bad file descriptor")
    assert isinstance(first, Opaque) and isinstance(second, Opaque) and (first.t, second.t) == (1, 2)
    assert desk.trouble[1:] == [None]


@pytest.mark.parametrize("how", ["all is written", "something is missing"])
def test_a_finished_recording_ends_with_a_trailer_that_counts_its_gaps(tmp_path: Path, how: str) -> None:
    desk = Desk(tmp_path / "r.msgpack")
    desk.add(opaque(1))
    if how == "something is missing":
        fd = descriptor(desk.path)
        become(fd, "/dev/full")
        desk.add(opaque(2))
        become(fd, desk.path)
    done: list[bool] = []
    total = DirTotals(0, 0, "")
    desk.writer.finish(
        lambda gaps, own: pack_event(Trailer(BASE, 2 + own, 0, gaps, 0, total, total), BASE),
        BASE + 3,
        lambda: done.append(Recording(desk.path).is_open()),
    )
    assert done == [False]
    *before, trailer = desk.read()
    gaps = [event.events for event in before if isinstance(event, Gap)]
    assert isinstance(trailer, Trailer) and trailer.gaps == len(gaps)
    assert gaps == ([1] if how == "something is missing" else [])
    assert [sentence is None for sentence in desk.trouble] == [False, True] * len(gaps)


def test_a_write_that_a_signal_cut_short_is_finished(tmp_path: Path) -> None:
    """As a disk on the network may: it takes a part, and the rest when it is asked again."""
    desk = Desk(tmp_path / "r.msgpack")
    desk.add(opaque(1))
    fd = descriptor(desk.path)
    end, into = os.pipe()
    os.dup2(into, fd, inheritable=False)
    os.close(into)
    full = fcntl.fcntl(end, fcntl.F_GETPIPE_SZ)
    interrupted = threading.Event()

    def pump() -> None:
        while int.from_bytes(fcntl.ioctl(end, termios.FIONREAD, bytes(4)), sys.byteorder) < full:
            os.sched_yield()
        while not interrupted.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
            os.sched_yield()
        with desk.path.open("ab", buffering=0) as file:
            while block := os.read(end, 1 << 16):
                file.write(block)

    before = signal.signal(signal.SIGUSR1, lambda *_: interrupted.set())
    thread = threading.Thread(target=pump)
    thread.start()
    desk.add(opaque(2, 3 * full))
    desk.writer.close(BASE + 2)
    thread.join()
    signal.signal(signal.SIGUSR1, before)
    os.close(end)
    assert [event.raw for event in desk.read() if isinstance(event, Opaque)] == [b"\1" * 10, b"\2" * 3 * full]
    assert desk.trouble == []
