"""What a command costs as a process of its own, and the one table in which that is shown.

Strategy: the kernel tells time and memory of a child that was waited for. Its peak of memory counts from the fork, when it still is its parent,
so a command is started by a small process (`one_run.py`) and not by the benchmark. What a command prints, and the status that it ends with, must
be what the recording makes it say; time decides nothing. Commands of a row are compared within one round, seconds apart: `×` is the median of
the rounds' ratios to the row's first command.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import click

from .peers import ROOT

WSPROXY = (sys.executable, "-m", "wsproxy")
FLOOR = (sys.executable, str(Path(__file__).with_name("floor.py")))
_ONE_RUN = (sys.executable, "-I", "-S", str(Path(__file__).with_name("one_run.py")))


class Cost(NamedTuple):
    """Seconds on the clock, seconds of CPU, and the most memory that was resident at once, in MiB."""

    wall: float
    cpu: float
    mib: float


class Command(NamedTuple):
    """What is run; `says` must stand in what it prints (None: that goes to the null device), `ends` are the exit statuses that are right."""

    args: Sequence[str]
    says: str | None = None
    ends: Collection[int] = (0, 1)


def measured(command: Command) -> tuple[Cost, str]:
    """(cost, what is wrong) of a command."""
    with tempfile.TemporaryFile() as out:
        run = [*_ONE_RUN, *command.args]
        keep = command.says is not None
        done = subprocess.run(
            run, cwd=ROOT, stdout=out if keep else subprocess.DEVNULL, stderr=subprocess.PIPE, check=True
        )
        out.seek(0)
        printed = out.read().decode()
    *said, told = done.stderr.decode().splitlines()
    figures = json.loads(told)
    shown = " ".join(Path(arg).name for arg in list(command.args)[1:])[:100]
    wrong = ""
    if figures["status"] not in command.ends:
        wrong = f"{shown} ended with {figures['status']}: {' '.join(said)[:200]}"
    elif command.says is not None and command.says not in printed:
        wrong = f"{shown} printed no {command.says!r} but {printed[:200]!r}"
    return Cost(figures["wall"], figures["cpu"], figures["mib"]), wrong


class Costs:
    """The results of all rounds, by row and by command."""

    def __init__(self) -> None:
        self._costs: dict[str, dict[str, list[Cost]]] = defaultdict(lambda: defaultdict(list))
        self.problems: list[str] = []

    def run(self, row: str, commands: dict[str, Command]) -> None:
        """One round of a row; its first command is what the others are compared with."""
        for what, command in commands.items():
            cost, wrong = measured(command)
            self._costs[row][what].append(cost)
            self.problems += [wrong] if wrong else []

    def end(self, *, show: bool) -> NoReturn:
        """Print the table, if it is wanted, and what went wrong; exit with 1 if anything did."""
        if show:
            self.show()
        for problem in self.problems:
            click.echo(problem, err=True)
        sys.exit(1 if self.problems else 0)

    def show(self) -> None:
        """The table."""
        for row, commands in self._costs.items():
            base, *_ = commands
            print(row)
            print(f"  {'':<26} {'seconds':>8} {'CPU':>8} {'best':>8} {'× ' + base:>8} {'MiB':>6}")
            for what, costs in commands.items():
                ratios = [one.cpu / floor.cpu for one, floor in zip(costs, commands[base], strict=True)]
                cpu = [cost.cpu for cost in costs]
                print(
                    f"  {what:<26} {statistics.median(cost.wall for cost in costs):8.2f} {statistics.median(cpu):8.2f} {min(cpu):8.2f}"
                    f" {statistics.median(ratios):8.2f} {max(cost.mib for cost in costs):6.0f}"
                )
        print(
            "medians of the rounds; the interpreter's start and imports included; × is of CPU, MiB the peak of one process"
        )
