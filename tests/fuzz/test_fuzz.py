"""A few seconds of fuzzing for each target: it runs, within its bounds, and finds nothing. `python -m tests.fuzz` is the long run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .runner import CORPUS, LONGEST, TARGETS, Target, load, run, seeds

SECONDS = 2.0


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs_break_nothing(name: str, tmp_path: Path) -> None:
    at_least = len(seeds(name)) + 100
    command = [sys.executable, "-m", "tests.fuzz.mutations", name, str(SECONDS), "1", str(tmp_path), str(at_least)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    executions = int(done.stdout.split(" executions")[0].split()[-1])
    assert executions >= at_least
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", TARGETS)
def test_corpus_is_small_and_every_seed_passes(name: str) -> None:
    target = load(name)
    for data in seeds(name):
        assert len(data) <= LONGEST
        target.check(data)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*")) < 256 << 10


def test_an_input_that_raises_is_kept_and_told(tmp_path: Path) -> None:
    def check(data: bytes) -> None:
        assert b"\xff" not in data, "it has been found"

    result = run(Target("reader", check, [b"\xff"]), 60.0, 1, tmp_path)
    assert result.crash is not None and b"\xff" in result.crash.read_bytes()
    assert "it has been found" in result.error


def test_an_input_that_takes_too_long_is_a_crash(tmp_path: Path) -> None:
    def check(data: bytes) -> None:
        while True:
            pass

    result = run(Target("reader", check, [b"x"]), 60.0, 1, tmp_path)
    assert (result.executions, result.crash is not None) == (1, True)
    assert "TooSlow" in result.error


def test_an_input_that_takes_too_much_memory_is_a_crash(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.fuzz.runner import *; bound_memory();"
        "print(run(Target('reader', lambda data: bytearray(1 << 30), [b'x']), 60.0, 1, Path(sys.argv[1])).error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "MemoryError" in done.stdout, done.stderr
