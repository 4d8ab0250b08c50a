"""A place where wsproxy may be run, and what must hold in every one: it records, the recording is whole, `verify` and `show` work there too.

Strategy: a place is how the program is started: words before it, its environment, its working directory. The conversation is between two raw
peers of ours, outside; the program inside is a real process.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wsproxy
from tests.relay.raw import ACCEPTED, DEADLINE, MASK, Peer, RawServer, close_frame, frame, upgrade
from tests.relay.relay_process import assert_passed

ROOT = Path(__file__).parents[2]
SAID = "grüße → 漢字"
START = 30.0  # seconds until it listens; on a busy machine


@dataclass(frozen=True)
class Place:
    """How wsproxy is started.

    Attributes:
        command: the program; what comes before its own arguments.
        environment: the whole of it.
        redirect: what a shell does to its descriptors: ">&-".
        options: of Popen.
    """

    command: tuple[str, ...] = (sys.executable, "-m", "wsproxy")
    environment: dict[str, str] = field(default_factory=lambda: {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]})
    cwd: Path | str | None = None
    redirect: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, *args: str | Path) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return subprocess.run(
            self._line(*args),
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=60,
            env=self.environment,
            cwd=self.cwd,
            **self.options,
        )

    @contextmanager
    def recording(self, upstream: RawServer, *options: str, status: int = 0) -> Iterator[Recorder]:
        """`wsproxy record` for as long as the context lasts; it must end with this status."""
        ready, ready_end = os.pipe()
        addresses = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--ready-fd", str(ready_end)]
        process = subprocess.Popen(
            self._line("record", "--upstream", f"ws://127.0.0.1:{upstream.port}", *addresses, *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
            pass_fds=[ready_end],
            env=self.environment,
            cwd=self.cwd,
            **self.options,
        )
        os.close(ready_end)
        try:
            with os.fdopen(ready) as pipe:
                assert select.select([pipe], [], [], START)[0], "it says nothing"
                line = pipe.readline()
            assert line, process.communicate(timeout=DEADLINE)
            recorder = Recorder(process, json.loads(line)["port"], upstream)
            yield recorder
            os.kill(innermost(process.pid), signal.SIGTERM)
            recorder.out, recorder.err = process.communicate(timeout=DEADLINE)
            assert process.returncode == status, recorder.err
            assert "Traceback" not in recorder.err
        finally:
            if process.poll() is None:
                os.kill(innermost(process.pid), signal.SIGKILL)
                process.communicate()

    def _line(self, *args: str | Path) -> list[str]:
        words = [*self.command, *map(str, args)]
        return ["/bin/sh", "-c", f'exec "$@" {self.redirect}', "sh", *words] if self.redirect else words


@dataclass
class Recorder:
    """A relay that runs, and what it has printed when it has ended."""

    process: subprocess.Popen[str]
    port: int
    upstream: RawServer
    out: str = ""
    err: str = ""

    def open(self, target: str) -> tuple[Peer, Peer]:
        """A WebSocket through it: (client's end, server's end)."""
        client = Peer(socket.create_connection(("127.0.0.1", self.port), DEADLINE))
        server = self.upstream.accept()
        client.send(upgrade(target))
        server.read_head()
        server.send(ACCEPTED)
        client.read(len(ACCEPTED))
        return client, server


def innermost(pid: int) -> int:
    """The process itself, behind programs that wait for it (unshare)."""
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        (pid,) = map(int, children)
    return pid


def say(sender: Peer, receiver: Peer, text: str, *, mask: bytes | None = None) -> None:
    data = frame(text.encode(), mask=mask)
    sender.send(data)
    receiver.read(len(data))


def finish(client: Peer, server: Peer) -> None:
    """The close handshake and both FINs."""
    for sender, receiver, data in (
        (client, server, close_frame(1000, "done", mask=MASK)),
        (server, client, close_frame(1000, "done")),
    ):
        sender.send(data)
        receiver.read(len(data))
    server.close()
    client.read_to_fin()
    client.close()


def assert_works(place: Place, upstream: RawServer, folder: Path, *options: str, out: str | None = None) -> Recorder:
    """It records a conversation exactly; `verify`, `show` and `ls`, in the same place, tell of it.

    Args:
        folder: where the recordings are, seen from here.
        out: the same, seen from there.
    """
    there = out or str(folder)
    with place.recording(upstream, "--out", there, *options) as recorder:
        client, server = recorder.open("/stream/odd")
        say(client, server, SAID, mask=MASK)
        say(server, client, SAID)
        finish(client, server)
    (path,) = folder.glob("*Z-odd.msgpack")
    recording = wsproxy.open(path)
    assert_passed(recording, client, server)
    assert [m.text for m in recording.messages() if m.opcode == 1] == [SAID, SAID]
    assert_read(place, there)
    return recorder


def assert_read(place: Place, folder: str) -> None:
    """The three commands that read, in this place."""
    for command in (("verify", "@last", "--dir", folder), ("show", "@last", "--dir", folder), ("ls", folder)):
        done = place.run(*command)
        assert done.returncode == 0, (command, done)
        assert done.stderr == ""
        if ">&-" not in place.redirect.replace("2>&-", ""):
            assert "odd" in done.stdout, (command, done.stdout)
