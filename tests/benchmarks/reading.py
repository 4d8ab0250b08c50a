"""`python -m tests.benchmarks.reading`: what trace and diagnose cost for long recordings and for many.

Strategy: each command is a process of its own whose CPU time and peak of memory the kernel tells; beside it, in the same round, runs `floor.py`,
which reads, unpacks, inflates and parses the same files and does nothing else. The ratio to it travels from machine to machine. What a command says
must be what the recording's shape makes it say: that decides the exit status, time never does.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import click

from . import long_recordings
from .peers import ROOT

EVENTS = 100_000
MANY, EVENTS_OF_MANY = 1_000, 300
SAYS = {
    "every stage marked": "nothing lost",
    "frames alone": "nothing lost",
    "frames alone, not compressed": "nothing lost",
    "all lost": "LOST",
}
FLOOR = (sys.executable, str(Path(__file__).with_name("floor.py")))
WSPROXY = (sys.executable, "-m", "wsproxy")


def measured(command: list[str], expected: str | None) -> tuple[float, float, str]:
    """(CPU seconds, peak MiB, what is wrong) of a command that must print `expected`."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        printed = out.read().decode()
    wrong = ""
    if process.returncode not in (0, 1):
        wrong = f"{command[2:4]} ended with {process.returncode}"
    elif expected is not None and expected not in printed:
        wrong = f"{command[2:4]} printed no {expected!r} but {printed[:200]!r}"
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, wrong


@click.command(help="Measure trace and diagnose. Exit status: 0 all verdicts right, 1 one was wrong.")
@click.option("--rounds", type=click.IntRange(1), default=None, help="How many; default 5, with --smoke 1.")
@click.option("--smoke", is_flag=True, help="Short recordings: the verdicts are right. No times.")
def main(rounds: int | None, smoke: bool) -> None:
    events, many = (1_000, 20) if smoke else (EVENTS, MANY)
    cpu: dict[tuple[str, str], list[float]] = defaultdict(list)
    peak: dict[tuple[str, str], float] = defaultdict(float)
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="wsproxy-bench-") as name:
        folder = Path(name)
        rows: dict[str, list[str]] = {}
        for shape in long_recordings.SHAPES:
            rows[shape] = [str(folder / f"{shape.replace(' ', '-')}.msgpack")]
            long_recordings.write(Path(rows[shape][0]), shape, events)
        first = folder / "one.msgpack"
        long_recordings.write(first, "every stage marked", EVENTS_OF_MANY)
        of_many = f"{many:,} recordings of {EVENTS_OF_MANY} events"
        rows[of_many] = [str(folder / f"{number:04d}.msgpack") for number in range(many)]
        for path in rows[of_many]:
            shutil.copyfile(first, path)
        for number in range(rounds or (1 if smoke else 5)):
            for row, paths in rows.items():
                commands: dict[str, tuple[list[str], str | None]] = {"floor": ([*FLOOR, *paths], None)}
                commands["diagnose"] = ([*WSPROXY, "diagnose", *paths], SAYS.get(row, "nothing lost"))
                if len(paths) == 1:
                    commands["trace"] = ([*WSPROXY, "trace", *paths], "chunks")
                for what, (command, expected) in commands.items():
                    seconds, mib, wrong = measured(command, expected)
                    cpu[row, what].append(seconds)
                    peak[row, what] = max(peak[row, what], mib)
                    problems += [wrong] if wrong else []
            click.echo(f"round {number + 1}", err=True)
        if not smoke:
            show(list(rows), cpu, peak)
    for problem in problems:
        click.echo(problem, err=True)
    sys.exit(1 if problems else 0)


def show(rows: list[str], cpu: dict[tuple[str, str], list[float]], peak: dict[tuple[str, str], float]) -> None:
    for row in rows:
        for what in ("floor", "diagnose", "trace"):
            if took := cpu.get((row, what)):
                ratio = statistics.median(one / floor for one, floor in zip(took, cpu[row, "floor"], strict=True))
                print(
                    f"{row:<32} {what:<9} CPU {statistics.median(took):6.2f} s   best {min(took):6.2f} s   "
                    f"× floor {ratio:5.2f}   peak {peak[row, what]:6.0f} MiB"
                )
    print(
        "medians of the rounds; ratios are medians of the rounds' ratios; the interpreter's start and imports included"
    )


if __name__ == "__main__":
    main()
