"""A client of the pipeline, message by message, and an upstream process that can be killed and started again."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from websockets.exceptions import InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from tests.analysis.stories import words
from tests.relay.raw import DEADLINE

ROOT = Path(__file__).parents[2]
CHUNKS = words(6)
START = {"type": "START", "data": {"model": "demo", "messages": []}}


class ControlPlane:
    """A process at a port of its own, which it keeps over restarts."""

    scheme = "ws"

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.faults.control_plane", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "listening\n"

    def end(self, how: signal.Signals) -> None:
        """Gone when this returns."""
        self._process.send_signal(how)
        self._process.wait(DEADLINE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def close(self) -> None:
        if self._process.poll() is None:
            self.end(signal.SIGKILL)


class Talk:
    """One stream through a relay."""

    def __init__(self, port: int, stream: str) -> None:
        self.socket: ClientConnection = connect(
            f"ws://127.0.0.1:{port}/stream/{stream}", compression=None, ping_interval=None, close_timeout=DEADLINE
        )
        self.say(START)

    def say(self, message: dict[str, Any]) -> None:
        self.socket.send(json.dumps(message))

    def ask(self, chunk: dict[str, Any]) -> None:
        """A chunk up, and down again."""
        self.say({"type": "CHUNK", "data": chunk})
        assert json.loads(self.socket.recv(DEADLINE)) == {"type": "CHUNK", "data": chunk}

    def finish(self) -> None:
        self.say({"type": "END"})
        assert json.loads(self.socket.recv(DEADLINE)) == {"type": "END"}
        self.socket.close()


def whole(port: int, stream: str) -> None:
    """A stream from START to END."""
    talk = Talk(port, stream)
    for chunk in CHUNKS:
        talk.ask(chunk)
    talk.finish()


def refused(port: int, stream: str) -> None:
    """An attempt that gets the relay's 502."""
    with contextlib.suppress(InvalidHandshake):
        Talk(port, stream)
        raise AssertionError("it was accepted")
