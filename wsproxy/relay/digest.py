"""SHA-256 of what went by in one direction; of large reads on a thread beside the forwarding.

Strategy: the digest of 256 KiB takes 150 µs, as long as reading, recording and forwarding them together, and `hashlib` lets go of the interpreter
meanwhile. So large reads are queued for the one thread of this module, and while any bytes of a digest are queued all its further ones are: their
order is kept. Everything else is digested at once: waking a thread costs more than a hundred small frames.

Memory: at most `_AHEAD` reads are queued (16 MiB); then the reader waits, and so its sender.
"""

from __future__ import annotations

import hashlib
import threading
from queue import SimpleQueue

LARGE = 64 * 1024  # bytes of a read from which on the thread pays
_AHEAD = 64


class Digest:
    """A digest in progress. All methods are for one thread.

    On a hot path, small data may go to `hash` itself while `lagging` is false; `add` takes anything at any time.
    """

    __slots__ = ("_done", "_queued", "hash", "lagging")

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.lagging = False  # updates were queued that may not be done
        self._queued = 0  # counted here
        self._done = 0  # counted by the thread

    def add(self, data: bytes) -> None:
        """Digest the next bytes."""
        if self.lagging and self._queued == self._done:
            self.lagging = False
        if self.lagging or len(data) >= LARGE:
            self.lagging = True
            self._queued += 1
            _THREAD.put(self, data)
        else:
            self.hash.update(data)

    def take(self, data: bytes) -> None:
        """What the thread does with queued bytes."""
        self.hash.update(data)
        self._done += 1

    def hexdigest(self) -> str:
        """Of all bytes until now; waits for what is queued, some 10 ms at most."""
        if self._queued != self._done:
            _THREAD.settle()
        return self.hash.hexdigest()


class _Thread:
    """Takes queued bytes in their order. It starts with the first."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Digest, bytes] | threading.Event] = SimpleQueue()
        self._room = threading.Semaphore(_AHEAD)
        self._starts = threading.Lock()
        self._started = False

    def put(self, digest: Digest, data: bytes) -> None:
        if not self._started:
            with self._starts:
                if not self._started:
                    threading.Thread(target=self._work, name="digests", daemon=True).start()
                    self._started = True
        self._room.acquire()
        self._jobs.put((digest, data))

    def settle(self) -> None:
        """Wait until all that is queued now is done."""
        passed = threading.Event()
        self._jobs.put(passed)
        passed.wait()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if isinstance(job, threading.Event):
                job.set()
                continue
            digest, data = job
            digest.take(data)
            self._room.release()
            del job, digest, data  # or they would be kept until the next come


_THREAD = _Thread()
