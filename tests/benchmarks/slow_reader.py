"""`python -m tests.benchmarks.slow_reader`: what one reader that does not read costs the others.

Strategy: 199 paced connections through one relay; in every other run beside a slow one, which asks for 64 MiB, reads nothing for half of the time
and then 1 KiB a second, so the relay's way to it is full all the while. What is compared are the round trips of the others, in rounds of
two runs, seconds apart, a fresh relay for each. The relay's memory is looked at before and after.
"""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import statistics
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import uvloop

from tests.relay.raw import BINARY, frame, upgrade

from . import recordings
from .load import Stream, close_all, connect_all, paced, summary, windowed
from .measure import memory_kib
from .peers import ECHO, PEERS, Running, started
from .workloads import Workload

ASKED = 64 << 20  # bytes that the slow reader asks for
BLOCK = 256 << 10
SIPS = 1024  # bytes a second
SLOW = "slow"
BOUND = 8 << 10  # KiB that the relay may grow by
WORKLOAD = Workload("slow_reader", "paced beside a reader that does not read", 200, 200, rate=20)


@dataclass
class Run:
    """One run: times in µs, the relay's growth in KiB."""

    p50: float = 0.0
    p99: float = 0.0
    growth: int = 0
    problems: list[str] = field(default_factory=list)


class SlowReader:
    """A connection that asks for more than it reads."""

    def __init__(self) -> None:
        self._sock = socket.socket()
        self._sipping: asyncio.Task[None] | None = None

    async def connect(self, port: int) -> None:
        """Ask for everything; the echo server has heard all of it when this returns."""
        loop = asyncio.get_running_loop()
        self._sock.setblocking(False)
        await loop.sock_connect(self._sock, ("127.0.0.1", port))
        await loop.sock_sendall(self._sock, upgrade(f"/stream/{SLOW}"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await loop.sock_recv(self._sock, 1)
        block = frame(b"\x5a" * BLOCK, BINARY, mask=b"\x01\x02\x03\x04")
        for _ in range(ASKED // BLOCK):
            await loop.sock_sendall(self._sock, block)

    def sip(self, wait: float) -> None:
        """Read nothing for so many seconds, then 1 KiB a second."""

        async def sip() -> None:
            await asyncio.sleep(wait)
            data = b"?"
            while data:
                data = await asyncio.get_running_loop().sock_recv(self._sock, SIPS)
                await asyncio.sleep(1.0)

        self._sipping = asyncio.get_running_loop().create_task(sip())

    async def leave(self) -> None:
        if self._sipping is not None:
            self._sipping.cancel()
            await asyncio.wait([self._sipping])
        self._sock.close()


async def _load(relay: Running, workload: Workload, run: Run, *, slow: bool) -> dict[str, int]:
    """The measured part of one run; what each stream has sent."""
    streams: list[Stream] = await connect_all(relay.port, workload, "fast")
    await windowed(streams, workload.warmup, 1)
    before = memory_kib(relay.pid)
    reader = SlowReader()
    if slow:
        await reader.connect(relay.port)
        reader.sip(workload.planned_seconds / 2)
    for stream in streams:
        stream.round_trips_ns.clear()
    gc.disable()
    await paced(streams, workload.frames, workload.rate)
    gc.enable()
    run.growth = memory_kib(relay.pid) - before
    if run.growth > BOUND:
        run.problems.append(f"the relay grew by {run.growth:,} KiB")
    told = summary(streams, workload, workload.planned_seconds, run.problems)
    run.p50, run.p99 = told["rtt_p50_us"], told["rtt_p99_us"]
    if slow:
        await reader.leave()
    await close_all(streams)
    return dict(told["sent"])


def _run(workload: Workload, folder: Path, *, slow: bool) -> Run:
    run = Run()
    others = replace(workload, streams=workload.streams - 1)
    with started(ECHO, 0, folder / "echo") as echo, started(PEERS["wsproxy"], echo.port, folder / "relay") as relay:
        sent = uvloop.run(_load(relay, others, run, slow=slow))
    run.problems += relay.trouble
    for path in (folder / "relay" / "recordings").glob(f"*-{SLOW}.msgpack"):
        run.problems += recordings.unverified([path])
        path.unlink()
        slow = False
    if slow:
        run.problems.append("the slow reader has no recording")
    run.problems += recordings.check(folder / "relay" / "recordings", sent)
    return run


@click.command(help="What one slow reader costs the others. Exit status: 0 all runs whole, 1 something lost.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--smoke", is_flag=True, help="One short round: nothing is lost, memory is bounded. No times.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order within a round.")
def main(rounds: int, smoke: bool, seed: int) -> None:
    workload = replace(WORKLOAD, streams=30, frames=40) if smoke else WORKLOAD
    shuffle = random.Random(seed).shuffle
    done: dict[bool, list[Run]] = {True: [], False: []}
    for number in range(1 if smoke else rounds):
        order = [True, False]
        shuffle(order)
        for slow in order:
            with tempfile.TemporaryDirectory(prefix="wsproxy-slow-") as folder:
                run = _run(workload, Path(folder), slow=slow)
            done[slow].append(run)
            words = "with a slow reader" if slow else "without"
            times = "" if smoke else f"p50 {run.p50:.0f} µs, p99 {run.p99:.0f} µs, "
            click.echo(f"round {number + 1}, {words}: {times}relay grew by {run.growth:,} KiB")
            for problem in run.problems:
                click.echo(f"  {problem}")
    if not smoke:
        for name in ("p50", "p99"):
            ratios = [
                getattr(one, name) / getattr(other, name) for one, other in zip(done[True], done[False], strict=True)
            ]
            shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            click.echo(f"{name} with ÷ without: {statistics.median(ratios):.2f} (rounds: {shown})")
    sys.exit(1 if any(run.problems for runs in done.values() for run in runs) else 0)


if __name__ == "__main__":
    main()
