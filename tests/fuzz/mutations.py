"""Fuzzing by mutation, as a process of its own: its bounds hold for all that it does."""

from __future__ import annotations

import sys
from pathlib import Path

from .runner import bound_memory, load, run


def main(name: str, seconds: float, seed: int, crashes: Path, at_least: int = 1) -> int:
    target = load(name)
    bound_memory()
    result = run(target, seconds, seed, crashes, at_least)
    print(f"{name}: by mutation, {result.executions} executions in {result.seconds:.1f} s", flush=True)
    if result.crash is not None:
        print(f"crash: {result.crash}\n{result.error}", flush=True)
    return int(result.crash is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), *map(int, sys.argv[5:])))
