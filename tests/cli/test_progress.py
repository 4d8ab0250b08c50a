"""The progress bar: in a terminal, after a while, and never in the way. On a real terminal."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from .command import SAMPLES, wsproxy
from .terminal import in_a_terminal

LONG = SAMPLES / "long-compressed.msgpack"
BAR = re.compile(r"\[[#.]{30}\] +\d+%  ")
ERASE = "\r\x1b[K"
SOON, NEVER = 0.0, 3600.0
COMMANDS = {
    "show": ("show", LONG),
    "show --grep": ("show", LONG, "--grep", "in no message"),
    "trace": ("trace", LONG),
    "diagnose": ("diagnose", LONG),
    "diagnose two": ("diagnose", LONG, LONG),
    "diff": ("diff", LONG, LONG),
    "verify two": ("verify", LONG, LONG),
    "ls": ("ls", SAMPLES),
    "ls by frames": ("ls", SAMPLES, "--sort", "frames"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_who_waits_sees_a_bar_that_is_gone_at_the_end(name: str, tmp_path: Path) -> None:
    sent = in_a_terminal(*COMMANDS[name], stdout="file", patience=SOON, folder=tmp_path)
    assert BAR.search(sent.terminal)
    assert sent.terminal.endswith(ERASE)
    assert BAR.sub("", sent.terminal.replace(ERASE, "")).count("\n") == 0, "it stays on one line"
    assert sent.output == wsproxy(*COMMANDS[name]).out


@pytest.mark.parametrize("name", ["show", "trace", "diff", "verify two", "ls"])
def test_in_the_terminal_of_the_output_no_line_of_it_is_touched(name: str, tmp_path: Path) -> None:
    command = [*COMMANDS[name], *(["--no-pager"] if name in ("show", "diff") else [])]
    shown = in_a_terminal(*command, stdout="terminal", patience=SOON, folder=tmp_path).terminal
    plain = in_a_terminal(*command, stdout="terminal", patience=NEVER, folder=tmp_path).terminal
    drawn = re.compile(re.escape(ERASE) + BAR.pattern + "[^\r\n]*" + f"(?={re.escape(ERASE)})")
    assert drawn.search(shown) and not BAR.search(plain)
    assert drawn.sub("", shown).replace(ERASE, "") == plain
    assert all(
        start == 0 or shown[start - 1] == "\n"
        for start in (m.start() for m in re.finditer(f"({drawn.pattern})+", shown))
    )


@pytest.mark.parametrize("name", ["show", "diagnose two"])
def test_there_is_no_bar_beside_a_pipe(name: str, tmp_path: Path) -> None:
    sent = in_a_terminal(*COMMANDS[name], stdout="pipe", patience=SOON, folder=tmp_path)
    assert sent.terminal == ""
    assert sent.output == wsproxy(*COMMANDS[name]).out


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_that_cannot_erase_a_line_has_no_bar(term: str, tmp_path: Path) -> None:
    assert in_a_terminal("verify", LONG, stdout="file", patience=SOON, folder=tmp_path, TERM=term).terminal == ""


def test_no_color_leaves_a_bar_without_colours(tmp_path: Path) -> None:
    for environment in ({}, {"NO_COLOR": "1"}):
        sent = in_a_terminal("verify", LONG, stdout="file", patience=SOON, folder=tmp_path, **environment)
        assert BAR.search(sent.terminal)
        assert "\x1b" not in sent.terminal.replace(ERASE, "")


def test_who_need_not_wait_sees_none(tmp_path: Path) -> None:
    sent = in_a_terminal("verify", LONG, stdout="file", patience=NEVER, folder=tmp_path)
    assert (sent.terminal, sent.status) == ("", 0)


def test_a_complaint_stands_on_a_line_of_its_own(tmp_path: Path) -> None:
    shutil.copy(LONG, tmp_path / "a.msgpack")
    (tmp_path / "b.msgpack").write_bytes(b"no recording")
    names = [tmp_path / "a.msgpack", tmp_path / "b.msgpack", tmp_path / "a.msgpack"]
    sent = in_a_terminal("verify", *names, stdout="file", patience=SOON, folder=tmp_path)
    (line,) = [line for line in sent.terminal.split("\n") if "wsproxy: " in line]
    assert line.split(ERASE)[-1] == f"wsproxy: {names[1]}: not a wsproxy recording"
    assert sent.status == 2


def test_trouble_leaves_no_bar_behind(tmp_path: Path) -> None:
    sent = in_a_terminal("trace", LONG, "--chunk", "99999", stdout="file", patience=SOON, folder=tmp_path)
    assert sent.status == 2
    assert sent.terminal.split(ERASE)[-1].startswith("wsproxy: no chunk #99999")
