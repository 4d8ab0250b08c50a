"""Completions, as typed into real shells: a terminal, a Tab, and what stands there then."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from .command import SAMPLES, wsproxy

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
DEADLINE = 20
READY = {  # how a shell is taught, and says so: not in the words that it was told in
    "bash": "source {}; echo $((6*7))a",
    "zsh": "autoload -Uz compinit && compinit -u -D; source {}; echo $((6*7))a",
    "fish": "source {}; echo (math 40+2)a",
}
STREAMS = ("allowed", "blocked-delivered", "blocked-lost")
_CONTROL = re.compile(
    rb"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b[\]P].*?(\x07|\x1b\\)|\x1b[()][AB0-9]|\x1b[=>78]|[\r\x0e\x0f]"
)


class Terminal:
    """A shell in a terminal, typed at."""

    def __init__(self, shell: str, folder: Path, path: str) -> None:
        self.heard = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            environment = {"PATH": path, "HOME": str(folder), "TERM": "xterm", "PS1": "READY> ", "LANG": "C.UTF-8"}
            os.execvpe(SHELLS[shell][0], SHELLS[shell], environment)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)

    def type(self, text: str) -> None:
        self.heard = b""
        os.write(self.fd, text.encode())

    def until(self, *texts: str) -> str:
        """What the screen has been told since the last typing, when it holds all of these."""
        deadline = time.monotonic() + DEADLINE
        while not all(text in self.shown for text in texts):
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], f"no {texts} in {self.shown!r}"
            self.heard += os.read(self.fd, 65536)
            if b"\x1b[c" in self.heard or b"\x1b[0c" in self.heard:  # fish asks what kind of terminal this is
                os.write(self.fd, b"\x1b[?62c")
                self.heard = self.heard.replace(b"\x1b[c", b"").replace(b"\x1b[0c", b"")
        return self.shown

    @property
    def shown(self) -> str:
        return _CONTROL.sub(b"", self.heard).decode("utf-8", "replace")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with three recordings, and a `wsproxy` to call."""
    program = tmp_path / "bin" / "wsproxy"
    program.parent.mkdir()
    where = Path(__file__).parents[2]
    program.write_text(f'#!/bin/sh\nPYTHONPATH={where} exec {sys.executable} -m wsproxy "$@"\n')
    program.chmod(0o755)
    for name in ("recordings", "elsewhere"):
        (tmp_path / name).mkdir()
    for number, stream in enumerate(STREAMS):
        name = f"20260101T00000{number}.000000Z-{stream}.msgpack"
        shutil.copy(SAMPLES / f"{stream}.msgpack", tmp_path / "recordings" / name)
    shutil.copy(SAMPLES / "allowed.msgpack", tmp_path / "elsewhere" / "20260101T000000.000000Z-other.msgpack")
    return tmp_path


def terminal(shell: str, folder: Path) -> Terminal:
    """A shell that knows our completions."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    made = Terminal(shell, folder, f"{folder}/bin:{os.environ['PATH']}")
    try:
        script = folder / f"completion.{shell}"
        script.write_text(wsproxy("completion", shell).out)
        made.type(f"{READY[shell].format(script)}\n")
        made.until("42a")
    except BaseException:
        made.__exit__()
        raise
    return made


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_commands_options_and_recordings(shell: str, folder: Path) -> None:
    with terminal(shell, folder) as typed:
        typed.type("echo x; wsproxy diag\t")
        typed.until("wsproxy diag", "nose ")
        typed.type("--js\t")
        typed.until("on ")
        typed.type("all\t")
        typed.until("owed ")
        typed.type("@la\t")
        typed.until("st ")
        typed.type("\n")
        typed.until('"kind"')


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_streams_of_the_folder_that_is_named_and_values(shell: str, folder: Path) -> None:
    with terminal(shell, folder) as typed:
        typed.type("wsproxy show --dir elsewhere oth\t")
        typed.until("other ")
        typed.type("--only s\t")
        typed.until("s2c ")


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_lists_what_there_is(shell: str, folder: Path) -> None:
    with terminal(shell, folder) as typed:
        typed.type("wsproxy show blo\t\t\t")
        typed.until("blocked-delivered", "blocked-lost")
