"""The benchmark of all that reads as a test: every answer is right. Times are not looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_command_says_of_generated_recordings_what_is_in_them() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.at_scale", "--smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
