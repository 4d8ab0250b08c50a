"""One run: one workload through one peer, from an empty folder to a result.

Strategy: everything fresh (echo server, proxy, load generator, folder), so that no run inherits another's memory or
files. The load generator stops twice for us: when its streams are open and warm (we read the proxy's CPU), and when the
last frame is back (CPU and memory, streams still open). Recordings are checked after the proxy has ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import recordings
from .measure import cpu_ns, memory_kib, one_cpu
from .peers import ECHO, ROOT, NotReady, Peer, Running, last_output, started
from .workloads import Workload

METRICS = ("rtt_p50_us", "rtt_p99_us", "rtt_mean_us", "frames_s", "mb_s")


@dataclass(frozen=True)
class Run:
    """What is to be run. `number` is the round; it and the names make the streams' ids."""

    workload: Workload
    peer: Peer
    number: int
    pinned: bool
    smoke: bool
    limit: float


@dataclass
class Result:
    """What came of it. `metrics` is empty when the run broke; `problems` says what is not whole."""

    workload: str
    peer: str
    round: int
    pinned: bool
    metrics: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def run(plan: Run) -> Result:
    result = Result(plan.workload.name, plan.peer.name, plan.number, plan.pinned)
    with tempfile.TemporaryDirectory(prefix="wsproxy-bench-") as name, one_cpu(plan.pinned):
        folder = Path(name)
        proxy: Running | None = None
        try:
            with ExitStack() as stack:
                echo = stack.enter_context(started(ECHO, 0, folder / "echo"))
                if plan.peer.name != "none":
                    proxy = stack.enter_context(started(plan.peer, echo.port, folder / plan.peer.name))
                sent = drive(plan, proxy or echo, proxy, result)
        except (NotReady, OSError, json.JSONDecodeError, subprocess.TimeoutExpired) as exc:
            result.problems.append(f"{type(exc).__name__}: {exc}")
            return result
        if proxy:
            result.problems += proxy.trouble
            if plan.peer.verified:
                result.problems += _said(proxy.site.folder)
                result.problems += recordings.check(proxy.site.recordings, sent)
    return result


def drive(plan: Run, target: Running, proxy: Running | None, result: Result) -> dict[str, int]:
    """Run the load generator against `target`, fill the result, return what each stream sent."""
    memory_before = memory_kib(proxy.pid) if proxy else 0
    with _load_generator(plan, target.port) as load:
        _phase(load, "ready")
        cpu_before = cpu_ns(proxy.pid) if proxy else 0
        _go(load)
        done = _phase(load, "done")
        if proxy:
            cpu = cpu_ns(proxy.pid) - cpu_before
            memory = memory_kib(proxy.pid) - memory_before
        _go(load)
        load.wait(60)
    result.problems += done["errors"]
    if not done["errors"]:
        result.metrics = {name: float(done[name]) for name in METRICS}
        result.metrics["kept_up"] = float(done["kept_up"])
        if proxy:
            result.metrics["cpu_us_frame"] = cpu / 1e3 / (2 * done["round_trips"])
            result.metrics["kib_stream"] = memory / plan.workload.streams
    return dict(done["sent"])


@contextmanager
def _load_generator(plan: Run, port: int) -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable, "-m", f"{__package__}.load", "--port", str(port), "--workload", plan.workload.name,
        "--name", f"{plan.workload.name}{plan.number}", "--share", str(plan.peer.share), "--limit", str(plan.limit),
        *(["--smoke"] if plan.smoke else []),
    ]  # fmt: skip
    load = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(2 * plan.limit + 60, load.kill)
    watchdog.start()
    try:
        yield load
    finally:
        watchdog.cancel()
        if load.poll() is None:
            load.kill()
        load.communicate()


def _phase(load: subprocess.Popen[str], expected: str) -> dict[str, Any]:
    assert load.stdout is not None
    line = load.stdout.readline()
    if not line:
        raise NotReady(f"the load generator ended before it was {expected}")
    message: dict[str, Any] = json.loads(line)
    return message


def _go(load: subprocess.Popen[str]) -> None:
    assert load.stdin is not None
    load.stdin.write("go\n")
    load.stdin.flush()


def _said(folder: Path) -> list[str]:
    """A quiet recorder that prints something has lost something, unless it says that a disk stalled and took everything later."""
    lines = (folder / "output.txt").read_text(errors="replace").strip().splitlines()
    harmless = all("the disk has stalled" in line or "nothing is lost" in line for line in lines)
    return [] if harmless else [f"printed: {last_output(folder)}"]
