"""`wsproxy redact`: copies that can be shared, made whole or not at all; and rules of one's own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from wsproxy.recording.reader import Recording

from ..recording.samples import NAMES, capture, packed, write
from ..render.test_masking import planted
from ..secrets.forms import leaks, leaks_in_file
from .command import SAMPLES, assert_trouble, wsproxy

LOST = SAMPLES / "blocked-lost.msgpack"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_copy_is_private_says_what_was_done_and_is_proved(tmp_path: Path) -> None:
    copy = tmp_path / "copy.msgpack"
    done = wsproxy("redact", LOST, "-o", copy)
    assert (done.status, done.err) == (0, "")
    assert done.out == f"{copy}: 3 events masked, 8 stored decoded because they depended on these\n"
    assert mode(copy) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["copy.msgpack"]
    verdict = wsproxy("verify", copy)
    assert verdict.status == 0
    assert "whole, redacted" in verdict.out
    assert "redacted events: 3 masked, 8 stored decoded: what went by there cannot be proved from here" in verdict.out
    (told,) = wsproxy("verify", copy, "--json").objects
    assert told["whole"] and told["exact"] and told["redacted"] == {"masked": 3, "decoded": 8}
    assert {connection["exact"] for connection in told["connections"]} == {True, None}


def test_other_commands_work_on_a_copy_as_on_the_original(tmp_path: Path) -> None:
    copy = tmp_path / LOST.name
    assert wsproxy("redact", LOST, "-o", tmp_path).status == 0
    answers = [wsproxy("diagnose", rec).out.splitlines()[0] for rec in (LOST, copy)]
    assert answers[0] == answers[1]
    assert answers[0].startswith("LOST")
    for command in (["trace"], ["trace", "--chunk", "3"]):
        one, other = (wsproxy(*command, rec) for rec in (LOST, copy))
        assert one.status == other.status
        assert [line.split()[-4:] for line in one.out.splitlines()[:1]] == [
            line.split()[-4:] for line in other.out.splitlines()[:1]
        ]
    shown = [wsproxy("show", rec, "--type", "CHUNK", "--json").objects for rec in (LOST, copy)]
    plain = [[{k: v for k, v in row.items() if k not in ("number", "redacted")} for row in rows] for rows in shown]
    assert plain[0] == plain[1] and len(plain[0]) == 7
    listed = [wsproxy("ls", folder, "--json").objects for folder in (SAMPLES, tmp_path)]
    (here,) = listed[1]
    there = next(row for row in listed[0] if row["stream"] == here["stream"])
    assert here | {"path": "", "size": 0} == there | {"path": "", "size": 0}


def test_several_copies_go_into_a_private_folder_and_share_their_masks(tmp_path: Path) -> None:
    originals = [write(tmp_path / f"{name}.msgpack", capture(name)) for name in NAMES]
    secrets = set().union(*map(planted, NAMES))
    done = wsproxy("redact", *originals, "-o", tmp_path / "shared", "--json")
    assert done.status == 0
    assert [Path(row["path"]).name for row in done.objects] == [path.name for path in originals]
    assert mode(tmp_path / "shared") == 0o700
    for copy in (tmp_path / "shared").iterdir():
        assert mode(copy) == 0o600
        assert leaks_in_file(copy, secrets) == []
        assert leaks(wsproxy("show", copy, "--full", "--show-secrets").out.encode(), secrets) == []


def test_what_is_there_is_replaced_only_by_force_and_never_the_recording_itself(tmp_path: Path) -> None:
    original, copy = write(tmp_path / "a.msgpack", capture(NAMES[0])), tmp_path / "b.msgpack"
    before = original.read_bytes()
    copy.write_bytes(b"precious")
    assert_trouble(wsproxy("redact", original, "-o", copy), "exists", "--force")
    assert copy.read_bytes() == b"precious"
    os.link(original, tmp_path / "other-name.msgpack")
    for itself in (original, tmp_path, tmp_path / "other-name.msgpack"):
        assert_trouble(wsproxy("redact", original, "-o", itself, "--force"), "the recording itself", "-o")
    assert original.read_bytes() == before
    assert wsproxy("redact", original, "-o", copy, "--force").status == 0
    assert Recording(copy).header.redacted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.msgpack", "b.msgpack", "other-name.msgpack"]


def test_a_place_that_cannot_be_written_is_trouble_in_one_line(tmp_path: Path) -> None:
    assert_trouble(wsproxy("redact", LOST, "-o", tmp_path / "no" / "copy.msgpack"), "cannot write", "-o")
    (tmp_path / "file").touch()
    assert_trouble(wsproxy("redact", LOST, LOST, "-o", tmp_path / "file"), "folder")


@pytest.mark.parametrize("lost", [1, 30, 700])
def test_a_torn_recording_has_a_copy_that_ends_where_it_does(tmp_path: Path, lost: int) -> None:
    torn = tmp_path / "torn.msgpack"
    torn.write_bytes(packed(capture(NAMES[0]))[:-lost])
    copy = tmp_path / "copy.msgpack"
    done = wsproxy("redact", torn, "-o", copy)
    assert done.status == 0
    assert "cut off" in done.out
    assert leaks_in_file(copy, planted(NAMES[0])) == []
    verdict = wsproxy("verify", copy)
    assert verdict.status == 1 and "cut off" in verdict.out and "not whole" in verdict.out


def test_a_copy_of_a_damaged_recording_looks_no_better(tmp_path: Path) -> None:
    data = packed(capture(NAMES[0]))
    at = data.index(b"litellm_call_id")
    wrong = tmp_path / "wrong.msgpack"
    wrong.write_bytes(data[:at] + b"X" + data[at + 1 :])
    assert wsproxy("verify", wrong).status == 1
    done = wsproxy("redact", wrong, "-o", tmp_path / "copy.msgpack")
    assert done.status == 1
    assert "the original: " in done.out
    assert wsproxy("verify", tmp_path / "copy.msgpack").status == 1


def test_a_copy_that_was_changed_afterwards_is_found_out(tmp_path: Path) -> None:
    copy = tmp_path / "copy.msgpack"
    assert wsproxy("redact", LOST, "-o", copy).status == 0
    data = copy.read_bytes()
    for before, words in ((b"DROP TABL", "changed after they were written"), (b"\xa4wire\xcd", "rebuild to")):
        at = data.index(before) + len(before)
        copy.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        verdict = wsproxy("verify", copy)
        assert verdict.status == 1 and words in verdict.out, verdict


RULES = '[tool.wsproxy.secrets]\nkeys = ["x-policy"]\npaths = ["*.model"]\npatterns = ["DROP (\\\\w+)"]\n'


@pytest.mark.parametrize(
    ("name", "text"), [("pyproject.toml", RULES), ("wsproxy.toml", RULES.replace("tool.wsproxy.", ""))]
)
def test_own_rules_are_read_from_the_nearest_configuration(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    shown = wsproxy("show", LOST, "--full", cwd=below).out
    assert "DROP …masked" in shown and "DROP TABLE" not in shown
    assert '"model": "…masked"' in shown and '"model": "demo"' not in shown
    assert '"x-policy": "…masked"' in shown
    assert wsproxy("redact", LOST, "-o", below / "copy.msgpack", cwd=below).status == 0
    everything = json.dumps(wsproxy("show", below / "copy.msgpack", "--json", "--show-secrets").objects)
    assert "DROP TABLE" not in everything and "tool_calls" in everything


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ('patterns = ["(unclosed"]', ["patterns", "'(unclosed'", "regular expression"]),
        ('patterns = ["x*"]', ["patterns", "mask everything"]),
        ('keys = "api"', ["keys", "a list of texts"]),
        ('kyes = ["api"]', ["kyes", "keys, paths, patterns"]),
        ('paths = ["a..b"]', ["paths", "'a..b'"]),
    ],
)
@pytest.mark.parametrize("command", [["show", LOST], ["ls", SAMPLES], ["record", "--upstream", "ws://h:1", "--redact"]])
def test_a_rule_that_is_none_is_trouble_that_names_it(
    tmp_path: Path, command: list[str], rules: str, words: list[str]
) -> None:
    (tmp_path / "wsproxy.toml").write_text(f"[secrets]\n{rules}\n")
    assert_trouble(wsproxy(*command, cwd=tmp_path), "wsproxy.toml: [secrets]", *words)


def test_the_password_of_an_upstream_is_in_no_error_message() -> None:
    done = wsproxy("record", "--upstream", "ws://me:hunter2-hunter2@h/path")
    assert_trouble(done, "ws://me:hunt…masked@h/path", "keeps the client's path")


def test_an_error_message_masks_what_it_repeats(tmp_path: Path) -> None:
    key = "sk-planted-0123456789abcdef"
    done = wsproxy("show", key, "--dir", tmp_path)
    assert done.status == 2 and key not in done.err and "sk-p…masked" in done.err
