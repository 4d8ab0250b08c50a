"""Runs the real command, as a person does: a process, its two outputs, its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

SAMPLES = Path(__file__).parents[2] / "recordings" / "samples"
DEADLINE = 60


class Done(NamedTuple):
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON objects of its output, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def wsproxy(*args: str | Path, cwd: Path | None = None, **environment: str) -> Done:
    """Run `wsproxy ARGS` in a pipe; `environment` is added to ours."""
    done = subprocess.run(
        [sys.executable, "-m", "wsproxy", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def assert_trouble(done: Done, *words: str) -> None:
    """One line on standard error with these words, nothing else said, exit status 2."""
    assert done.status == 2, done
    assert done.out == ""
    assert len(done.err.splitlines()) == 1, done.err
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err
