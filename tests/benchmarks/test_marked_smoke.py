"""The benchmark of markers beside frames as a test: every frame and every marker is recorded. Times are not looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("picows", reason="the load generator needs it")
pytest.importorskip("uvloop", reason="the load generator needs it")

ROOT = Path(__file__).parents[2]


def test_every_frame_and_every_marker_is_recorded() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.marked", "--smoke", "--beside", "latency,paced50"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
