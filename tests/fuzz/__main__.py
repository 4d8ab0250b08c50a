"""`python -m tests.fuzz TARGET --seconds N`: by coverage where atheris is installed, by mutation elsewhere."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import click

from .runner import TARGETS


@click.command()
@click.argument("targets", nargs=-1, metavar="TARGET...")
@click.option("--seconds", default=60, show_default=True, type=click.IntRange(1), help="For each target.")
@click.option("--seed", default=1, show_default=True, help="Of the mutations.")
@click.option("--crashes", default=Path(".fuzz/crashes"), show_default=True, type=click.Path(path_type=Path))
@click.option("--mutations", is_flag=True, help="Without atheris, even where it is installed.")
def command(targets: tuple[str, ...], seconds: int, seed: int, crashes: Path, mutations: bool) -> None:
    """Fuzz targets; all of them by default. Exit status: 0 nothing found, 1 a crash, which stands in a file."""
    for name in targets:
        if name not in TARGETS:
            raise click.UsageError(f"{name}: no target; there are {', '.join(TARGETS)}")
    status = 0
    guided = not mutations and importlib.util.find_spec("atheris") is not None
    for name in targets or TARGETS:
        crashes.mkdir(parents=True, exist_ok=True)
        ended = _guided(name, seconds, seed, crashes) if guided else _mutations(name, seconds, seed, crashes)
        status = max(status, ended)
    sys.exit(status)


def _guided(name: str, seconds: int, seed: int, crashes: Path) -> int:
    """In a process of its own, because libFuzzer ends the one that it runs in."""
    command = [sys.executable, "-m", f"{__package__}.guided", name, str(seconds), str(seed), str(crashes)]
    done = subprocess.run(
        [*command, str(crashes.parent / "corpus" / name)], stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True
    )
    told = [
        line for line in done.stdout.splitlines() if "number_of_executed_units" in line or line.startswith("crash: ")
    ]
    click.echo(f"{name}: by coverage, {'; '.join(told) or 'no word of executions'}")
    if done.returncode:
        click.echo(done.stdout[-6000:])
    return min(abs(done.returncode), 1)


def _mutations(name: str, seconds: int, seed: int, crashes: Path) -> int:
    """Likewise, because its bound of memory is for good."""
    command = [sys.executable, "-m", f"{__package__}.mutations", name, str(seconds), str(seed), str(crashes)]
    return subprocess.run(command).returncode


if __name__ == "__main__":
    command()
