"""A soak of some seconds: every behaviour at least once, nothing lost, nothing left behind. Times are not looked at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .plans import CLIENT, SERVER, plan

pytest.importorskip("uvloop", reason="both peers run on it")

ROOT = Path(__file__).parents[2]
SEED = 3
LAPS = 100  # connections of the two laps below


def test_two_laps_leave_nothing_behind_and_every_byte_is_recorded() -> None:
    command = [sys.executable, "-m", "tests.soak", "--minutes", "0", "--seed", str(SEED), "--lap", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"seed {SEED}: 2 laps, {LAPS} connections" in done.stdout


def test_these_laps_hold_every_behaviour() -> None:
    plans = [plan(SEED, number) for number in range(LAPS)]
    assert len({one.kind for one in plans}) == 12
    assert {(one.ending.side, one.ending.how) for one in plans} >= {
        (side, how) for side in (CLIENT, SERVER) for how in ("fin", "close", "reset")
    }
    assert any(one.ending.early is not None for one in plans)
    assert any(len(one.parts) > 1 for one in plans)
    assert any(one.marks for one in plans)


def test_a_plan_is_the_same_whoever_makes_it() -> None:
    assert plan(SEED, 17) == plan(SEED, 17)
    assert plan(SEED, 17) != plan(SEED + 1, 17)
