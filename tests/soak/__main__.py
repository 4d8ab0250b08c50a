"""`python -m tests.soak`: a relay between peers of every behaviour, for minutes or hours; nothing may be lost or left behind.

Strategy: a real `wsproxy record`, a process of clients, one of servers, and this one, which reads. In laps: some hundred connections of all kinds,
side by side, then quiet. When the relay is idle its counts must be what they were before; every recording is read, proved, compared with what
was said and heard, and removed. So disk and memory are bounded however long it runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any, cast

from tests.relay.raw import RawServer
from tests.relay.relay_process import RelayProcess

from .ledger import Ledger
from .plans import LAP
from .samples import Sample, Samples, grown

ROOT = Path(__file__).parents[2]
SAMPLE_SECONDS = 2.0
BASE_LAPS = 1  # before the counts are taken that must come again
STEP_SECONDS = 120.0  # for the answer of a process
DISK_LIMIT = "8GB"  # a last resort: a lap leaves some 50 MB


class Part:
    """A process that is told something by a line, and answers with one."""

    def __init__(self, module: str, *options: str) -> None:
        self._name = module
        command = [sys.executable, "-m", f"{__package__}.{module}", *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hear(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process {self._name} has ended")
        return json.loads(line)

    def ask(self, order: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.hear()

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class Soak:
    """One relay, and what goes through it.

    Args:
        rate: connections a second while a lap begins.
        seconds: for which they begin.
        options: further options of `wsproxy record`.
    """

    def __init__(
        self, seed: int, rate: float, seconds: float, folder: Path, stack: ExitStack, options: list[str]
    ) -> None:
        self._count = max(LAP, round(rate * seconds / LAP) * LAP)
        self._seconds = seconds
        self._folder = folder
        self._server = stack.enter_context(Part("server", "--seed", str(seed)))
        upstream = cast(RawServer, SimpleNamespace(port=self._server.hear(), scheme="ws"))
        self.relay = stack.enter_context(RelayProcess(upstream, folder, "--max-bytes", DISK_LIMIT, *options))
        ports = ("--port", str(self.relay.port), "--control", str(self.relay.control_port))
        self._load = stack.enter_context(Part("load", "--seed", str(seed), *ports))
        self.ledger = Ledger(seed)
        self.samples = Samples(self.relay)
        self._base: Sample | None = None
        self.laps = 0

    def lap(self) -> None:
        """Play, wait until the relay is idle, read and remove what it recorded."""
        order = {"first": self.laps * self._count, "count": self._count, "seconds": self._seconds}
        over = Event()
        watching = Thread(target=self._watch, args=(over,))
        watching.start()
        try:
            played = self._load.ask(order)
        finally:
            over.set()
            watching.join()
        self.laps += 1
        idle = self.samples.settled(self._base)
        heard = self._server.ask("end")
        for sentence in played["problems"] + [f"number {n} has not ended for its server" for n in heard["left"]]:
            self.ledger.wrong(sentence)
        self.ledger.played(
            {n: tuple(how) for n, how in played["results"]},
            {n: tuple(how) for n, how in heard["results"]},
            played["marked"],
        )
        if self._base is None and self.laps == BASE_LAPS:
            self._base = idle
        for sentence in grown(self._base, idle) if self._base else []:
            self.ledger.wrong(f"after lap {self.laps}, {sentence}")
        self._read(last=False)

    def end(self) -> None:
        """Stop the relay, read what is left, compare the sums."""
        counted = {
            name: self.relay.metric(name)
            for name in ("connections_total", "recorder_faults_total", "recording_gaps_total")
        }
        frames = sum(self.relay.metric(f'frames_total{{dir="{dir}"}}') for dir in ("c2s", "s2c"))
        self.relay.stop()
        self._read(last=True)
        ledger = self.ledger
        if frames != ledger.frames:
            ledger.wrong(f"the relay counts {frames:.0f} frames, recordings hold {ledger.frames}")
        if len(ledger.accepted) != counted["connections_total"]:
            ledger.wrong(
                f"{counted['connections_total']:.0f} connections were accepted, recordings know {len(ledger.accepted)}"
            )
        for name in ("recorder_faults_total", "recording_gaps_total"):
            if counted[name]:
                ledger.wrong(f"{name} is {counted[name]:.0f}")
        for line in self.relay.stderr:
            ledger.wrong(f"the relay said: {line}")

    def _read(self, *, last: bool) -> None:
        for path in sorted(self._folder.glob("*.msgpack")):
            if not last and "Z-http-" in path.name:
                continue  # exchanges of no stream: open until the end
            try:
                self.ledger.check(path)
            except Exception as error:
                self.ledger.wrong(f"{path.name}: {type(error).__name__}: {error}")
            path.unlink()
        self.ledger.settle(last=last)

    def _watch(self, over: Event) -> None:
        while not over.wait(SAMPLE_SECONDS):
            self.samples.take(idle=False)


def soak(seed: int, minutes: float, rate: float, seconds: float, options: list[str]) -> int:
    """Run it; the exit status."""
    with tempfile.TemporaryDirectory(prefix="wsproxy-soak-") as folder, ExitStack() as stack:
        run = Soak(seed, rate, seconds, Path(folder), stack, options)
        until = time.monotonic() + minutes * 60
        while run.laps <= BASE_LAPS or time.monotonic() < until:
            run.lap()
            if run.ledger.problems:
                break
        run.end()
        ledger = run.ledger
        print("\n".join(run.samples.table()))
        print(f"kinds: {', '.join(f'{kind} {count:,}' for kind, count in ledger.kinds.most_common())}")
        print(
            f"seed {seed}: {run.laps} laps, {ledger.connections:,} connections, {ledger.frames:,} frames, {ledger.bytes / 1e6:,.0f} MB, "
            f"{ledger.markers:,} markers, {ledger.recordings:,} recordings verified, {len(ledger.problems)} problems"
        )
        for sentence in ledger.problems:
            print(f"WRONG: {sentence}")
        return 1 if ledger.problems else 0


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    arguments.add_argument("--minutes", type=float, default=3.0)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--rate", type=float, default=60.0, help="connections a second while a lap begins")
    arguments.add_argument("--lap", type=float, default=6.0, help="seconds in which the connections of a lap begin")
    arguments.add_argument("options", nargs="*", metavar="OPTION", help="of wsproxy record, behind --")
    chosen = arguments.parse_args()
    return soak(chosen.seed, chosen.minutes, chosen.rate, chosen.lap, chosen.options)


if __name__ == "__main__":
    sys.exit(main())
