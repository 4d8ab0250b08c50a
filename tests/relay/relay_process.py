"""A real `wsproxy record` process in front of a raw server, and what a test asks of it."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import wsproxy
from tests.strict import complaints
from wsproxy.analysis import exactness

from .raw import ACCEPTED, DEADLINE, Peer, RawServer, upgrade

PROGRAM = (sys.executable, "-m", "wsproxy", "record")
Limits = dict[int, tuple[int, int]]


class RelayProcess:
    """Starts a relay, ends it, and looks at what it did. A context manager.

    Args:
        upstream: the server that it relays to.
        out: the folder of the recordings; need not exist.
        options: further options of `wsproxy record`.
        limits: RLIMIT_… → (soft, hard), set in the relay alone.
        upstream_option, listen_option: whether it gets that option.
        cwd: where it runs, and looks for a configuration file.
        within: words before the command: another network namespace.

    Attributes:
        stderr: the lines that it has written to standard error so far.
        dial: makes a client's end of a connection to a port.
    """

    def __init__(
        self,
        upstream: RawServer,
        out: Path,
        *options: str,
        limits: Limits | None = None,
        upstream_option: bool = True,
        listen_option: bool = True,
        cwd: Path | None = None,
        within: tuple[str, ...] = (),
    ) -> None:
        self.upstream = upstream
        self.out = out
        self.stderr: list[str] = []
        self.dial = dial_plain
        self._heard = threading.Condition()
        ready, ready_end = os.pipe()
        scheme = getattr(upstream, "scheme", "ws")
        host = "localhost" if scheme == "wss" else "127.0.0.1"
        command = [*within, *PROGRAM, "--out", str(out)]
        command += ["--upstream", f"{scheme}://{host}:{upstream.port}"] if upstream_option else []
        command += ["--listen", "127.0.0.1:0"] if listen_option else []
        command += [] if "--live" in options else ["--quiet"]
        command += ["--control", "127.0.0.1:0", "--ready-fd", str(ready_end), *options]

        def set_limits() -> None:
            for what, both in (limits or {}).items():
                resource.setrlimit(what, both)

        self.process = subprocess.Popen(
            command,
            pass_fds=[ready_end],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=set_limits,
            cwd=cwd,
        )
        os.close(ready_end)
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()
        with os.fdopen(ready) as pipe:
            assert select.select([pipe], [], [], DEADLINE)[0], "the relay says nothing"
            line = pipe.readline()
        if not line:
            self.kill()
            raise AssertionError(f"the relay did not start: {self.stderr}")
        ports = json.loads(line)
        self.port: int = ports["port"]
        self.ports: list[int] = ports["ports"]
        self.control_port: int = ports["control_port"]

    def __enter__(self) -> RelayProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert not [line for line in self.stderr if "Traceback" in line or complaints(line)], self.stderr

    # --- its life ----------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status."""
        status = self.process.wait(DEADLINE)
        self._listening.join(DEADLINE)
        return status

    def stop(self) -> None:
        """SIGTERM, and it must end well. May be called again."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        assert self.wait() == 0, self.stderr

    def wait_until_deaf(self) -> None:
        """It has seen the signal: nothing listens on its port any more. (A connection as a probe would hold up its end.)"""
        listener = f":{self.port:04X} 00000000:0000 0A "
        deadline = time.monotonic() + DEADLINE
        while listener in Path(f"/proc/{self.pid}/net/tcp").read_text():
            assert time.monotonic() < deadline, "the relay still listens"

    def kill(self) -> None:
        """SIGKILL."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._heard:
                self.stderr.append(line.rstrip("\n"))
                self._heard.notify_all()
        self.process.stderr.close()

    def said(self, text: str) -> str:
        """The first line of standard error with `text` in it; waits for it."""

        def found() -> str | None:
            return next((line for line in self.stderr if text in line), None)

        with self._heard:
            self._heard.wait_for(found, DEADLINE)
            line = found()
        assert line is not None, f"{text!r} is not in {self.stderr}"
        return line

    # --- connections through it --------------------------------------------------------------------------------------

    def connect(self) -> tuple[Peer, Peer]:
        """A new connection: (client's end, server's end)."""
        return self.dial(self.port), self.upstream.accept()

    def open_websocket(self, target: str, *fields: str, answer: bytes = ACCEPTED) -> tuple[Peer, Peer]:
        """A new connection on which the handshake is done."""
        client, server = self.connect()
        client.send(upgrade(target, *fields))
        server.read_head()
        server.send(answer)
        client.read(len(answer))
        return client, server

    def control(self, path: str) -> tuple[int, str]:
        """(status, body) of a GET on the control port."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.control_port}{path}", timeout=DEADLINE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def health(self) -> tuple[int, dict[str, Any]]:
        status, body = self.control("/healthz")
        return status, json.loads(body)

    def metric(self, name: str) -> float:
        """The value of a metric, by its name with labels."""
        for line in self.control("/metrics")[1].splitlines():
            if line.startswith(f"wsproxy_{name} "):
                return float(line.split()[-1])
        raise AssertionError(f"no metric {name}")

    # --- what it uses ------------------------------------------------------------------------------------------------

    def rss(self) -> int:
        """Resident memory in bytes."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def limit(self, what: int, soft: int) -> None:
        """Change a soft limit of the running relay."""
        resource.prlimit(self.pid, what, (soft, resource.prlimit(self.pid, what)[1]))

    # --- what it recorded --------------------------------------------------------------------------------------------

    def files(self) -> list[str]:
        return sorted(os.listdir(self.out))

    def recordings(self) -> list[wsproxy.Recording]:
        return [wsproxy.open(self.out / name) for name in self.files()]

    def recording(self, stream_id: str) -> wsproxy.Recording:
        """The one recording of a stream, by the id in its header."""
        found = [rec for rec in self.recordings() if rec.header.stream_id == stream_id]
        assert len(found) == 1, f"{len(found)} recordings of {stream_id!r} among {self.files()}"
        return found[0]

    def recording_of_rest(self) -> wsproxy.Recording:
        """The recording of the exchanges that belong to no stream."""
        (name,) = (name for name in self.files() if "Z-http-" in name)
        return wsproxy.open(self.out / name)

    def only_recording(self) -> wsproxy.Recording:
        (rec,) = self.recordings()
        return rec


