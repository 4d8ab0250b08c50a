"""`python -m tests.benchmarks.marked`: what 20,000 stage markers a second cost the relay, and the frames beside them.

Strategy: the same run with and without markers, in turn, seconds apart: a real `wsproxy record`, real hooks in a process of their own (on
another CPU than the rest, where the load is pinned to one), into the recordings of the very streams that are forwarded. CPU per marker is the
relay's own, with markers minus without, HTTP and writing included, over the markers that were made meanwhile. Every frame and every marker
must stand in the recordings: that decides the exit status, time never does.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from . import recordings
from .measure import cpu_ns, one_cpu
from .peers import ECHO, PEERS, ROOT, NotReady, Running, started
from .run import Result, Run, drive
from .workloads import SMOKE, WORKLOADS, Workload

RATE = 20_000
QUIET_SECONDS = 3.0  # of the run in which nothing is forwarded
QUIET = "nothing"


@dataclass
class Markers:
    """What the sender said: how many, in which time."""

    made: int = 0
    seconds: float = 0.0


@dataclass
class Figures:
    """Of one workload, a value per round."""

    cpu_us: list[float] = field(default_factory=list)  # per marker
    p50: list[tuple[float, float]] = field(default_factory=list)  # without, with; µs
    p99: list[tuple[float, float]] = field(default_factory=list)


@contextmanager
def marking(relay: Running, streams: list[str], rate: int) -> Iterator[Markers]:
    """While inside, markers come in at this rate; afterwards all of them have been delivered."""
    told = Markers()
    command = [
        sys.executable, "-m", f"{__package__}.marker_sender", "--to", f"http://127.0.0.1:{relay.control_port}",
        "--rate", str(rate), "--streams", ",".join(streams),
    ]  # fmt: skip
    sender = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert sender.stdin is not None and sender.stdout is not None
    try:
        others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
        os.sched_setaffinity(sender.pid, others or os.sched_getaffinity(0))
        if not sender.stdout.readline():
            raise NotReady("the sender of markers ended before it began")
        yield told
        sender.stdin.close()
        said = json.loads(sender.stdout.readline() or "{}")
        told.made, told.seconds = said.get("made", 0), said.get("seconds", 0.0)
        sender.wait(60)
    finally:
        if sender.poll() is None:
            sender.kill()
            sender.wait()
        sender.stdout.close()


def missing(folder: Path, made: int) -> list[str]:
    """What the recordings of a folder lack of so many markers. One that the hooks could not deliver is told in them, and is not missing."""
    import wsproxy

    found = [marker for path in folder.glob("*.msgpack") for marker in wsproxy.open(path).markers()]
    dropped = [marker.data["count"] for marker in found if marker.stage == "hooks.dropped"]
    kept = len(found) - len(dropped)
    return [f"{kept} of {made} markers are recorded, {sum(dropped)} were dropped"] if kept + sum(dropped) < made else []


def forwarding(workload: Workload, number: int, rate: int, *, smoke: bool) -> tuple[Result, float, Markers]:
    """One run with `rate` markers a second: what came of it, the relay's CPU in µs, the markers."""
    plan = Run(workload, PEERS["wsproxy"], number, workload.pinned, smoke, 120.0)
    result = Result(workload.name, "wsproxy", number, workload.pinned)
    markers = Markers()
    with tempfile.TemporaryDirectory(prefix="wsproxy-bench-") as name, one_cpu(workload.pinned):
        folder = Path(name)
        with ExitStack() as stack:
            echo = stack.enter_context(started(ECHO, 0, folder / "echo"))
            relay = stack.enter_context(started(plan.peer, echo.port, folder / "wsproxy"))
            streams = [f"{workload.name}{number}n{place:05d}" for place in range(workload.streams)]
            if rate:
                markers = stack.enter_context(marking(relay, streams, rate))
            sent = drive(plan, relay, relay, result)
        result.problems += relay.trouble + recordings.check(relay.site.recordings, sent)
        result.problems += missing(relay.site.recordings, markers.made)
    cpu = result.metrics.get("cpu_us_frame", 0.0) * 2 * workload.round_trips
    return result, cpu, markers


