"""Every benchmark as a test, seconds long: nothing is lost, every answer is right. Times are not looked at.

That of all peers, `tests.benchmarks --smoke`, takes longest and is a step of `.ci/run` of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = {
    "every frame and every marker is recorded": ["tests.benchmarks.marked", "--beside", "latency,paced50"],
    "the others of a slow reader get everything and the relay keeps nothing": ["tests.benchmarks.slow_reader"],
    "all ways of the hot path make the same": ["tests.benchmarks.choices"],
    "every verdict on a generated recording is right": ["tests.benchmarks.reading"],
    "every command says of generated recordings what is in them": ["tests.benchmarks.at_scale"],
    "every diff of generated recordings is right": ["tests.benchmarks.diffs"],
}


@pytest.mark.parametrize("holds", BENCHMARKS)
def test_smoke(holds: str) -> None:
    command = [sys.executable, "-m", *BENCHMARKS[holds], "--smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
