"""`wsproxy replay` as a person and as a program see it: real processes on both sides."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

import wsproxy
from tests.cli.command import SAMPLES
from tests.cli.command import wsproxy as command

GOOD = SAMPLES / "blocked-delivered.msgpack"
DEADLINE = 30


class Served:
    """A running `wsproxy replay --serve`."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.url = f"ws://127.0.0.1:{port}"

    def interrupt(self) -> tuple[int, str, str]:
        """Ctrl-C; its exit status, and what it said."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out, err


@contextmanager
def serving(*arguments: str | Path) -> Iterator[Served]:
    ready, there = os.pipe()
    line = [sys.executable, "-m", "wsproxy", "replay", *map(str, arguments), "--serve", ":0", "--ready-fd", str(there)]
    process = subprocess.Popen(line, pass_fds=[there], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.close(there)
    try:
        with os.fdopen(ready) as pipe:
            assert select.select([pipe], [], [], DEADLINE)[0], "it says nothing"
            said = pipe.readline()
        assert said, process.communicate()
        yield Served(process, json.loads(said)["port"])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_both_sides_play_and_say_so(tmp_path: Path) -> None:
    with serving(GOOD) as served:
        done = command("replay", GOOD, "--to", served.url, "--record", tmp_path)
        status, out, err = served.interrupt()
    assert (done.status, status, done.err, err) == (0, 0, "", "")
    first, *rest = out.splitlines()
    assert first == (
        f"serving 1 recording on {served.url}: /stream/<id>, POST /api/hooks/async_pre_call_hook; Ctrl-C ends"
    )
    assert rest[0] == "as recorded"
    assert done.out.splitlines()[0] == "as recorded"
    assert "late by" in done.out
    assert command("verify", next(tmp_path.iterdir())).status == 0


def test_the_new_recording_is_beside_the_old(tmp_path: Path) -> None:
    old = tmp_path / "old.msgpack"
    old.write_bytes(GOOD.read_bytes())
    with serving(old) as served:
        command("replay", old, "--to", served.url)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2
    assert names[0].endswith(f"{wsproxy.open(GOOD).header.stream_id}.msgpack")


def test_rec_may_be_the_start_of_a_stream_id(tmp_path: Path) -> None:
    with serving(GOOD) as served:
        done = command(
            "replay", "136f0c3b", "--dir", _folder(tmp_path), "--to", served.url, "--record", tmp_path / "new"
        )
    assert done.status == 0, done


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    name = f"20260101T000000.000000Z-{wsproxy.open(GOOD).header.stream_id}.msgpack"
    (folder / name).write_bytes(GOOD.read_bytes())
    return folder


def test_a_folder_is_served(tmp_path: Path) -> None:
    with serving(SAMPLES, "--match", "none") as served:
        status, out, _ = served.interrupt()
    assert status == 0
    assert out.startswith("serving 4 recordings on ws://127.0.0.1:") and "/stream/<id> (4)" in out
    assert "nothing was played: no client came" in out


def test_a_difference_is_told_in_a_line_and_in_the_exit_status() -> None:
    with serving(GOOD) as served:
        with connect(f"{served.url}/stream/abc") as client:
            client.send('{"type": "START"}')
            client.send('{"type": "END"}')
        line = ""
        assert served.process.stdout is not None
        while "differs" not in line:
            line = served.process.stdout.readline()
            assert line
        status, out, _ = served.interrupt()
    assert "stream abc: the client's message 2 (event 14): type: expected CHUNK, got END" in line
    assert status == 1
    assert "diverged: " in out


def test_what_the_server_says_otherwise_is_shown_as_a_diff(tmp_path: Path) -> None:
    with serving(GOOD, "--drop", "grep:BLOCKED") as served:
        done = command("replay", GOOD, "--to", served.url, "--record", tmp_path, "--timeout", "2")
        as_typed = command(
            "replay", GOOD, "--to", served.url, "--record", tmp_path, "--timeout", "2", "--match", "none"
        )
    assert done.status == 1
    assert '\nB lost 1 server message: CHUNK "BLOCKED by judge' in done.out
    assert "\n- 20 " in done.out
    assert (as_typed.status, "B lost" in as_typed.out) == (0, False)


def test_programs_get_json_lines(tmp_path: Path) -> None:
    with serving(GOOD, "--json", "--drop", "grep:BLOCKED") as served:
        done = command("replay", GOOD, "--to", served.url, "--record", tmp_path, "--json", "--timeout", "2")
        status, out, _ = served.interrupt()
    assert (done.status, status) == (1, 0)
    mismatches = [one for one in done.objects if one["kind"] == "mismatch"]
    summary, difference, *rest = done.objects[len(mismatches) :]
    first = mismatches[0]
    assert (first["kind"], first["place"], first["field"]) == ("mismatch", "message 1", "type")
    assert (first["expected"], first["got"], first["event"]) == ("CHUNK", "END", 20)
    assert summary["kind"] == "replay" and summary["same"] is False and summary["side"] == "client"
    assert summary["mismatches"] == len(mismatches)
    assert [Path(path).parent for path in summary["recordings"]] == [tmp_path]
    assert set(summary["timing"]) == {"steps", "median", "p99"}
    assert difference["kind"] == "diff" and difference["essence"].startswith('B lost 1 server message: CHUNK "BLOCKED')
    assert [one["a"]["label"] for one in rest if one.get("op") == "removed"] == ["CHUNK"]
    ready, served_summary = (json.loads(line) for line in out.splitlines())
    assert (ready["kind"], ready["url"], ready["served"][0]) == ("serving", served.url, "/stream/<id>")
    assert served_summary["side"] == "server" and served_summary["same"] is True


def test_nothing_hostile_reaches_the_terminal() -> None:
    with serving(GOOD, "--match", "strict") as served:
        with connect(f"{served.url}/stream/a%1b%5b2J%0aserving") as client:
            client.send('{"type": "\x1b[2J\\u001b]0;owned\\u0007\u202e", "api_key": "sk-0123456789abcdef"}')
        _, out, _ = served.interrupt()
    assert not set(out) & {"\x1b", "\x07", "\u202e"}
    assert "sk-0123456789abcdef" not in out
    assert "\nserving" not in out.removeprefix("serving")


def test_help_has_the_language_and_fits() -> None:
    done = command("replay", "--help", COLUMNS="80")
    assert done.status == 0
    for word in ("grep:REGEX", "type:CHUNK", "--serve HOST:PORT", "--to URL", "Exit status"):
        assert word in done.out
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize("option", ["--serve", "--to"])
def test_an_open_connection_does_not_hold_up_ctrl_c(option: str, tmp_path: Path) -> None:
    with serving(GOOD) as served:
        if option == "--serve":
            client: Any = connect(f"{served.url}/stream/abc")
            status, _, _ = served.interrupt()
            client.socket.close()
            assert status in (0, 1)
            return
        line = [sys.executable, "-m", "wsproxy", "replay", str(GOOD), "--to", served.url, "--record", str(tmp_path)]
        line += ["--delay", "last=+60s"]
        player = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not list(tmp_path.glob("*.msgpack")):
            assert player.poll() is None
        player.send_signal(signal.SIGINT)
        _, err = player.communicate(timeout=DEADLINE)
        assert player.returncode == 130
        assert "Traceback" not in err
