"""`python -m tests.benchmarks.startup`: how long a command takes to start, beside a program that only imports click and rich.

Strategy: the floor is what any program of this kind loads before it does anything: click, and of rich its console, text and tables. Rounds are
interleaved, each command a process of its own; the figure is the median of the rounds' ratios of CPU time. A round that does not count comes first:
it compiles everything, into a folder of its own, as an installed program is compiled.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click

from .costs import WSPROXY, Command, Costs
from .peers import ROOT

SAMPLES = ROOT / "recordings" / "samples"
SMALL = str(Path(SAMPLES) / "allowed.msgpack")
FLOOR = Command([sys.executable, "-c", "import click, rich.console, rich.text, rich.table"])
COMMANDS = {
    "--help": ["--help"],
    "show": ["show", SMALL],
    "ls": ["ls", str(SAMPLES)],
    "trace": ["trace", SMALL],
    "diagnose": ["diagnose", SMALL],
    "verify": ["verify", SMALL],
    "diff": ["diff", SMALL, SMALL],
}


@click.command(help="Measure start-up. Exit status: 0 all commands ended well, 1 one did not.")
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True, help="How many.")
def main(rounds: int) -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="wsproxy-bench-") as compiled:
        os.environ["PYTHONPYCACHEPREFIX"] = compiled
        measure(1)
        costs = measure(rounds)
    costs.show()
    for problem in costs.problems:
        click.echo(problem, err=True)
    sys.exit(1 if costs.problems else 0)


def measure(rounds: int) -> Costs:
    """So many rounds of all commands."""
    costs = Costs()
    for _ in range(rounds):
        costs.run(
            "start-up", {"click + rich": FLOOR} | {what: Command([*WSPROXY, *args]) for what, args in COMMANDS.items()}
        )
    return costs


if __name__ == "__main__":
    main()
