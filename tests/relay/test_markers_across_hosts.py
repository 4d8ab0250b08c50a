"""Markers from another host, whose clock is another one: they land in the stream's recording, at a time that is right within its stated bound."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest

import wsproxy
from wsproxy.recording.events import Marker
from wsproxy.wire.events import C2S, S2C, Frame

from .raw import DEADLINE
from .relay_process import PROGRAM
from .two_hosts import DOWN_SECONDS, QUESTIONS, ROOT, SKEW_SECONDS, STREAM, UP_SECONDS, Hosts, NotHere, role, two_hosts


@contextmanager
def running(command: list[str], **environment: str) -> Iterator[IO[str]]:
    """A process for as long as the block lasts; gives what it prints."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@contextmanager
def relay_on(hosts: Hosts, upstream: str, out: Path) -> Iterator[dict[str, int]]:
    """A relay on the near host; gives its ports."""
    ready, ready_end = os.pipe()
    command = [*hosts.near, *PROGRAM, "--upstream", f"ws://127.0.0.1:{upstream}", "--out", str(out), "--quiet"]
    command += ["--listen", f"{hosts.address}:0", "--control", f"{hosts.address}:0", "--ready-fd", str(ready_end)]
    process = subprocess.Popen(command, cwd=ROOT, pass_fds=[ready_end])
    os.close(ready_end)
    try:
        with os.fdopen(ready) as pipe:
            yield json.loads(pipe.readline())
        process.terminate()
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("kernel", ["another kernel", "our kernel in a time namespace"])
def test_the_time_of_a_marker_from_another_host_is_right_within_its_bound(kernel: str, tmp_path: Path) -> None:
    boot_id = None
    if kernel == "another kernel":
        boot_id = tmp_path / "boot_id"
        boot_id.write_text(f"{uuid.uuid4()}\n")
    out, heard = tmp_path / "out", tmp_path / "heard"
    with ExitStack() as stack:
        try:
            hosts = stack.enter_context(two_hosts(boot_id))
        except NotHere as why:
            if os.environ.get("CI") and os.geteuid() == 0 and "no program" in str(why):
                raise
            pytest.skip(str(why))
        server = stack.enter_context(running([*hosts.near, *role("server")]))
        with relay_on(hosts, server.readline().strip(), out) as ports:
            control = str(ports["control_port"])
            line = stack.enter_context(running([*hosts.near, *role("line", hosts.address, control, str(heard))]))
            markers_to = f"http://{hosts.address}:{line.readline().strip()}"
            done = subprocess.run(
                [*hosts.far, *role("client", f"ws://{hosts.address}:{ports['port']}/stream/{STREAM}")],
                cwd=ROOT, env=os.environ | {"WSPROXY_MARKERS": markers_to}, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    told = {number: (before, after) for number, before, after in map(json.loads, done.stdout.splitlines())}
    assert len(told) == QUESTIONS
    (path,) = out.iterdir()
    recording = wsproxy.open(path)
    events = list(recording.events())
    markers = {m.index: m for m in events if isinstance(m, Marker)}
    assert sorted(markers) == list(range(QUESTIONS))

    # The bound: half of the round trip that the sender stated, so at least half of the line's, and no larger than the trip itself.
    trips = [
        list(map(int, trip.split()))
        for trip in re.findall(rb"x-wsproxy-clock: \d+ (\d+ \d+ \d+ \d+)\r", heard.read_bytes())
    ]
    assert trips
    longest = max(t4 - t1 for t1, _, _, t4 in trips)
    for marker in markers.values():
        assert (UP_SECONDS + DOWN_SECONDS) / 2 * 1e9 <= marker.error_ns <= longest

    # The truth: the marking process's clock is ours and the skew.
    base = recording.header.start_mono_ns + SKEW_SECONDS * 1_000_000_000
    for number, (before, after) in told.items():
        marker = markers[number]
        assert marker.data == {"clock": before}
        assert before - base - marker.error_ns <= marker.t <= after - base + marker.error_ns

    # The order: each mark was made after its question had passed the relay and before the answer did.
    asked, answered = (
        [f.t for f in events if isinstance(f, Frame) and f.dir == dir and f.opcode == 1] for dir in (S2C, C2S)
    )
    for number, marker in markers.items():
        assert asked[number] - marker.error_ns <= marker.t <= answered[number] + marker.error_ns
