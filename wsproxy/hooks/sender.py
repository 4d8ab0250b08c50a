"""From the threads that mark to the relay: a bounded queue and one daemon thread that empties it.

Strategy: `put` is all that a marking thread ever does here: one look at the queue's length, one put. It takes no lock
that anyone can hold while doing something slow, and may be called from anywhere, a destructor run by the garbage
collector in the middle of another `put` included (SimpleQueue is reentrant; the lock around the drops too). What does not
fit is counted by stream.

The thread waits for a first marker, lingers a moment for company, sends what is there in one request, and decides by its
`Outcome`: unreached is tried again until the relay is there, "later" a few times; a batch that is refused for its content
is mended, then halved until the bad marker is alone; what is lost is counted. Counts travel as markers of their own,
`hooks.dropped`, with the next batch. Nothing here is started before the first `put`, and a forked child has a new Sender.
"""

from __future__ import annotations

import atexit
import os
import struct
import sys
import threading
import time
from contextlib import suppress
from itertools import count
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple

import msgpack

from wsproxy import stages

from .delivery import Outcome, Relay
from .snapshot import repaired, snapshot
from .wording import log

QUEUE_MARKERS: Final = 50_000
QUEUE_BYTES: Final = 32 << 20
BATCH_MARKERS: Final = 1_000
BATCH_BYTES: Final = 512 << 10
LINGER_SECONDS: Final = 0.02
"""How long a first marker waits for others. It is also what a process that dies without a goodbye can lose."""
EXIT_SECONDS: Final = 1.0
FIRST_BACK_OFF: Final = 0.1
LONGEST_BACK_OFF: Final = 5.0
TELL_SECONDS: Final = 1.0
"""When drops are to be told and no marker comes along to take the news with it."""
TRIES: Final = 4
"""How often a batch is offered to a relay that says "later"."""
STREAMS_COUNTED: Final = 4_096
PIECES_KEPT: Final = 256

_array = msgpack.Packer().pack_array_header
_MAP_OF_6, _MAP_OF_7, _MAP_OF_8 = b"\x86", b"\x87", b"\x88"


def _key(name: str) -> bytes:
    return bytes(msgpack.packb(name))


_INDEX, _DATA = _key("index"), _key("data")
_T_MONO, _T_WALL = _key("t_mono_ns"), _key("t_wall_ns")
_TIMES: Final = struct.Struct(f">{len(_T_MONO)}sBQ{len(_T_WALL)}sBQ").pack
_NUMBER: Final = struct.Struct(f">{len(_INDEX)}sBQ").pack


class Item(NamedTuple):
    """A marker on its way: `packed` is its map; `markers` how many are lost with it (a count of drops stands for as many)."""

    stream_id: str
    packed: bytes
    markers: int = 1


