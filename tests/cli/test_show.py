"""`wsproxy show` on recordings of the real LiteLLM."""

from __future__ import annotations

import base64
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .command import DEADLINE, SAMPLES, assert_trouble, wsproxy
from .terminal import until_its_end

LOST = SAMPLES / "blocked-lost.msgpack"
DELIVERED = SAMPLES / "blocked-delivered.msgpack"


def test_the_pipelines_messages_are_shown_in_its_own_words() -> None:
    shown = wsproxy("show", DELIVERED)
    assert shown.status == 0
    lines = shown.out.splitlines()
    assert any("→ START" in line for line in lines)
    assert any("→ CHUNK" in line and "tool[0]" in line for line in lines)
    assert any("← CHUNK" in line and "BLOCKED" in line and "finish=stop" in line for line in lines)
    assert any("close" in line and "1000 (normal)" in line for line in lines)


def test_the_lost_block_is_on_no_wire() -> None:
    assert "BLOCKED" not in wsproxy("show", LOST, "--full").out
    assert "BLOCKED" in wsproxy("show", DELIVERED, "--full").out


def test_numbers_increase_and_times_do_not_go_back() -> None:
    items = wsproxy("show", DELIVERED, "--json").objects
    times = [item.get("t_end", item["t"]) for item in items]
    assert times == sorted(times)
    assert all(item["number"] > 0 for item in items)


def test_json_has_the_stable_keys() -> None:
    messages = [item for item in wsproxy("show", DELIVERED, "--json").objects if item["kind"] == "message"]
    assert messages
    for message in messages:
        assert {"kind", "number", "conn", "t", "dir", "opcode", "length", "payload"} <= message.keys()
        assert message["dir"] in ("c2s", "s2c")
    assert {"START", "CHUNK"} <= {message.get("type") for message in messages}


def test_frames_view_gives_frames_as_they_stood_on_the_wire() -> None:
    frames = [item for item in wsproxy("show", DELIVERED, "--frames", "--json").objects if item["kind"] == "frame"]
    data = [frame for frame in frames if frame["opcode"] == 1]
    assert data
    assert all(frame["rsv"] == 4 and frame["fin"] for frame in data)
    assert all(frame["masked"] == (frame["dir"] == "c2s") for frame in frames)
    assert all(frame["payload"] is None and frame["withheld"] == "compressed" for frame in data)
    frames = wsproxy("show", DELIVERED, "--frames", "--json", "--show-secrets").objects
    payload = next(frame["payload"] for frame in frames if isinstance(frame.get("payload"), dict))
    assert base64.b64decode(payload["base64"])


@pytest.mark.parametrize("direction", ["c2s", "s2c"])
def test_one_direction_can_be_chosen(direction: str) -> None:
    for option in ("--only", "--dir"):
        items = wsproxy("show", DELIVERED, option, direction, "--json").objects
        assert items
        assert {item["dir"] for item in items} == {direction}


def test_types_and_content_can_be_chosen() -> None:
    chunks = wsproxy("show", DELIVERED, "--type", "CHUNK", "--json").objects
    assert {item["type"] for item in chunks} == {"CHUNK"}
    blocked = wsproxy("show", DELIVERED, "--grep", "BLOCKED", "--type", "chunk", "--json").objects
    assert len(blocked) == 1
    both = wsproxy("show", DELIVERED, "--type", "close", "--type", "request", "--json").objects
    assert {item["kind"] for item in both} == {"message", "request"}


def test_credentials_are_masked_unless_asked_for() -> None:
    for options in ([], ["--full"], ["--json"], ["--full", "--hex"], ["--grep", "sk-planted"]):
        shown = wsproxy("show", LOST, *options)
        assert not re.search(r"sk-planted[A-Za-z0-9-]{4}", shown.out), options
    assert "sk-planted" in wsproxy("show", LOST, "--json", "--show-secrets").out


