"""As PID 1, and with a clock that is set while it records."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import wsproxy
from tests.relay.raw import MASK, RawServer
from tests.relay.relay_process import assert_passed

from .place import ROOT, Place, assert_works, finish, innermost, say

HOUR = 3600 * 10**9


def test_as_process_1_it_hears_signals_and_ends_well(upstream: RawServer, tmp_path: Path) -> None:
    if os.getuid() != 0 or not shutil.which("unshare"):
        pytest.skip("a PID namespace needs root and unshare")
    command = ("unshare", "--fork", "--pid", "--mount-proc", *Place().command)
    place = Place(command)
    with place.recording(upstream, "--out", str(tmp_path / "seen")) as recorder:
        status = Path(f"/proc/{innermost(recorder.process.pid)}/status").read_text()
        assert next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1] == "1"
    assert_works(place, upstream, tmp_path / "out")


def faketime_library() -> Path:
    for path in Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"):
        return path
    reason = "no libfaketime: apt-get install libfaketime"
    pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


def test_a_clock_that_is_set_while_it_records_moves_no_event(upstream: RawServer, tmp_path: Path) -> None:
    clock, out = tmp_path / "clock", tmp_path / "out"

    def set_clock(offset: str) -> None:
        (tmp_path / "new").write_text(offset)
        os.replace(tmp_path / "new", clock)

    set_clock("+0s")
    environment = {
        "PYTHONPATH": str(ROOT),
        "PATH": os.environ["PATH"],
        "LD_PRELOAD": str(faketime_library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # as a kernel does it: only the wall clock is set
    }
    with Place(environment=environment).recording(upstream, "--out", str(out)) as recorder:
        client, server = recorder.open("/stream/odd")
        for offset in ("-3600s", "+172800s", "-3600s"):
            set_clock(offset)
            say(client, server, f"it is {offset}", mask=MASK)
            say(server, client, f"so it is {offset}")
        later = recorder.open("/stream/later")
        finish(*later)
        finish(client, server)
    recordings = {rec.header.stream_id: rec for path in out.iterdir() for rec in [wsproxy.open(path)]}
    assert_passed(recordings["odd"], client, server)
    assert_passed(recordings["later"], *later)
    times = [event.t for event in recordings["odd"].events()]
    assert times == sorted(times)
    assert times[0] >= 0 and times[-1] < HOUR // 2  # no event has moved by the hour
    told = recordings["odd"].header.start_wall_ns - recordings["later"].header.start_wall_ns
    assert HOUR // 2 < told < 3 * HOUR // 2  # the later one started an hour earlier by the clock, and says so
