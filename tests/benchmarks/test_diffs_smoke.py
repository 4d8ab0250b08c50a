"""The benchmark of diff as a test: every answer is right. Times are not looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_answer_on_generated_recordings_is_right() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.diffs", "--smoke"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
