"""`python -m tests.benchmarks.reading`: what trace and diagnose cost for long recordings and for many.

Strategy: each command is a process of its own whose CPU time and peak of memory the kernel tells; beside it, in the same round, runs `floor.py`,
which reads, unpacks, inflates and parses the same files and does nothing else. The ratio to it travels from machine to machine. What a command says
must be what the recording's shape makes it say: that decides the exit status, time never does.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import click

from . import long_recordings
from .costs import FLOOR, WSPROXY, Command, Costs

EVENTS = 100_000
MANY, EVENTS_OF_MANY = 1_000, 300
SAYS = {
    "every stage marked": "nothing lost",
    "frames alone": "nothing lost",
    "frames alone, not compressed": "nothing lost",
    "all lost": "LOST",
    "short chunks, some marked": "nothing lost",
}


@click.command(help="Measure trace and diagnose. Exit status: 0 all verdicts right, 1 one was wrong.")
@click.option("--rounds", type=click.IntRange(1), default=None, help="How many; default 5, with --smoke 1.")
@click.option("--smoke", is_flag=True, help="Short recordings: the verdicts are right. No times.")
def main(rounds: int | None, smoke: bool) -> None:
    events, many = (1_000, 20) if smoke else (EVENTS, MANY)
    costs = Costs()
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
                commands = {"floor": Command([*FLOOR, "--parse", *paths])}
                commands["diagnose"] = Command([*WSPROXY, "diagnose", *paths], SAYS.get(row, "nothing lost"))
                if len(paths) == 1:
                    commands["trace"] = Command([*WSPROXY, "trace", *paths], "chunks")
                costs.run(row, commands)
            click.echo(f"round {number + 1}", err=True)
    costs.end(show=not smoke)


if __name__ == "__main__":
    main()
