"""What is written behind the traffic while the disk stalls: a bounded queue, and the thread that writes it.

Strategy: entries in order for each recording, one write for all events of it that wait; recordings take turns. One whose write is stuck elsewhere
has to wait for that. What is written so was forwarded before, so the recording says of itself from when to when, how many events and by how much
(`Late`). A full queue is a gap, as a full disk is. Errors of the disk are the writer's affair, here as inline.

Cost: one join and one lock per entry.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .events import Gap

if TYPE_CHECKING:
    from .account import AccountedFile

STALL_SECONDS = 0.05  # a call that takes longer is a stall
WORTH_TELLING_NS = 200_000_000  # of lateness: a disk that is busy with others has a short stall every now and then
QUICK_SECONDS = 1.0  # without one, and the queue empty: writing is inline again
QUEUE_BYTES = 64 << 20
_BATCH_BYTES = 4 << 20  # of one write
_JOIN_BELOW = 32 * 1024
_OVERHEAD = 200  # bytes of an entry beside its contents


class Batch(NamedTuple):
    """Events that wait: `until` is the time of the last one, as in `RecordingWriter.write`; `gaps` says how many of them are gaps."""

    buffers: list[bytes]
    events: int
    wire: int
    t: int
    until: int
    gaps: int = 0
    size: int = 0


Entry: TypeAlias = "Batch | Callable[[], None]"


@dataclass(slots=True)
class Lateness:
    """What was written later than it was forwarded, of one recording or of all; `longest` by how many nanoseconds at most."""

    t: int
    until: int
    events: int = 0
    longest: int = 0

    def add(self, t: int, until: int, events: int, delay: int) -> None:
        self.t, self.until = min(self.t, t), max(self.until, until)
        self.events += events
        self.longest = max(self.longest, delay)


@dataclass(slots=True)
class Account:
    """What stalls have cost: of the whole run, or from one moving aside to the next inline write."""

    stalls: int = 0
    late: int = 0  # events that were written after they were forwarded
    late_ns: int = 0  # by how much at most
    lost: int = 0  # events that found the queue full
    longest_ns: int = 0  # of one call


class Behind:
    """See the module.

    Args:
        limit: bytes that may wait.

    Attributes:
        stalled: what is to be written goes in here; `told`: somebody was told so.
        lent: the standby relays.
        queued: bytes that wait.
        now: what the present stall has cost so far; `total`: all before it.
        on_caught_up: called, on the relaying thread, with what the stall cost; `on_fault` with what went wrong in here.
        post: runs a call on the relaying thread, from any other.
    """

    __slots__ = (
        "_announced",
        "_changed",
        "_in_hand",
        "_late",
        "_overflown",
        "_queues",
        "_slow_at",
        "_stuck",
        "_working",
        "lent",
        "limit",
        "now",
        "on_caught_up",
        "on_fault",
        "post",
        "queued",
        "stalled",
        "told",
        "total",
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.stalled = self.lent = self.told = False
        self.queued = 0
        self.total = Account()
        self.now = Account()
        self.post: Callable[[Callable[[], None]], None] = lambda call: call()
        self.on_caught_up: Callable[[Account], None] = lambda _: None
        self.on_fault: Callable[[Exception], None] = lambda _: None
        self._changed = threading.Condition()
        self._queues: dict[AccountedFile, list[Entry]] = {}
        self._overflown: dict[AccountedFile, Gap] = {}
        self._late: dict[AccountedFile, Lateness] = {}
        self._announced: set[AccountedFile] = set()  # whose file says that what follows is late
        self._working: AccountedFile | None = None  # whose file the writing thread writes
        self._in_hand: list[Entry] = []  # and what
        self._stuck: object = None  # whose call the relaying thread is in since the baton was taken
        self._slow_at = 0.0  # when a call took too long

    @property
    def account(self) -> Account:
        """What stalls have cost in all, the present one too."""
        total, now = self.total, self.now
        return Account(
            total.stalls + now.stalls,
            total.late + now.late,
            max(total.late_ns, now.late_ns),
            total.lost + now.lost,
            max(total.longest_ns, now.longest_ns),
        )

    def put(self, writer: AccountedFile, entry: Entry, *, first: bool = False) -> bool:
        """Let something be written later.

        Args:
            first: it comes before all that waits for this recording.

        Returns:
            False if the disk is quick again: then it is to be written inline.
        """
        with self._changed:
            if not self.stalled:
                return False
            lost: Gap | None = None
            if isinstance(entry, Batch):
                size = sum(map(len, entry.buffers))
                if size < _JOIN_BELOW and len(entry.buffers) > 1:
                    entry = entry._replace(buffers=[b"".join(entry.buffers)])
                size += _OVERHEAD
                entry = entry._replace(size=size)
                lost = self._overflown.get(writer)
                room = self.limit if lost is None else self.limit // 2  # not a gap for every other event
                if self.queued + size > room and not first:
                    self._lose(writer, entry, lost)
                    return True
                self.queued += size
            entries = self._queues.setdefault(writer, [])
            if first:
                entries.insert(0, entry)
            else:
                self._say_lost(writer, entries)
                entries.append(entry)
            self._changed.notify_all()
        return True

    def until_written(self, writer: AccountedFile) -> None:
        """Wait until nothing of this recording waits any more."""
        with self._changed:
            while self.stalled and (writer in self._queues or self._working is writer):
                self._changed.wait()

    def waits(self, writer: AccountedFile) -> bool:
        """Whether something of this recording is still to be written."""
        return writer in self._queues or self._working is writer or self._stuck is writer

    def was_late(self, writer: AccountedFile, events: int, t: int) -> None:
        """Events that the relaying thread wrote were forwarded long before, because it was stuck."""
        if not self.stalled:
            return
        delay = time.monotonic_ns() - t
        with self._changed:
            self._count_late(writer, events, t, t, delay)
            self.now.longest_ns = max(self.now.longest_ns, delay)
            self._slow_at = time.monotonic()

    def left(self) -> tuple[int, int]:
        """(events, recordings) that are still to be written."""
        with self._changed:
            entries = [*self._in_hand, *(entry for waiting in self._queues.values() for entry in waiting)]
            recordings = len({*self._queues, self._working} - {None})
            return sum(entry.events for entry in entries if isinstance(entry, Batch)), recordings

    def _begin(self) -> bool:
        """Start the writing thread; without one more thread this call stalls the traffic."""
        try:
            threading.Thread(target=self._write_behind, name="wsproxy-writes", daemon=True).start()
        except RuntimeError:
            return False
        return True

    # --- the writing thread ------------------------------------------------------------------------------------------

    def _write_behind(self) -> None:
        """Write what waits, until all is written and the disk is quick."""
        while (work := self._next()) is not None:
            writer, entries = work
            began = time.monotonic_ns()
            try:
                self._perform(writer, entries)
            except Exception as error:  # whatever it is, all the rest is written
                self.post(partial(self.on_fault, error))
            took = time.monotonic_ns() - began
            with self._changed:
                self._working = None
                self._in_hand = []
                self.queued -= sum(entry.size for entry in entries if isinstance(entry, Batch))
                self.now.longest_ns = max(self.now.longest_ns, took)
                if took > STALL_SECONDS * 1e9:
                    self._slow_at = time.monotonic()
                self._changed.notify_all()
            if writer.news:
                self.post(writer.tell)

    def _next(self) -> tuple[AccountedFile, list[Entry]] | None:
        """The next recording with something to write, and that; None when writing is inline again."""
        with self._changed:
            while True:
                for writer in self._queues:
                    if writer is not self._stuck:
                        self._working, self._in_hand = writer, self._some_of(writer)
                        return writer, self._in_hand
                if not self._queues and not self.lent and self._stuck is None:
                    rest = self._slow_at + QUICK_SECONDS - time.monotonic()
                    if rest <= 0:
                        closing = self._closing_entries()
                        if closing is not None:
                            return closing
                        self._be_inline()
                        return None
                    self._changed.wait(rest)
                else:
                    self._changed.wait(0.1 if self.lent else None)

    def _some_of(self, writer: AccountedFile) -> list[Entry]:
        """What one write takes of a recording's queue, or one other action."""
        entries = self._queues.pop(writer)
        if not isinstance(entries[0], Batch):
            count = 1
        else:
            count = size = 0
            for entry in entries:
                if not isinstance(entry, Batch) or (count and size + entry.size > _BATCH_BYTES):
                    break
                count, size = count + 1, size + entry.size
        if count < len(entries):
            self._queues[writer] = entries[count:]  # last: every recording has its turn
        return entries[:count]

    def _perform(self, writer: AccountedFile, entries: list[Entry]) -> None:
        if not isinstance(entries[0], Batch):
            with self._changed:
                late = self._late.pop(writer, None)
                self._announced.discard(writer)
            if late is not None:
                writer.say_late(late)
            entries[0]()
            return
        batches = [entry for entry in entries if isinstance(entry, Batch)]
        first, last = batches[0], batches[-1]
        with self._changed:
            new = writer not in self._announced
            self._announced.add(writer)
            self._late.setdefault(writer, Lateness(first.t, first.t))  # what is announced ends
        if new:
            writer.say_late(Lateness(first.t, first.t), begins=True)
        events = sum(batch.events for batch in batches)
        buffers = [buffer for batch in batches for buffer in batch.buffers]
        whole = Batch(buffers, events, sum(b.wire for b in batches), first.t, last.until, sum(b.gaps for b in batches))
        if writer.put(whole):
            written = sum(batch.events for batch in batches if not batch.gaps)  # what is missing is not late
            with self._changed:
                self._count_late(writer, written, first.t, last.until, time.monotonic_ns() - first.t)

    def _closing_entries(self) -> tuple[AccountedFile, list[Entry]] | None:
        """A recording whose lateness is over and not yet said."""
        for writer in self._overflown:
            entries: list[Entry] = []
            self._say_lost(writer, entries)
            self._working = writer
            return writer, entries
        for writer in self._late:
            self._working = writer
            return writer, [lambda: None]
        return None

    def _be_inline(self) -> None:
        self.stalled = False
        self._changed.notify_all()
        self._announced.clear()
        self.total = self.account
        told, self.told = self.told, False
        now, self.now = self.now, Account()
        if told or now.late_ns > WORTH_TELLING_NS or now.lost:
            self.post(lambda: self.on_caught_up(now))

    # --- accounts ----------------------------------------------------------------------------------------------------

    def _count_late(self, writer: AccountedFile, events: int, t: int, until: int, delay: int) -> None:
        self.now.late += events
        self.now.late_ns = max(self.now.late_ns, delay)
        late = self._late.get(writer)
        if late is None:
            late = self._late[writer] = Lateness(t, until)
        late.add(t, until, events, delay)

    def _lose(self, writer: AccountedFile, batch: Batch, lost: Gap | None) -> None:
        self.now.lost += batch.events
        if lost is None:
            reason = f"the disk stalled and the queue of {self.limit >> 20} MiB was full"
            self._overflown[writer] = Gap(batch.t, batch.until, batch.events, batch.wire, reason)
            writer.overflows(reason)
        else:
            self._overflown[writer] = lost._replace(
                until=batch.until, events=lost.events + batch.events, bytes=lost.bytes + batch.wire
            )

    def _say_lost(self, writer: AccountedFile, entries: list[Entry]) -> None:
        gap = self._overflown.pop(writer, None)
        if gap is not None:
            entries.append(Batch([writer.packed(gap)], gap.events, gap.bytes, gap.t, gap.until, gaps=1))
