"""The benchmarks as a test: every workload through every peer that is installed, seconds long. Times are not looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("picows", reason="the load generator needs it")
pytest.importorskip("uvloop", reason="the load generator needs it")

ROOT = Path(__file__).parents[2]


def test_every_payload_comes_back_and_is_recorded() -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "--smoke", "--limit", "60"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
