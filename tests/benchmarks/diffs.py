"""`python -m tests.benchmarks.diffs`: what a diff of two long recordings costs, beside `git diff` on their JSON Lines.

Strategy: two recordings of as many messages, the second one the first with one in a hundred dropped, changed,
inserted or moved; in another row under other ids, as two runs of a real system have them; and two that have nothing
in common. git compares what `wsproxy show --json` prints of them, where every event number, time and id behind the
first edit differs: what it says is of no use, its cost is the measure. CPU time and memory are the kernel's figures
for each process; whether the answer is right decides the exit status, time never does.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from wsproxy.recording.events import Header
from wsproxy.recording.format import pack_event, pack_header
from wsproxy.wire.events import S2C

from .costs import WSPROXY, Command, Costs
from .long_recordings import STEP_NS, Wire, chunk
from .peers import ROOT

MESSAGES = 100_000
EDITED = 0.01
WORDS = [f"{first}{second}" for first in ("ka", "lo", "mi", "su", "te") for second in ("ra", "ne", "po", "vi", "du")]


def texts(count: int, seed: int) -> list[str]:
    """So many words, a few of them very often, as tokens of a language are."""
    draw = random.Random(seed)
    return [
        f"{WORDS[int(draw.paretovariate(1)) % len(WORDS)]}{int(draw.paretovariate(0.7)) % 900} " for _ in range(count)
    ]


def edited(said: list[str], seed: int) -> list[str]:
    """The same with one in a hundred dropped, changed, inserted or moved."""
    draw = random.Random(seed)
    out: list[str] = []
    for word in said:
        edit = draw.choice(["drop", "change", "insert", "move"]) if draw.random() < EDITED else None
        if edit == "drop":
            continue
        out.append(f"{word}! " if edit == "change" else word)
        if edit == "insert":
            out.append(f"new{draw.random()} ")
        elif edit == "move" and len(out) > 20:
            out.insert(-draw.randrange(2, 20), out.pop())
    return out


def write(path: Path, said: Iterable[str], id: str) -> None:
    """A recording of a compressed stream that says this, chunk by chunk."""
    wire = Wire(compressed=True)
    header = Header(path.stem, 1_700_000_000_000_000_000, 5_000, "boot", "wsproxy", "127.0.0.1:1", "ws://h:2")
    with path.open("wb") as file:
        file.write(pack_header(header) + b"".join(pack_event(event, 0) for event in wire.opens()))
        t = 0
        for number, word in enumerate(said, 1):
            t = number * STEP_NS
            message: dict[str, Any] = chunk(0) | {"id": id}
            choice = message["choices"][0]
            message["choices"] = [choice | {"delta": choice["delta"] | {"content": word}}]
            file.write(pack_event(wire.says(t, S2C, {"type": "CHUNK", "data": message}), 0))
        for event in wire.closes(t + STEP_NS):
            file.write(pack_event(event, 0))


def as_lines(recording: Path) -> Path:
    """What `wsproxy show --json` prints of a recording, as a file."""
    lines = recording.with_suffix(".jsonl")
    with lines.open("wb") as out:
        subprocess.run([*WSPROXY, "show", str(recording), "--json"], cwd=ROOT, stdout=out, check=True, timeout=600)
    return lines


@click.command(help="Measure diffs of long recordings. Exit status: 0 all answers right, 1 one was wrong.")
@click.option("--rounds", type=click.IntRange(1), default=None, help="How many; default 5, with --smoke 1.")
@click.option("--smoke", is_flag=True, help="Short recordings: the answers are right. No times.")
def main(rounds: int | None, smoke: bool) -> None:
    count = 1_000 if smoke else MESSAGES
    costs = Costs()
    with tempfile.TemporaryDirectory(prefix="wsproxy-bench-") as name:
        a, same, edits, renamed, other = (Path(name) / f"{stem}.msgpack" for stem in ("a", "b", "c", "d", "e"))
        said = texts(count, 1)
        write(a, said, "chatcmpl-0123456789abcdef")
        write(same, said, "chatcmpl-fedcba9876543210")
        write(edits, edited(said, 2), "chatcmpl-0123456789abcdef")
        write(renamed, edited(said, 2), "chatcmpl-fedcba9876543210")
        write(other, [f"{word}?" for word in reversed(said)], "chatcmpl-fedcba9876543210")
        rows = {
            "another run of the same": (same, "the same but for renamed ids"),
            "1 % edited": (edits, "B lost"),
            "1 % edited, other ids": (renamed, "B lost"),
            "nothing in common": (other, "B lost" if not smoke else None),
        }
        lines = {path: as_lines(path) for path in (a, same, edits, renamed, other)}
        for number in range(rounds or (1 if smoke else 5)):
            for row, (path, expected) in rows.items():
                git = ["git", "diff", "--no-index", "--stat", str(lines[a]), str(lines[path])]
                wsproxy = [*WSPROXY, "diff", "--summary", str(a), str(path)]
                costs.run(row, {"git": Command(git), "wsproxy": Command(wsproxy, expected)})
            click.echo(f"round {number + 1}", err=True)
    costs.end(show=not smoke)


if __name__ == "__main__":
    main()
