"""One reader that does not read, beside others: they get everything, and the relay keeps nothing for it. Times are not looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("picows", reason="the load generator needs it")
pytest.importorskip("uvloop", reason="the load generator needs it")

ROOT = Path(__file__).parents[2]


def test_a_reader_that_does_not_read_costs_the_others_nothing_and_the_relay_no_memory() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.slow_reader", "--smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "with a slow reader: relay grew by" in done.stdout
