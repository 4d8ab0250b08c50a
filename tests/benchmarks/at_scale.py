"""`python -m tests.benchmarks.at_scale`: what every command that reads costs for 1,000,000 events, for 5 GB, and for a folder of 10,000.

Strategy: each command is a process of its own whose output goes to the null device (in the smoke run it is looked at); beside it, in the same
round, runs `floor.py`, which reads and unpacks the same files and does nothing else. Recordings are made by a process of its own, so that the
benchmark stays small, in a temporary folder: some 11 GB for a few minutes.
"""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from . import long_recordings
from .costs import FLOOR, WSPROXY, Command, Costs


class Scale(NamedTuple):
    events: int
    bytes: int
    files: int


FULL, SMOKE = Scale(1_000_000, 5_000_000_000, 10_000), Scale(2_000, 4_000_000, 20)
NEEDED = 3  # times the bytes of the large recording: two of them, and the rest


def commands_of_one(path: Path, other: Path, *, frames: bool) -> dict[str, tuple[list[str], str]]:
    """What is asked of a long recording, and what it must say."""
    differs = "differ" if frames else "the same"
    made: dict[str, tuple[list[str], str]] = {
        "show": (["show", str(path)], "1000 (normal)"),
        "show --json": (["show", str(path), "--json"], '"code": 1000'),
        "show --grep": (["show", str(path), "--grep", "in no message"], ""),
        "verify": (["verify", str(path)], "whole and exact"),
        "diagnose": (["diagnose", str(path)], "nothing lost"),
        "trace": (["trace", str(path)], "" if frames else "chunks"),
        "diff --summary": (["diff", "--summary", str(path), str(other)], differs),
    }
    if frames:
        del made["show --json"]  # 7 GB of base64
    return made


def commands_of_many(folder: Path) -> dict[str, tuple[list[str], str]]:
    """What is asked of a folder."""
    files = [str(path) for path in sorted(folder.iterdir())]
    return {
        "ls": (["ls", str(folder)], "1000 by client"),
        "ls --json": (["ls", str(folder), "--json"], '"state": "finished"'),
        "ls --limit 20": (["ls", str(folder), "--limit", "20"], "1000 by client"),
        "show @last": (["show", "@last", "--dir", str(folder)], "1000 (normal)"),
        "show by the start of its id": (["show", "9e3779b1", "--dir", str(folder)], "1000 (normal)"),
        "verify": (["verify", *files], "whole and exact"),
        "diagnose": (["diagnose", *files], "nothing lost"),
    }


def apart(work: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Do something in a process of its own, so that its memory is not ours."""
    process = multiprocessing.get_context("fork").Process(target=work, args=args, kwargs=options)
    process.start()
    process.join()
    if process.exitcode:
        raise click.ClickException("a recording could not be made")


@click.command(help="Measure all that reads. Exit status: 0 every answer right, 1 one was wrong, 2 trouble.")
@click.option("--rounds", type=click.IntRange(1), default=1, show_default=True, help="How many.")
@click.option("--smoke", is_flag=True, help="Short recordings: the answers are right. No times.")
@click.option("--only", type=click.Choice(["million", "bulk", "folder"]), multiple=True, help="Only these; repeatable.")
def main(rounds: int, smoke: bool, only: tuple[str, ...]) -> None:
    scale = SMOKE if smoke else FULL
    wanted = only or ("million", "bulk", "folder")
    costs = Costs()
    with tempfile.TemporaryDirectory(prefix="wsproxy-bench-") as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        if "bulk" in wanted and free < NEEDED * scale.bytes:
            raise click.UsageError(
                f"{free / 1e9:.0f} GB are free in {folder.parent}, {NEEDED * scale.bytes / 1e9:.0f} are needed"
            )
        rows: dict[str, tuple[list[str], dict[str, tuple[list[str], str]]]] = {}
        if "million" in wanted:
            path = folder / "million.msgpack"
            apart(long_recordings.write, path, "short chunks, some marked", scale.events)
            rows[f"{scale.events:,} events"] = [str(path)], commands_of_one(path, path, frames=False)
        if "bulk" in wanted:
            path, other = folder / "bulk.msgpack", folder / "other.msgpack"
            apart(long_recordings.write_bulk, path, scale.bytes)
            apart(long_recordings.write_bulk, other, scale.bytes, changed=1_000)
            rows[f"{scale.bytes / 1e9:g} GB in frames of 256 KiB"] = (
                [str(path)],
                commands_of_one(path, other, frames=True),
            )
        if "folder" in wanted:
            many = folder / "many"
            apart(long_recordings.write_folder, many, scale.files, 100)
            files = [str(path) for path in sorted(many.iterdir())]
            rows[f"a folder of {scale.files:,}, 100 events each"] = files, commands_of_many(many)
        for number in range(rounds):
            for row, (files, commands) in rows.items():
                made = {"floor": Command([*FLOOR, *files])}
                for what, (args, says) in commands.items():
                    made[what] = Command([*WSPROXY, *args], says if smoke else None)
                costs.run(row, made)
            click.echo(f"round {number + 1}", err=True)
    costs.end(show=not smoke)


if __name__ == "__main__":
    main()
