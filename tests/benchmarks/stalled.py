"""`python -m tests.benchmarks.stalled`: what a disk that stalls costs the traffic, and what the standby costs while none does.

Strategy: a real `wsproxy record` on a disk that a stand-in for the C library makes block (`tests/relay/faulty_disk.c`). One connection plays
ping-pong through a stall; the longest round trip is the pause that its peer sees. Its first frame in a stall is the one whose write is stuck. The
same relay without its standby thread stands beside it for the cost. Every recording must be whole: that decides the exit status, time never does.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from timeit import repeat

import click

import wsproxy
from wsproxy.analysis.exactness import check

from ..relay.raw import ACCEPTED, MASK, frame, upgrade
from .measure import cpu_ns
from .peers import PEERS, ROOT, Peer, Running, started

_SHIM = ROOT / "tests" / "relay" / "faulty_disk.c"
_PAYLOAD = b"x" * 300
_ALONE = "import sys; from wsproxy.relay.standby import Standby; Standby.start = lambda _: None; from wsproxy.cli import main; main()"
_HOT = """\
disk = writer.disk
if not disk.inline:
    pass
disk.call = writer
disk.call = None
if disk.taken:
    pass
"""
_SETUP = """\
from wsproxy.recording.disk import Disk
class Writer:
    __slots__ = ("disk",)
writer = Writer()
writer.disk = Disk()
"""


def alone() -> Peer:
    """The relay without its standby."""
    peer = PEERS["wsproxy"]

    def command(site: object) -> list[str]:
        _, _, _, *options = peer.command(site)  # type: ignore[arg-type]
        return [sys.executable, "-c", _ALONE, *options]

    return Peer("wsproxy-alone", "wsproxy record without its standby", peer.install, peer.installed, command)


@contextmanager
def relay(peer: Peer, folder: Path, shim: Path | None = None) -> Iterator[tuple[Running, socket.socket, socket.socket]]:
    """A relay, and a WebSocket through it: (client's end, server's end)."""
    environment = {
        "LD_PRELOAD": str(shim),
        "FAULTY_FOLDER": str(folder / "recordings"),
        "FAULTY_HOW": str(folder / "how"),
    }
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        os.environ |= environment if shim else {}
        try:
            running = stack.enter_context(started(peer, listener.getsockname()[1], folder))
        finally:
            for name in environment if shim else ():
                del os.environ[name]
        client = stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))
        server, _ = listener.accept()
        stack.enter_context(server)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asked = upgrade("/stream/s")
        client.sendall(asked)
        read(server, len(asked))
        server.sendall(ACCEPTED)
        read(client, len(ACCEPTED))
        yield running, client, server
        client.close()
        server.close()


def read(sock: socket.socket, size: int) -> None:
    while size > 0:
        data = sock.recv(size)
        if not data:
            raise ConnectionError("the relay closed a connection")
        size -= len(data)


def round_trip(client: socket.socket, server: socket.socket) -> float:
    """Seconds that a frame and its answer took."""
    up, down = frame(_PAYLOAD, mask=MASK), frame(_PAYLOAD)
    began = time.perf_counter()
    client.sendall(up)
    read(server, len(up))
    server.sendall(down)
    read(client, len(down))
    return time.perf_counter() - began


def pauses(folder: Path, shim: Path, stalls: int, seconds: float) -> tuple[list[float], list[int], bool]:
    """(the longest round trip of each stall, how many were made in it, whether the recording is whole)."""
    longest: list[float] = []
    made: list[int] = []
    with relay(PEERS["wsproxy"], folder, shim) as (running, client, server):
        for _ in range(stalls):
            for _ in range(1000):
                round_trip(client, server)
            does(folder, "block write")
            until = time.perf_counter() + seconds
            trips: list[float] = []
            while time.perf_counter() < until:
                trips.append(round_trip(client, server))
            does(folder, "")
            trips += [round_trip(client, server) for _ in range(100)]
            longest.append(max(trips))
            made.append(len(trips))
            until = time.perf_counter() + 1.3
            while time.perf_counter() < until:  # until it is inline again
                round_trip(client, server)
                time.sleep(0.01)
    (path,) = running.site.recordings.iterdir()
    return longest, made, not check(wsproxy.open(path).events()).problems


def does(folder: Path, how: str) -> None:
    (folder / "how.new").write_text(how)
    (folder / "how.new").replace(folder / "how")


def cpu_per_hour(peer: Peer, folder: Path, seconds: float) -> float:
    """Seconds of CPU that a relay with one silent connection takes in an hour."""
    with relay(peer, folder) as (running, _, _):
        time.sleep(1)
        began, used = time.perf_counter(), cpu_ns(running.pid)
        time.sleep(seconds)
        return (cpu_ns(running.pid) - used) / 1e9 / (time.perf_counter() - began) * 3600


@click.command(help="What a stalled disk costs the traffic. Exit status: 0 all recordings whole, 1 not.")
@click.option("--stalls", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--seconds", type=float, default=3.0, show_default=True, help="Of each.")
@click.option("--idle", type=float, default=30.0, show_default=True, help="Seconds of the idle relays; 0 for none.")
def main(stalls: int, seconds: float, idle: float) -> None:
    empty, hot = (min(repeat(code, _SETUP, number=200_000, repeat=25)) * 5e3 for code in ("pass", _HOT))
    click.echo(f"hot path      {hot - empty:.0f} ns per write")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise click.UsageError("a C compiler makes the stand-in for the disk: apt-get install gcc")
    with tempfile.TemporaryDirectory(prefix="wsproxy-bench-") as name:
        folder = Path(name)
        shim = folder / "faulty_disk.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", shim, _SHIM, "-ldl"], check=True)
        if idle:
            for peer in (PEERS["wsproxy"], alone()):
                click.echo(
                    f"idle          {cpu_per_hour(peer, folder / peer.name, idle):.1f} s of CPU per hour: {peer.name}"
                )
        longest, made, whole = pauses(folder / "stalled", shim, stalls, seconds)
    ms = sorted(1e3 * pause for pause in longest)
    click.echo(
        f"longest pause {statistics.median(ms):.0f} ms at the median of {stalls} stalls of {seconds:g} s, "
        f"{ms[0]:.0f} at least, {ms[-1]:.0f} at most; {statistics.median(made):,.0f} round trips in each"
    )
    click.echo("the recording is whole" if whole else "THE RECORDING IS NOT WHOLE")
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
