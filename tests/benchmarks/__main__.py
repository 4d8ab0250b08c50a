"""`python -m tests.benchmarks`: rounds of every workload through every peer, interleaved.

Strategy: a machine drifts; so within a round each peer runs once per workload, in an order shuffled anew, and what is
compared was measured seconds apart. Completeness decides the exit status, time never does.
"""

from __future__ import annotations

import json
import os
import platform
import random
import resource
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from .peers import ECHO, PEERS, Peer
from .report import Results, line, show
from .run import Result, Run, run
from .workloads import SMOKE, WORKLOADS

SMOKE_PEERS = ("none", "haproxy", "splice", "websockets", "wsproxy", "wsproxy-python", "wsproxy-batch", "wsproxy-sync")


def names(known: Iterable[str]) -> Callable[[click.Context, click.Parameter, str | None], list[str] | None]:
    """An option's value: comma-separated names out of `known`."""
    allowed = list(known)

    def split(context: click.Context, option: click.Parameter, value: str | None) -> list[str] | None:
        chosen = [name.strip() for name in value.split(",")] if value else None
        if unknown := [name for name in chosen or () if name not in allowed]:
            raise click.BadParameter(f"unknown: {', '.join(unknown)}. Known: {', '.join(allowed)}")
        return chosen

    return split


@click.command(help="Measure wsproxy beside its peers. Exit status: 0 all runs whole, 1 something lost, 2 trouble.")
@click.option("--workload", "workloads", callback=names(WORKLOADS), metavar="NAME,…", help="Which; default all.")
@click.option("--peers", callback=names(PEERS), metavar="NAME,…", help="Which; default all that are installed.")
@click.option("--rounds", type=click.IntRange(1), default=None, help="How many; default 5, with --smoke 1.")
@click.option("--pinned/--unpinned", default=None, help="All processes on one CPU; default: only for latency.")
@click.option("--smoke", is_flag=True, help="Seconds long: every path works and nothing is lost. No times.")
@click.option(
    "--limit", type=float, default=120.0, show_default=True, help="Seconds for one load, then it is given up."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the peers' order.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="All results to this file.")
def main(
    workloads: list[str] | None,
    peers: list[str] | None,
    rounds: int | None,
    pinned: bool | None,
    smoke: bool,
    limit: float,
    seed: int,
    json_file: Path | None,
) -> None:
    console = Console(width=None if sys.stdout.isatty() else 220)
    if not ECHO.installed():
        raise click.UsageError(f"the load generator and the echo server need picows and uvloop: {ECHO.install}")
    wanted = peers or (list(SMOKE_PEERS) if smoke else [peer.name for peer in PEERS.values() if not peer.asked])
    chosen = _installed([PEERS[name] for name in wanted])
    table = SMOKE if smoke else WORKLOADS
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # inherited; conns needs 6,000 in one process
    shuffle = random.Random(seed).shuffle
    results: list[Result] = []
    try:
        for number in range(rounds or (1 if smoke else 5)):
            for name in workloads or table:
                order = list(chosen)
                shuffle(order)
                for peer in order:
                    pin = table[name].pinned if pinned is None else pinned
                    result = run(Run(table[name], peer, number, pin, smoke, limit))
                    results.append(result)
                    click.echo(line(result), err=True)
    except KeyboardInterrupt:
        click.echo("interrupted: what follows is what there is", err=True)
    if json_file:
        json_file.write_text(json.dumps({"machine": _machine(), "results": [asdict(result) for result in results]}))
    if not smoke:
        show(Results(results), console)
    broken = sum(bool(result.problems) for result in results)
    click.echo(f"{len(results)} runs, {broken} not whole", err=True)
    sys.exit(1 if broken or not results else 0)


def _installed(peers: list[Peer]) -> list[Peer]:
    for peer in peers:
        if not peer.installed():
            click.echo(f"skipped: {peer.name} is not installed ({peer.install})", err=True)
    return [peer for peer in peers if peer.installed()]


def _machine() -> dict[str, object]:
    """What the figures hold for."""
    return {"system": platform.platform(), "python": platform.python_version(), "cpus": os.cpu_count()}


if __name__ == "__main__":
    main()
