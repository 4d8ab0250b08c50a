"""A recording on a disk that stalls, and a relay of which one thread runs at a time: the test plays its threads."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from wsproxy.recording.disk import Disk
from wsproxy.recording.events import Event, Gap, Late
from wsproxy.recording.format import pack_event
from wsproxy.recording.reader import Recording
from wsproxy.recording.writer import Durability, RecordingWriter
from wsproxy.wire.events import C2S, Opaque

from .samples import BASE, HEADER

DEADLINE = 20.0


def wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, otherwise
        os.sched_yield()


class Desk:
    """A recording on a disk, and a relay of which only one thread runs at a time: it numbers what it writes."""

    def __init__(
        self, path: Path, durability: Durability = "every", limit: int = 1 << 20, disk: Disk | None = None
    ) -> None:
        self.disk = disk if disk is not None else Disk(limit)
        self.told: list[str | None] = []
        self.writer = RecordingWriter(
            str(path), HEADER, durability, lambda _, sentence: self.told.append(sentence), self.disk
        )
        self.written = 0

    def relay(self, size: int = 8) -> None:
        number = self.written
        raw = number.to_bytes(8, "big") * (size // 8)
        self.written += 1
        t = time.monotonic_ns()
        self.writer.write([pack_event(Opaque(1, C2S, t, raw), BASE)], 1, len(raw), t)

    def until_inline(self) -> None:
        wait_until(lambda: not self.disk.stalled, "it never comes back")

    def events(self) -> list[Event]:
        return list(Recording(self.writer.path).events())

    def numbers(self) -> list[int]:
        return [int.from_bytes(event.raw[:8], "big") for event in self.events() if isinstance(event, Opaque)]

    def story(self) -> list[int | str]:
        """What the file holds, in its order: the numbers, and where it says that events are missing or late."""
        told: list[int | str] = []
        for event in self.events():
            if isinstance(event, Opaque):
                told.append(int.from_bytes(event.raw[:8], "big"))
            elif isinstance(event, Gap):
                told.append(f"{event.events} missing")
            elif isinstance(event, Late):
                told.append("late from here" if event.until is None else f"{event.events} late")
            else:
                told.append(type(event).__name__)
        return told


def stall(desk: Desk) -> tuple[threading.Event, threading.Thread]:
    """The relaying thread is stuck in a call that is none of a recording's; what ends it."""
    over, inside = threading.Event(), threading.Event()

    def stuck() -> None:
        with desk.disk.guarded():
            inside.set()
            over.wait()

    thread = threading.Thread(target=stuck)
    thread.start()
    inside.wait()
    assert desk.disk.take(desk.disk.call)
    return over, thread


def back_from(desk: Desk, stalled: tuple[threading.Event, threading.Thread]) -> None:
    """The call is over and the relaying thread relays; what is written goes aside as long as it takes."""
    over, thread = stalled
    over.set()
    desk.disk.give_back()
    thread.join()


def end_of(desk: Desk, stalled: tuple[threading.Event, threading.Thread]) -> None:
    back_from(desk, stalled)
    desk.until_inline()


@contextlib.contextmanager
def standing_in(desk: Desk, call: Callable[[], None]) -> Iterator[None]:
    """Within, the relaying thread is stuck in this call, and the test's is the standby; the block must end what it is stuck in."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    wait_until(lambda: desk.disk.call is not None, "the call does not begin")
    assert desk.disk.take(desk.disk.call)
    yield
    wait_until(lambda: desk.disk.wanted, "the call does not end")
    desk.disk.give_back()
    thread.join()


def descriptor(path: str | Path) -> int:
    """The number under which this process has the file open."""
    return next(int(fd.name) for fd in Path("/proc/self/fd").iterdir() if os.path.realpath(fd) == str(path))


def become(fd: int, path: str | Path) -> None:
    """Let a descriptor lead to another file."""
    other = os.open(path, os.O_WRONLY)
    os.dup2(other, fd, inheritable=False)
    os.close(other)


class StuckFile:
    """A recording's descriptor leads into a full pipe: whoever writes there is stuck in the kernel until the test ends that.

    What comes through stands in the file when `settled` returns; the recording must be closed for that.
    """

    def __init__(self, desk: Desk) -> None:
        self._path, self._disk = desk.writer.path, desk.disk
        self._fd = descriptor(self._path)
        self._end, into = os.pipe()
        os.set_blocking(into, False)
        self._filler = os.write(into, bytes(1 << 20))
        os.set_blocking(into, True)
        os.dup2(into, self._fd, inheritable=False)
        os.close(into)
        self._flows = threading.Event()
        self._failed = False
        self._pump = threading.Thread(target=self._pour, daemon=True)
        self._pump.start()

    def go_on(self) -> None:
        """The write succeeds, and all after it."""
        self._flows.set()

    def fail(self) -> None:
        """The relaying thread's write fails; all after it succeed."""
        os.close(self._end)
        wait_until(lambda: self._disk.call is None, "the call does not end")
        become(self._fd, self._path)
        self._failed = True
        self._flows.set()

    def settled(self) -> None:
        self._pump.join(DEADLINE)
        assert not self._pump.is_alive(), "the recording was not closed"

    def _pour(self) -> None:
        self._flows.wait()
        if self._failed:
            return
        left = self._filler
        while left:
            left -= len(os.read(self._end, left))
        with open(self._path, "ab", buffering=0) as file:
            while block := os.read(self._end, 1 << 16):
                file.write(block)
        os.close(self._end)
