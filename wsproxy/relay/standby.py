"""A second thread that relays while the loop's is stuck on the disk.

Strategy: it looks some forty times a second whether the loop's thread is still in the same call to the disk (`Disk.call`). If so for 50 ms, it takes
the baton and serves the spliced sockets in its place (`Poller.carry`), until that thread is back; meanwhile, and for a while after, recordings are
written aside (`recording.behind`). Only one of the two threads runs the relay's code at a time. New connections, ends of connections, timers and the
control port need the event loop and wait for it.

When nothing is written it sleeps, without a timer; the first write after that wakes it.

A signal that asks the relay to end cannot reach a thread that is stuck. It is seen here (in the pipe in which the loop will find it), and when
the time that an end may take is over, the relay ends without that thread.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from ..recording.behind import STALL_SECONDS, WORTH_TELLING_NS
from ..recording.disk import Disk
from .carrying import carry, send_held
from .ends import End
from .poller import Poller
from .splice import Splice

END_SECONDS = 5.0  # that an end may take beyond `--grace`, if the disk does not take what is left
_LOOK_SECONDS = 0.025
_SAME_LOOKS = round(STALL_SECONDS / _LOOK_SECONDS)  # that find the same call
_STARVED_LOOKS = 40  # the same of a thread that is not blocked: it has no processor, or the kernel works for it
_IDLE_LOOKS = 4
_ROUND_SECONDS = 0.005  # how long the loop's thread waits at most when it is back


class Standby:
    """See the module. Made and started on the loop's thread.

    Args:
        splices: the connections that are spliced.
        on_stall: called, once in a stall, when that is worth telling; from this thread.
        on_fault: called with what went wrong in here; from this thread.
        give_up: ends the process, because it is to end and cannot.
        grace: seconds that connections get when the relay is told to end.

    Attributes:
        deadline: when the relay must have ended (`time.monotonic`).
    """

    def __init__(
        self,
        disk: Disk,
        poller: Poller,
        splices: Collection[Splice],
        *,
        on_stall: Callable[[], None],
        on_fault: Callable[[Exception], None],
        give_up: Callable[[], None],
        grace: float,
    ) -> None:
        self._disk = disk
        self._poller = poller
        self._splices = splices
        self._on_stall = on_stall
        self._on_fault = on_fault
        self.give_up = give_up
        self._grace = grace
        self.deadline: float | None = None
        self._asked = 0  # how often it was asked to end, as far as it is known here
        self._stopped = False
        self._awake = threading.Semaphore(0)
        self._state = Path(f"/proc/self/task/{threading.get_native_id()}/stat")
        self._signals = _pipe_of_signals(poller)
        disk.wake = self._awake.release
        self._thread = threading.Thread(target=self._watch, name="wsproxy-standby", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """It takes over no more."""
        self._stopped = True
        self._awake.release()
        self._thread.join()
        if self._signals is not None:
            self._signals.close()

    def end_within(self, seconds: float) -> None:
        """The relay is to end."""
        deadline = time.monotonic() + seconds + END_SECONDS
        self.deadline = deadline if self.deadline is None else min(deadline, self.deadline)

    def _watch(self) -> None:
        disk = self._disk
        last: tuple[object, object] = (None, None)
        same = idle = 0
        while not self._stopped:
            call = disk.call
            seen = (call, getattr(call, "size", None))  # a recording that grows is another write
            same = same + 1 if call is not None and seen[0] is last[0] and seen[1] == last[1] else 0
            last = seen
            if same >= (1 if disk.stalled else _SAME_LOOKS) and (same >= _STARVED_LOOKS or self._is_blocked()):
                same = 0
                last = (None, None)
                try:
                    self._stand_in(call)
                except Exception as error:
                    self._on_fault(error)
                    return
            if disk.stalled and not disk.told and max(disk.now.late_ns, disk.now.longest_ns) > WORTH_TELLING_NS:
                self._tell()
            idle = 0 if disk.inline or call is not None or disk.stalled else idle + 1
            if idle > _IDLE_LOOKS:
                call, last = None, (None, None)  # holds no recording
                disk.asleep = True
                if not disk.inline:  # set before a writer looks whether we sleep
                    self._awake.acquire()
                disk.asleep = False
                idle = 0
            elif not disk.stalled:
                disk.inline = False  # the next write sets it: so it is known whether there was one
            select.select(
                (), (), (), _LOOK_SECONDS
            )  # `time.sleep` goes by a clock, and fails where somebody steps that

    def _is_blocked(self) -> bool:
        """Whether the loop's thread waits in the kernel, and not for a processor."""
        try:
            return self._state.read_bytes().rpartition(b")")[2].split()[0] != b"R"
        except OSError:
            return True

    def _stand_in(self, call: object) -> None:
        """Relay until the loop's thread is back."""
        disk, poller = self._disk, self._poller
        if not disk.take(call):
            return
        worth_telling = time.monotonic() + (WORTH_TELLING_NS / 1e9 - STALL_SECONDS)
        try:
            poller.lent = True
            send_held(self._splices)
            while not disk.wanted:
                poller.carry(_ROUND_SECONDS, self._serve)
                if not disk.told and time.monotonic() > worth_telling:
                    self._tell()
                self._mind_the_end()
        finally:
            poller.hand_back()
            disk.give_back()

    def _tell(self) -> None:
        self._disk.told = True
        self._on_stall()

    def _serve(self, end: End, events: int) -> bool:
        try:
            return carry(end, events)
        except Exception as error:
            self._on_fault(error)
            return False

    def _mind_the_end(self) -> None:
        if self._signals is not None:
            try:
                waiting = self._signals.recv(4096, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except OSError:
                waiting = b""
            asked = waiting.count(signal.SIGTERM) + waiting.count(signal.SIGINT) + (self.deadline is not None)
            if asked > self._asked:
                self._asked = asked
                self.end_within(self._grace if asked == 1 else 0.0)
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.give_up()


def _pipe_of_signals(poller: Poller) -> socket.socket | None:
    """Where the loop reads the numbers of signals: the only local socket that asyncio watches."""
    for fd in poller.get_map():
        copy = os.dup(fd)  # a socket object closes what it is made of
        try:
            found = socket.socket(fileno=copy)
        except OSError:
            os.close(copy)
            continue
        if found.family == socket.AF_UNIX:
            return found
        found.close()
    return None
