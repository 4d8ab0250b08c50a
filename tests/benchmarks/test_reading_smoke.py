"""The benchmark of trace and diagnose as a test: every verdict is right. Times are not looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_verdict_on_a_generated_recording_is_right() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.reading", "--smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
