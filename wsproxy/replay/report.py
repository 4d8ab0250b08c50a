"""What a replay came to: what was said, where it was not as recorded, how well the schedule was kept.

Strategy: a plain record that fills while the replay runs; everything that a person or a program asks of it is computed from that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ..secrets.masking import mask_text

_KEPT = 200_000  # times of a long replay


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One place where the live side was not as recorded.

    `event` is the number in the recording ('wsproxy show' prints it), 0 where there is none; `place` is words for a person (message 3);
    `t` is in seconds since the replay's start.
    """

    stream: str
    who: str
    event: int
    place: str
    field: str
    expected: str
    got: str
    t: float

    def to_json(self) -> dict[str, Any]:
        """An object with stable keys; credentials masked."""
        masked = {"expected": mask_text(self.expected), "got": mask_text(self.got)}
        keys = ("stream", "who", "event", "place", "field")
        return {"kind": "mismatch", **{key: getattr(self, key) for key in keys}, **masked, "t": round(self.t, 6)}


@dataclass(slots=True)
class Said:
    """How much went in one direction."""

    messages: int = 0
    frames: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Timing:
    """How late steps were, in nanoseconds, against the moments at which they were due. Of very many, every 2nd, 4th ... is kept."""

    late: list[int] = field(default_factory=list)
    steps: int = 0
    _stride: int = 1

    def add(self, late: int) -> None:
        """One more step."""
        if self.steps % self._stride == 0:
            self.late.append(late)
            if len(self.late) >= _KEPT:
                self.late = self.late[::2]
                self._stride *= 2
        self.steps += 1

    def quantile(self, share: float) -> float:
        """Seconds; 0 where nothing was timed."""
        if not self.late:
            return 0.0
        ordered = sorted(self.late)
        return ordered[min(math.ceil(share * len(ordered)), len(ordered)) - 1] / 1e9

    @property
    def median(self) -> float:
        return self.quantile(0.5)

    @property
    def p99(self) -> float:
        return self.quantile(0.99)


@dataclass(slots=True)
class Report:
    """The result of a replay.

    Attributes:
        side: which side was played.
        connections: how many were played.
        abandoned: steps that were not played, because the peer had gone or never came so far.
        recordings: the new recordings, by path.
        notes: what is worth knowing and no difference.
    """

    side: Literal["client", "server"]
    connections: int = 0
    exchanges: int = 0
    sent: Said = field(default_factory=Said)
    received: Said = field(default_factory=Said)
    abandoned: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    timing: Timing = field(default_factory=Timing)
    recordings: list[str] = field(default_factory=list)
    on_mismatch: Callable[[Mismatch], None] | None = None

    def mismatch(self, mismatch: Mismatch) -> None:
        """Keep a mismatch, and tell it at once."""
        self.mismatches.append(mismatch)
        if self.on_mismatch is not None:
            self.on_mismatch(mismatch)

    def note(self, text: str) -> None:
        """Keep a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def diverged(self) -> bool:
        return bool(self.mismatches)

    @property
    def exit_status(self) -> int:
        """0 as recorded, 1 not."""
        return 1 if self.diverged else 0

    def to_json(self) -> Iterator[dict[str, Any]]:
        """JSON objects: one per mismatch, then the summary."""
        yield from (mismatch.to_json() for mismatch in self.mismatches)
        yield self.summary()

    def summary(self) -> dict[str, Any]:
        """The summary alone. Times in seconds."""
        return {
            "kind": "replay",
            "side": self.side,
            "same": not self.diverged,
            "connections": self.connections,
            "exchanges": self.exchanges,
            "sent": _counts(self.sent),
            "received": _counts(self.received),
            "abandoned": self.abandoned,
            "mismatches": len(self.mismatches),
            "timing": {"steps": self.timing.steps, "median": self.timing.median, "p99": self.timing.p99},
            "recordings": list(self.recordings),
            "notes": list(self.notes),
        }


def _counts(said: Said) -> dict[str, int]:
    return {"messages": said.messages, "frames": said.frames, "bytes": said.bytes}
