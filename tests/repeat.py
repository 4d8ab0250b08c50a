"""Runs the tests that depend on when processes do something, again and again: `python -m tests.repeat --times 10`.

Each round has an order of its own; the first that fails is the last, and ends with its seed. Further arguments are pytest's:
`python -m tests.repeat --times 20 tests/relay/test_killed.py`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.repeat", description="Repeat the flaky-prone tests.")
    parser.add_argument("--times", type=int, default=10, help="rounds (default: 10)")
    options, rest = parser.parse_known_args()
    for number in range(1, options.times + 1):
        print(f"round {number} of {options.times}", flush=True)
        status = subprocess.call([sys.executable, "-m", "pytest", "-q", "-m", "flaky_prone", "--numprocesses=2", *rest])
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
