"""What a relay uses, over time: samples, their table, and the slope of each after the warm-up."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.relay.relay_process import RelayProcess

ROWS = 25  # of a table
STEADY = 4  # looks, one after the other, with the same counts as the one before


class Sample(NamedTuple):
    """One look. `idle`: no connection is played."""

    seconds: float
    idle: bool
    connections: int  # accepted so far
    rss_kib: float
    descriptors: int
    threads: int
    tasks: int
    open: int
    recordings: int


COUNTS = ("descriptors", "threads", "tasks", "open", "recordings")


@dataclass
class Samples:
    """The samples of one relay."""

    relay: RelayProcess
    taken: list[Sample] = field(default_factory=list)
    _begun: float = field(default_factory=time.monotonic)

    def take(self, *, idle: bool) -> Sample:
        """Look now. At the descriptors first: the relay closes that of the question when it comes to it, after the answer."""
        descriptors = len(os.listdir(f"/proc/{self.relay.pid}/fd"))
        values = {}
        for line in self.relay.control("/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            values[name] = value
        status = Path(f"/proc/{self.relay.pid}/status").read_text()
        threads = next(line.split()[1] for line in status.splitlines() if line.startswith("Threads:"))
        sample = Sample(
            time.monotonic() - self._begun,
            idle,
            int(values["wsproxy_connections_total"]),
            self.relay.rss() / 1024,
            descriptors,
            int(threads),
            int(values["wsproxy_tasks"]),
            int(values["wsproxy_connections_open"]),
            int(values["wsproxy_recordings_open"]),
        )
        self.taken.append(sample)
        return sample

    def settled(self, base: Sample | None, deadline: float = 10.0) -> Sample:
        """Look again and again until all counts are those of `base`, or the deadline (seconds) has come.

        And until they stay the same: a slow relay has connections still to accept whose clients have come and gone.
        """
        until = time.monotonic() + deadline
        before: tuple[float, ...] = ()
        same = 0
        while True:
            sample = self.take(idle=True)
            counts = (sample.connections, *(getattr(sample, name) for name in COUNTS))
            same = same + 1 if counts == before else 0
            before = counts
            if same >= STEADY and sample.open == 0 and (base is None or not grown(base, sample)):
                return sample
            if time.monotonic() > until:
                return sample
            self.taken.pop()
            time.sleep(0.1)  # between two questions to the relay

    def table(self) -> list[str]:
        """Lines for a person: at most so many samples, evenly chosen, and the slopes."""
        head = f"{'s':>7} {'':4} {'conns':>8} {'RSS MiB':>8} {'fds':>5} {'threads':>7} {'tasks':>6} {'open':>5} {'recordings':>10}"
        step = max(1, -(-len(self.taken) // ROWS))
        lines = [head]
        for one in self.taken[::-1][::step][::-1]:
            lines.append(
                f"{one.seconds:7.1f} {'idle' if one.idle else '':4} {one.connections:8,} {one.rss_kib / 1024:8.1f} {one.descriptors:5} "
                f"{one.threads:7} {one.tasks:6} {one.open:5} {one.recordings:10}"
            )
        return lines + self.slopes()

    def slopes(self) -> list[str]:
        """Least squares over the idle samples of the second half."""
        idle = [one for one in self.taken if one.idle]
        late = [one for one in idle if one.seconds >= self.taken[-1].seconds / 2] if self.taken else []
        if len(late) < 3:
            return ["slopes: too few idle samples"]
        minutes = [one.seconds / 60 for one in late]
        shown = [f"RSS {slope(minutes, [one.rss_kib for one in late]):+.1f} KiB/min"]
        thousands = [one.connections / 1000 for one in late]
        shown.append(f"{slope(thousands, [one.rss_kib for one in late]):+.2f} KiB per 1,000 connections")
        shown += [f"{name} {slope(minutes, [getattr(one, name) for one in late]):+.2f}/min" for name in COUNTS]
        spread = max(one.rss_kib for one in late) - min(one.rss_kib for one in late)
        return [f"slopes of {len(late)} idle samples, second half: {', '.join(shown)} (RSS spread {spread:.0f} KiB)"]


def grown(base: Sample, now: Sample) -> list[str]:
    """Which counts are above their base."""
    return [
        f"{name}: {getattr(base, name)} before, {getattr(now, name)} when idle again"
        for name in COUNTS
        if getattr(now, name) > getattr(base, name)
    ]


def slope(xs: list[float], ys: list[float]) -> float:
    """By least squares; 0 where there is nothing to tell it."""
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    across = sum((one - x) ** 2 for one in xs)
    return sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True)) / across if across else 0.0
