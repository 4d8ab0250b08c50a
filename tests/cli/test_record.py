"""What `wsproxy record` says while it runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect
from websockets.sync.server import Server, ServerConnection, serve

from .command import DEADLINE


@contextmanager
def echo_server() -> Iterator[int]:
    """A real server that echoes, and closes with 4001 when told "bye"; yields its port."""
    from threading import Thread

    def echo(ws: ServerConnection) -> None:
        for message in ws:
            ws.send(message)
            if message == "bye":
                ws.close(4001, "so long")

    server: Server
    with serve(echo, "127.0.0.1", 0) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


class Recorder:
    """A `wsproxy record` with its output in a file. Its port is known when it listens."""

    def __init__(self, upstream: int, folder: Path, *options: str) -> None:
        self.out = folder / "said"
        here, there = os.pipe()
        command = [sys.executable, "-m", "wsproxy", "record", "--upstream", f"ws://127.0.0.1:{upstream}"]
        command += ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--out", str(folder / "recordings")]
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [*command, "--ready-fd", str(there), *options], stdout=out, stderr=subprocess.STDOUT, pass_fds=[there]
            )
        os.close(there)
        with os.fdopen(here) as pipe:
            self.port: int = json.loads(pipe.readline())["port"]

    def stop(self) -> str:
        """What it said in all; it must end well."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(DEADLINE) == 0
        return self.out.read_text()


def talk(port: int, *messages: str) -> None:
    with connect(f"ws://127.0.0.1:{port}/stream/abc") as ws:
        for message in messages:
            ws.send(message)
            assert ws.recv() == message
        with pytest.raises(Exception, match="4001"):
            ws.recv()


def test_a_line_when_a_connection_opens_and_one_when_it_ends(tmp_path: Path) -> None:
    with echo_server() as upstream:
        recorder = Recorder(upstream, tmp_path)
        talk(recorder.port, "hello", "bye")
        said = recorder.stop()
    lines = said.splitlines()
    assert f"127.0.0.1:{recorder.port}" in lines[0] and f"ws://127.0.0.1:{upstream}" in lines[0]
    opened = next(line for line in lines if " open " in line)
    ended = next(line for line in lines if " end " in line)
    assert "/stream/abc" in opened and "from 127.0.0.1" in opened
    assert re.search(
        r"/stream/abc  101  → 3 frames .* ← 3 frames .*  \d+\.\d{3} s  closed 4001 \(private\) by server: so long  .*abc\.msgpack$",
        ended,
    )
    assert "\x1b" not in said


def test_live_prints_each_message_and_quiet_nothing(tmp_path: Path) -> None:
    with echo_server() as upstream:
        for folder in ("live", "quiet"):
            (tmp_path / folder).mkdir()
        live = Recorder(upstream, tmp_path / "live", "--live")
        talk(live.port, '{"type": "CHUNK", "data": {"choices": [{"delta": {"content": "pst"}}]}}', "bye\x1b[2J"[:3])
        said = live.stop()
        assert re.search(r'→ CHUNK .*"pst"', said)
        assert re.search(r"← text .*bye", said)
        quiet = Recorder(upstream, tmp_path / "quiet", "--quiet")
        talk(quiet.port, "bye")
        assert quiet.stop() == ""


def test_a_live_payload_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    with echo_server() as upstream:
        recorder = Recorder(upstream, tmp_path, "--live")
        talk(recorder.port, "\x1b]0;title\x07\x1b[2J\r\nforged line", "bye")
        said = recorder.stop()
    assert "\x1b" not in said and "\x07" not in said
    assert r"\e]0;title" in said
    assert "\nforged" not in said


def test_a_reader_of_the_output_that_goes_away_does_not_stop_the_relay(tmp_path: Path) -> None:
    with echo_server() as upstream:
        command = [sys.executable, "-m", "wsproxy", "record", "--upstream", f"ws://127.0.0.1:{upstream}", "--live"]
        here, there = os.pipe()
        command += [
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
            "--out",
            str(tmp_path),
            "--ready-fd",
            str(there),
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[there])
        os.close(there)
        with os.fdopen(here) as pipe:
            port = json.loads(pipe.readline())["port"]
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        for _ in range(3):
            talk(port, "hello", "bye")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
        assert b"Traceback" not in process.stderr.read()
        process.stderr.close()
    assert len(list(tmp_path.glob("*.msgpack"))) == 1
