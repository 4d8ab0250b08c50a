"""Recordings from strangers, in the real commands: bounded memory and time, no traceback, nothing on the terminal but text."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ..recording.samples import packed
from ..render.acting import acts
from ..replay.test_command import serving
from .command import SAMPLES, assert_trouble, wsproxy
from .strangers import OPENED, STRANGE, TAILS, frame

MEMORY = 1 << 30  # bytes of address space
CPU_SECONDS = 60
# Each command in a process of its own, forked from one that has everything imported already.
_RUN_ALL = f"""
import importlib, json, os, resource, sys
from wsproxy.cli import _COMMANDS, main
for name in _COMMANDS:
    importlib.import_module(f"wsproxy.cli.{{name}}")
out, *commands = sys.argv[1:]
for number, command in enumerate(commands):
    pid = os.fork()
    if not pid:
        for fd in (1, 2):
            os.dup2(os.open(f"{{out}}/{{number}}-{{fd}}", os.O_WRONLY | os.O_CREAT, 0o600), fd)
        resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
        resource.setrlimit(resource.RLIMIT_CPU, ({CPU_SECONDS}, {CPU_SECONDS}))
        sys.argv = ["wsproxy", *json.loads(command)]
        main()
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
COMMANDS = [
    ["show", "--no-pager"],
    ["show", "--no-pager", "--full", "--frames", "--hex"],
    ["show", "--json"],
    ["verify"],
    ["trace"],
    ["trace", "--json"],
    ["diagnose"],
    ["diagnose", "--json"],
    ["diff", "--no-pager"],
    ["diff", "--json"],
]


def assert_harmless(path: Path, out: Path) -> None:
    """Every command ends by itself, with a status of its own, in bounds, and says nothing but text."""
    other = str(SAMPLES / "blocked-lost.msgpack")
    lines = [[name, str(path), *([other] if name == "diff" else []), *options] for name, *options in COMMANDS]
    lines.append(["ls", str(path.parent)])
    lines.append(["redact", str(path), "-o", str(out / "copy.msgpack")])
    out.mkdir()
    command = [sys.executable, "-c", _RUN_ALL, str(out), *map(json.dumps, lines)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=600)
    for number, (line, status) in enumerate(zip(lines, done.stdout.split(), strict=True)):
        said = (out / f"{number}-2").read_text()
        assert int(status) in (0, 1, 2), (line, status, said[-2000:])
        assert "Traceback" not in said, (line, said[-2000:])
        for fd in (1, 2):
            with open(out / f"{number}-{fd}", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                for text in file:
                    if not (text.isascii() and text[:-1].isprintable()):
                        assert not [char for char in text.removesuffix("\n") if acts(char)], (line, text[:500])


@pytest.mark.parametrize("name", [*STRANGE, *TAILS])
def test_a_stranger_s_recording_is_shown_as_text_within_bounds(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    path = folder / "r.msgpack"
    path.write_bytes(packed(STRANGE[name]()) if name in STRANGE else packed([*OPENED, frame(b"hello")]) + TAILS[name])
    assert_harmless(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["deflate bombs", "deep JSON", "extreme fields", "what acts on a terminal"])
def test_a_stranger_s_recording_is_served_within_bounds(tmp_path: Path, name: str) -> None:
    path = tmp_path / "r.msgpack"
    path.write_bytes(packed(STRANGE[name]()))
    with serving(path) as served:
        with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), 20) as client:
            client.sendall(b"GET /stream/s1 HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
            assert client.recv(9) == b"HTTP/1.1 "
        status, out, err = served.interrupt()
        assert status in (0, 1)
        assert "Traceback" not in err
        assert not [char for char in out + err if acts(char) and char != "\n"]


def test_more_connections_than_can_be_played_are_refused_in_a_line(tmp_path: Path) -> None:
    """Each script remembers which connections had ended before it."""
    path = tmp_path / "r.msgpack"
    path.write_bytes(packed(STRANGE["8,000 connections"]()))
    assert_trouble(wsproxy("replay", path, "--serve", "127.0.0.1:0"), "5,000 connections")
