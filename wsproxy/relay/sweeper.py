"""Keeps the folder within its limits while the relay runs.

Strategy: a sweep (`recording.retention`) runs in a thread, at the start and then when recordings have finished or some time has passed. It looks at
every file of the folder, so a large folder is looked at less often: sweeps take a twentieth of the time at most, whatever the folder holds,
and the traffic waits for none. Nothing that happens here reaches the relay: trouble is a line, once, until it changes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from ..recording.retention import Limits, Sweep, sweep
from .streams import Streams

LOOK_SECONDS = 0.5
AGED_SECONDS = 60.0  # a recording is removed that much later than its age demands, at most
TELL_SECONDS = 60.0  # between two lines about what was removed
_SHARE = 20  # a sweep may take one in so many seconds


class Sweeper:
    """Sweeps one folder.

    Args:
        tell: called with a sentence about what was removed, once a minute at most.
        trouble: called with a sentence when the limits cannot be kept.

    Attributes:
        removed: recordings that were removed in this run.
        freed: their bytes.
        left: recordings after the last sweep; `size`: their bytes.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        streams: Streams,
        tell: Callable[[str], None],
        trouble: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self.limits = limits
        self._streams = streams
        self._tell = tell
        self._trouble = trouble
        self._told_at = -TELL_SECONDS
        self._untold = Sweep()
        self._troubled: str | None = None
        self.removed = self.freed = self.left = self.size = 0

    async def run(self) -> None:
        """Sweep until cancelled; without limits there is nothing to do."""
        if self.limits == Limits():
            return
        seen, earliest, latest = -1, 0.0, 0.0
        while True:
            started = time.monotonic()
            if started >= earliest and (self._streams.finished != seen or started >= latest):
                seen = self._streams.finished
                await self._sweep()
                ended = time.monotonic()
                earliest, latest = ended + (ended - started) * (_SHARE - 1), ended + AGED_SECONDS
            await asyncio.sleep(LOOK_SECONDS)

    async def _sweep(self) -> None:
        try:
            done = await asyncio.to_thread(sweep, self._folder, self.limits, time.time_ns(), self._streams.writing)
        except Exception as error:  # whatever it is, the relay relays
            done = Sweep(left=self.left, size=self.size, trouble=f"{type(error).__name__}: {error}")
        self.removed += done.removed
        self.freed += done.freed
        self.left, self.size = done.left, done.size
        self._untold.removed += done.removed
        self._untold.freed += done.freed
        if done.trouble is not None and done.trouble != self._troubled:
            self._trouble(f"cannot keep the folder within its limits: {done.trouble}")
        elif self._untold.removed and time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = time.monotonic()
            self._tell(
                f"removed {self._untold.removed} old recordings ({self._untold.freed:,} bytes); "
                f"{self.left} are left ({self.size:,} bytes)"
            )
            self._untold = Sweep()
        self._troubled = done.trouble