def test_hex_shows_offsets_and_bytes() -> None:
    shown = wsproxy("show", DELIVERED, "--grep", "BLOCKED", "--only", "s2c", "--hex").out
    assert re.search(r"00000000  7b 22", shown)


def test_no_line_in_a_pipe_holds_an_escape_sequence() -> None:
    for options in ([], ["--full"], ["--hex"], ["--frames"]):
        assert "\x1b" not in wsproxy("show", DELIVERED, *options).out


def test_a_truncated_recording_is_shown_as_far_as_it_is_whole_and_says_so(tmp_path: Path) -> None:
    cut = tmp_path / "cut.msgpack"
    cut.write_bytes(DELIVERED.read_bytes()[:-700])
    shown = wsproxy("show", cut)
    assert shown.status == 0
    assert "START" in shown.out
    assert "cut off" in shown.out.splitlines()[-1]


def test_references_by_age_and_by_prefix_and_by_path(tmp_path: Path) -> None:
    shutil.copy(LOST, tmp_path / "20260101T000000.000001Z-aaa111.msgpack")
    shutil.copy(DELIVERED, tmp_path / "20260101T000000.000002Z-aab222.msgpack")
    for reference, delivered in (("@last", True), ("@1", True), ("@2", False), ("aaa", False), ("aab222", True)):
        shown = wsproxy("show", reference, "--dir", tmp_path)
        assert shown.status == 0, shown.err
        assert ("BLOCKED" in shown.out) == delivered
    assert_trouble(wsproxy("show", "aa", "--dir", tmp_path), "2 streams start with that", "type more")
    assert_trouble(wsproxy("show", "@3", "--dir", tmp_path), "holds 2 recordings")
    assert_trouble(wsproxy("show", "zzz", "--dir", tmp_path), "no stream", "wsproxy ls")


def test_what_is_no_recording_is_one_line_and_status_2(tmp_path: Path) -> None:
    empty, text, folder = tmp_path / "empty.msgpack", tmp_path / "text.msgpack", tmp_path / "folder"
    empty.touch()
    text.write_text("hello, this is no recording")
    folder.mkdir()
    assert_trouble(wsproxy("show", empty), "empty")
    assert_trouble(wsproxy("show", text), "not a wsproxy recording")
    assert_trouble(wsproxy("show", tmp_path / "absent.msgpack"), "no such file")
    assert_trouble(wsproxy("show", folder), "no such file")
    assert_trouble(wsproxy("show", LOST, "--grep", "("), "--grep", "regular expression")
    assert_trouble(wsproxy("show"), "REC")
    assert_trouble(wsproxy("show", "@last", "--dir", tmp_path / "nowhere"), "no such file or directory", "--dir")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    show = subprocess.Popen(
        [sys.executable, "-m", "wsproxy", "show", str(SAMPLES / "long-compressed.msgpack"), "--full"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert show.stdout is not None and show.stderr is not None
    show.stdout.read(10)
    show.stdout.close()
    assert show.stderr.read() == b""
    assert show.wait(DEADLINE) == 0
    show.stderr.close()


def _in_a_terminal(*args: str, columns: int, **environment: str) -> str:
    """What a terminal of that width is sent."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "wsproxy", *args]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "200", **environment}
    environment.pop("NO_COLOR", None) if "NO_COLOR" not in environment else None
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    sent = until_its_end(ours)
    assert process.wait(DEADLINE) == 0
    return sent.decode()


@pytest.mark.parametrize("columns", [80, 132])
def test_lines_fit_the_terminal(columns: int) -> None:
    sent = _in_a_terminal("show", str(DELIVERED), columns=columns)
    assert "\x1b[" in sent
    plain = re.sub(r"\x1b\[[0-9;]*m", "", sent).replace("\r\n", "\n")
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= columns


def test_no_color_is_honoured() -> None:
    assert "\x1b[" not in _in_a_terminal("show", str(DELIVERED), columns=100, NO_COLOR="1")