class Sender:
    """Sends markers to one relay, for one process.

    Args:
        relay: where to.
        exit_flush: at the interpreter's exit wait up to about a second for what is queued.
    """

    def __init__(self, relay: Relay, *, exit_flush: bool = True) -> None:
        self.relay = relay
        source = f"pid {os.getpid()} {_program()}"
        self._whence = _key("boot_id") + snapshot(_boot_id()) + _key("source") + snapshot(source)
        self._stages: dict[str, bytes] = {}  # a marker's field of each, packed
        self._ids: dict[str, bytes] = {}
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._bytes = 0  # queued, about: two threads may lose an update; it is set right when the queue is empty
        self._dropped: dict[str, int] = {}
        self._lock = threading.RLock()  # of _dropped; reentrant, because a destructor may mark while it is held
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._exit_flush = exit_flush
        self._back_off = FIRST_BACK_OFF
        self._told = ""

    # --- what the marking threads call ---------------------------------------------------------------------------

    def put(self, stream_id: str, packed: bytes) -> None:
        """Queue one marker, or count it as dropped. Never waits."""
        if self._bytes > QUEUE_BYTES or self._queue.qsize() >= QUEUE_MARKERS:
            self.drop(stream_id)
            return
        self._bytes += len(packed)
        self._queue.put(Item(stream_id, packed))
        if self._thread is None:
            self._start()

    def pack(self, stream_id: str, stage: str, index: int | None, data: bytes | None, moment: tuple[int, int]) -> bytes:
        """A marker as the relay takes it; `data` is packed already, `moment` is monotonic and wall nanoseconds.

        Put together from packed pieces: a third of what packing a map of eight keys costs.
        """
        mono, wall = moment
        whose = self._ids.get(stream_id) or self._kept(self._ids, "stream_id", stream_id)
        where = self._stages.get(stage) or self._kept(self._stages, "stage", stage)
        times = _TIMES(_T_MONO, 0xCF, mono, _T_WALL, 0xCF, wall)
        if index is None:
            if data is None:
                return b"".join((_MAP_OF_6, whose, where, times, self._whence))
            return b"".join((_MAP_OF_7, whose, where, times, self._whence, _DATA, data))
        number = _NUMBER(_INDEX, 0xCF, index)
        if data is None:
            return b"".join((_MAP_OF_7, whose, where, times, self._whence, number))
        return b"".join((_MAP_OF_8, whose, where, times, self._whence, number, _DATA, data))

    @staticmethod
    def _kept(pieces: dict[str, bytes], key: str, value: str) -> bytes:
        if len(pieces) >= PIECES_KEPT:
            pieces.clear()
        packed = pieces[value] = _key(key) + snapshot(value)
        return packed

    def drop(self, stream_id: str, markers: int = 1) -> None:
        """Count markers of a stream that will not be delivered."""
        with self._lock:
            if stream_id in self._dropped or len(self._dropped) < STREAMS_COUNTED:
                self._dropped[stream_id] = self._dropped.get(stream_id, 0) + markers

    def close(self, timeout: float = EXIT_SECONDS) -> None:
        """Send what is queued, for at most `timeout` seconds, and stop."""
        self._closing.set()
        self._queue.put(None)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="wsproxy-hooks", daemon=True)
            self._thread = thread  # before it starts, so that whatever marks meanwhile does not start another
        try:
            thread.start()
        except RuntimeError:  # no threads any more: the interpreter is going
            return
        if self._exit_flush:
            atexit.register(self.close)
            if forking := sys.modules.get("multiprocessing.util"):  # whose children run no atexit before Python 3.12
                forking.Finalize(None, self.close, exitpriority=10)

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            batch: list[Item] = []
            try:
                batch = self._next_batch()
                if batch:
                    self._send(batch)
            except Exception as error:  # a bug of ours must not end the thread, nor spin
                self._lose(batch)
                self._tell(f"{type(error).__name__}: {error}")
                self._closing.wait(self._back_off)
            if self._closing.is_set() and self._queue.empty():
                self.relay.forget()
                return

    def _next_batch(self) -> list[Item]:
        """Wait for a marker (or, when drops are to be told, for a while), then take what is there."""
        try:
            first = self._queue.get(timeout=max(TELL_SECONDS, self._back_off) if self._dropped else None)
        except Empty:
            first = None
        if first is not None and not self._closing.is_set():
            time.sleep(LINGER_SECONDS)
        batch = self._told_drops()
        size = sum(len(item.packed) for item in batch)
        while first is not None or not self._queue.empty():
            item, first = first or self._queue.get(), None
            if item is not None:
                batch.append(item)
                size += len(item.packed)
                self._bytes -= len(item.packed)
            if len(batch) >= BATCH_MARKERS or size >= BATCH_BYTES:
                return batch
        self._bytes = 0
        return batch

    def _told_drops(self) -> list[Item]:
        if not self._dropped:
            return []
        with self._lock:
            dropped, self._dropped = self._dropped, {}
        moment = (time.monotonic_ns(), time.time_ns())
        return [
            Item(stream_id, self.pack(stream_id, stages.HOOKS_DROPPED, None, snapshot({"count": lost}), moment), lost)
            for stream_id, lost in dropped.items()
        ]

    def _send(self, batch: list[Item], mended: bool = False) -> None:
        """Deliver a batch or count it as lost; returns when one of both is done."""
        for tried in count(1):
            body = b"".join((_array(len(batch)), *(item.packed for item in batch)))
            outcome = self.relay.deliver(body)
            if outcome is Outcome.KEPT:
                self._back_off, self._told = FIRST_BACK_OFF, ""
                return
            if outcome is Outcome.BAD:
                self._mend(batch, mended)
                return
            patient = outcome is Outcome.UNREACHED or (outcome is Outcome.LATER and tried < TRIES)
            over = not patient or self._closing.is_set()
            if over:
                self._lose(batch)
            self._tell(self.relay.said)
            self._closing.wait(self._back_off)
            self._back_off = min(2 * self._back_off, LONGEST_BACK_OFF)
            if over:
                return

    def _mend(self, batch: list[Item], mended: bool) -> None:
        """What to do about a batch whose content was refused: all of it, for one bad marker."""
        if not mended:
            self._send([item._replace(packed=repaired(item.packed)) for item in batch], mended=True)
        elif len(batch) > 1:
            half = len(batch) // 2
            self._send(batch[:half], mended=True)
            self._send(batch[half:], mended=True)
        else:
            self._lose(batch)
            self._tell(self.relay.said)

    def _lose(self, batch: list[Item]) -> None:
        for item in batch:
            self.drop(item.stream_id, item.markers)

    def _tell(self, why: str) -> None:
        """One line of log for each new kind of trouble."""
        if why[:24] != self._told:
            self._told = why[:24]
            with suppress(Exception):  # a handler of the host's
                log.warning("stage markers do not reach %s: %s", self.relay.where, why)


def _program() -> str:
    arguments = getattr(sys, "argv", None) or [""]
    return os.path.basename(str(arguments[0]))[:80] or "python"


def _boot_id() -> str:
    """Tells the relay whether we share its monotonic clock: equal on one kernel since its start."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:  # as bytes: no codec to import, see delivery.load
            return file.read().decode().strip()
    except OSError:
        return f"{os.uname().nodename}-{time.time_ns() - time.monotonic_ns():x}"[:64]
