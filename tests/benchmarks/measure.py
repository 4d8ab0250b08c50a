"""What a process costs: CPU time and memory of it and its children, and the pinning that makes them comparable.

Strategy: ask the kernel, never the process. CPU is the scheduler's own count in nanoseconds (the process clock of
another process, all threads, also those that have ended), memory is what is resident and anonymous (heap and stacks: code that is
shared with other processes comes and goes with them). Linux only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CPUCLOCK_SCHED = 2  # linux/include/linux/posix-timers.h: a clock id is (~pid << 3) | which


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    members = [pid]
    for member in members:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            members.extend(int(child) for child in children.read_text().split())
    return members


def cpu_ns(pid: int) -> int:
    """CPU time, user and system, of a process and its living descendants."""
    return sum(time.clock_gettime_ns((~member << 3) | CPUCLOCK_SCHED) for member in family(pid))


def memory_kib(pid: int) -> int:
    """Resident anonymous memory of a process and its living descendants, without the kernel's socket buffers."""
    return sum(_anonymous_kib(member) for member in family(pid))


def _anonymous_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1])
    raise ValueError(f"/proc/{pid}/smaps_rollup has no line Anonymous")


@contextmanager
def one_cpu(wanted: bool) -> Iterator[None]:
    """While inside, this process and all that it starts share one CPU (if `wanted`): no wake-ups across cores."""
    allowed = os.sched_getaffinity(0)
    if wanted:
        os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