def dial_plain(port: int) -> Peer:
    """A client's end of a connection to a port of this machine."""
    return Peer(socket.create_connection(("127.0.0.1", port), DEADLINE))


def assert_whole(rec: wsproxy.Recording) -> exactness.Exactness:
    """A recording is finished and proved exact."""
    result = exactness.check(rec.events())
    assert result.problems == []
    assert rec.ending is not None and rec.ending.state == "finished", rec.ending
    return result


def assert_passed(rec: wsproxy.Recording, client: Peer, server: Peer, *, conn: int | None = None) -> None:
    """What each side sent reached the other, and stands in the recording, byte for byte."""
    assert_same(server.received, client.sent, "the server got")
    assert_same(client.received, server.sent, "the client got")
    assert_recorded(rec, client, server, conn=conn)


def assert_recorded(rec: wsproxy.Recording, client: Peer, server: Peer, *, conn: int | None = None) -> None:
    """What each side sent stands in the recording, byte for byte."""
    assert_whole(rec)
    assert_same(b"".join(rec.wire("c2s", conn=conn)), client.sent, "recorded c2s:")
    assert_same(b"".join(rec.wire("s2c", conn=conn)), server.sent, "recorded s2c:")


def assert_same(got: bytes | bytearray, sent: bytes | bytearray, what: str) -> None:
    """Equal bytes; a failure names the first difference instead of printing megabytes."""
    if got == sent:
        return
    at = next((n for n, (a, b) in enumerate(zip(got, sent, strict=False)) if a != b), min(len(got), len(sent)))
    raise AssertionError(
        f"{what} {len(got):,} bytes where {len(sent):,} were sent; they differ from byte {at:,}: "
        f"{bytes(got[at : at + 60])!r} instead of {bytes(sent[at : at + 60])!r}"
    )


def kinds(events: Iterable[object]) -> list[str]:
    """The names of the events' types, in order."""
    return [type(event).__name__ for event in events]