def quiet(rate: int, seconds: float) -> tuple[list[str], float]:
    """Markers and nothing else: (problems, µs of the relay's CPU for each)."""
    with tempfile.TemporaryDirectory(prefix="wsproxy-bench-") as name:
        folder = Path(name)
        with ExitStack() as stack:
            echo = stack.enter_context(started(ECHO, 0, folder / "echo"))
            relay = stack.enter_context(started(PEERS["wsproxy"], echo.port, folder / "wsproxy"))
            with marking(relay, [f"marked{place:03d}" for place in range(20)], rate) as markers:
                before = cpu_ns(relay.pid)
                time.sleep(seconds)
                cpu = cpu_ns(relay.pid) - before
        problems = relay.trouble + missing(relay.site.recordings, markers.made)
    return problems, cpu / 1e3 / (seconds * markers.made / markers.seconds) if markers.made else 0.0


def show(figures: dict[str, Figures]) -> None:
    print(
        f"\n{'beside':<10} {'relay CPU µs/marker':>20} {'p50 µs without → with':>26} {'ratio':>7} {'p99 µs without → with':>26} {'ratio':>7}"
    )
    for name, found in figures.items():
        line = f"{name:<10} {statistics.median(found.cpu_us):>20.2f}"
        for pairs in (found.p50, found.p99) if found.p50 else ():
            without, with_ = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
            ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
            line += f" {without:>14.1f} → {with_:>9.1f} {ratio:>7.2f}"
        print(line)
    print("medians of the rounds; ratios are medians of the rounds' ratios")


@click.command(help="Measure the relay with and without markers. Exit status: 0 all runs whole, 1 something lost.")
@click.option("--rounds", type=click.IntRange(1), default=None, help="How many; default 5, with --smoke 1.")
@click.option("--rate", type=click.IntRange(1_000), default=RATE, show_default=True, help="Markers a second.")
@click.option(
    "--beside", default="latency", show_default=True, metavar="NAME,…", help="Workloads; paced50 wants four idle CPUs."
)
@click.option("--smoke", is_flag=True, help="Seconds long: nothing is lost. No times.")
def main(rounds: int | None, rate: int, beside: str, smoke: bool) -> None:
    table = SMOKE if smoke else WORKLOADS
    loads = [table[name] for name in beside.split(",")]
    figures = {QUIET: Figures(), **{load.name: Figures() for load in loads}}
    problems: list[str] = []
    for number in range(rounds or (1 if smoke else 5)):
        wrong, cpu_us = quiet(rate, 0.3 if smoke else QUIET_SECONDS)
        problems += wrong
        figures[QUIET].cpu_us.append(cpu_us)
        click.echo(f"round {number + 1}: beside nothing {cpu_us:.2f} µs a marker", err=True)
        for load in loads:
            ran: dict[bool, tuple[Result, float, Markers]] = {}
            for marked in random.sample([False, True], 2):
                ran[marked] = forwarding(load, number, rate if marked else 0, smoke=smoke)
                problems += ran[marked][0].problems
            problems += _compare(load, ran, figures[load.name], number)
    if not smoke and not problems:
        show(figures)
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(1 if problems else 0)


def _compare(load: Workload, ran: dict[bool, tuple[Result, float, Markers]], found: Figures, number: int) -> list[str]:
    (without, cpu_without, _), (with_, cpu_with, markers) = ran[False], ran[True]
    if not without.metrics or not with_.metrics or not markers.made:
        return [f"{load.name}: no figures"]
    seconds = 2 * load.round_trips / with_.metrics["frames_s"]
    found.cpu_us.append((cpu_with - cpu_without) / (seconds * markers.made / markers.seconds))
    found.p50.append((without.metrics["rtt_p50_us"], with_.metrics["rtt_p50_us"]))
    found.p99.append((without.metrics["rtt_p99_us"], with_.metrics["rtt_p99_us"]))
    click.echo(
        f"round {number + 1}: beside {load.name} {found.cpu_us[-1]:.2f} µs a marker, "
        f"p50 {found.p50[-1][0]:.1f} → {found.p50[-1][1]:.1f} µs, p99 {found.p99[-1][0]:.1f} → {found.p99[-1][1]:.1f} µs",
        err=True,
    )
    return []


if __name__ == "__main__":
    main()
