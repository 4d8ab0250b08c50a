"""How recordings reach the disk: at once while it is quick, behind the traffic while it stalls.

Strategy: the thread that relays writes inline, and says in `call` what it is writing just then. If it is stuck there, another thread (the relay's
standby) takes the baton, and from then on nothing is written inline: it waits in a queue and a third thread writes it (`behind`). When that has been
empty and the disk quick for a second, writing is inline again.

The baton, without a lock on the hot path: the relaying thread sets `call`, writes, unsets it, and then looks whether `taken` is set; the standby
sets `taken`, and then looks whether `call` is still what it saw. Whatever the order, at least one of them sees the other, so never do both relay.

Cost: inline, two stores and two tests per write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

from .behind import QUEUE_BYTES, Behind


class Disk(Behind):
    """The disk of one relay; without a standby it is always taken to be quick.

    Args:
        limit: bytes that may wait, while it stalls.

    Attributes:
        inline: writing at once needs no thought; if not, ask `aside`.
        call: what the relaying thread is calling: the writer whose file it is, or anything else; None while it relays.
        taken: the standby has the baton, or is about to find out that it has not.
        asleep: the standby sleeps until `wake` is called.
        postponed: bytes that the relay keeps to record them when its own thread is back.
    """

    __slots__ = ("_back", "_baton", "asleep", "call", "inline", "postponed", "taken", "wake")

    def __init__(self, limit: int = QUEUE_BYTES) -> None:
        super().__init__(limit)
        self.inline = True
        self.call: object = None
        self.taken = self.asleep = False
        self.wake: Callable[[], None] = lambda: None  # the standby
        self.postponed = 0
        self._baton = threading.Lock()
        self._back = False

    # --- the relaying thread -----------------------------------------------------------------------------------------

    def aside(self) -> bool:
        """Whether what is to be written goes aside; asked where `inline` is not set. Not to be written before, if it does not."""
        if self.stalled:
            return True
        self.inline = True
        if self.asleep:  # set before the standby looks at `inline` for the last time
            self.asleep = False
            self.wake()
        return False

    def guarded(self, what: object = None) -> _Guard:
        """A context in which the calling thread may be stuck without harm: calls to the disk and nothing else."""
        return _Guard(self, what if what is not None else object())

    def take_back(self) -> None:
        """Wait until the standby has stopped. Called where `taken` was seen set after a call."""
        self._back = True
        with self._baton:
            self._back = self.taken = False
        with self._changed:
            self._slow_at = time.monotonic()
            self._stuck = None
            self._changed.notify_all()

    # --- the standby -------------------------------------------------------------------------------------------------

    def take(self, call: object) -> bool:
        """Take the baton from the relaying thread, if that is still in this call."""
        self._baton.acquire()
        with self._changed:
            self.taken = True
            if self.call is not call or not (self.stalled or self._begin()):
                self.taken = False
                self._baton.release()
                return False
            self.stalled = self.lent = True
            self.inline = False
            self._stuck = call
            self._slow_at = time.monotonic()
            self.now.stalls += 1
        return True

    @property
    def wanted(self) -> bool:
        """Whether the relaying thread is back and waits for the baton."""
        return self._back

    def give_back(self) -> None:
        """Give the baton back; before it is wanted, if need be: then nobody relays until the call returns."""
        self.lent = False
        self._baton.release()


class _Guard:
    """See `Disk.guarded`."""

    __slots__ = ("_disk", "_entered", "_what", "taken")

    def __init__(self, disk: Disk, what: object) -> None:
        self._disk = disk
        self._what = what
        self._entered = False
        self.taken = False  # whether the thread was stuck

    def __enter__(self) -> _Guard:
        disk = self._disk
        if not disk.lent:  # the standby has nobody behind it
            if not disk.inline:
                disk.aside()
            disk.call = self._what
            self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        disk = self._disk
        if self._entered:
            disk.call = None
            if disk.taken:
                self.taken = True
                disk.take_back()
