"""What both ends of the relay say that they sent and got.

Strategy: the callback and the control plane append one JSON line per message, with its exact text, to a file each;
here the files are read. Both ends stamp CLOCK_MONOTONIC, so their times can be subtracted from each other.

Events of both ends: `sent`, `received` (WebSocket messages), `hook_sent`, `hook_received` (bodies of hook exchanges).
The callback: `unfiltered` (it could not connect), `rejected` (no valid chunk), `hook_failed`, `closed`. The control
plane: `says_sent` (its log, before the send), `unsendable` (nobody was there), `disconnected`, `finished`.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WAIT_SECONDS = 20.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Line:
    """One thing that one end did. `t_ns` is CLOCK_MONOTONIC."""

    t_ns: int
    event: str
    stream_id: str | None
    text: str

    @property
    def type(self) -> str | None:
        """START, CHUNK, END or ERROR, of a line whose text is a stream message."""
        message: dict[str, Any] = json.loads(self.text)
        return message.get("type")


class Journal:
    """One end's journal: a file that a running process appends to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, stream_id: str) -> list[Line]:
        """What that end did for a stream so far, in order."""
        if not self.path.exists():
            return []
        # Only what a newline ends is whole: the process may be writing the last line right now.
        *whole, _ = self.path.read_text(encoding="utf-8").split("\n")
        lines = (Line(**json.loads(text)) for text in whole if stream_id in text)
        return [line for line in lines if line.stream_id == stream_id]

    def texts(self, stream_id: str, event: str) -> list[str]:
        """The exact texts of one event, in order."""
        return [line.text for line in self.lines(stream_id) if line.event == event]

    async def lines_until(self, stream_id: str, event: str) -> list[Line]:
        """The lines of a stream once there is one of `event`: that can be after the client has its answer.

        Raises:
            TimeoutError: there is none within 20 s.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            lines = self.lines(stream_id)
            if any(line.event == event for line in lines):
                return lines
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self.path.name} has no {event!r} for {stream_id}: {[line.event for line in lines]}"
                )
            await asyncio.sleep(POLL_SECONDS)
