"""`wsproxy diff` as a person runs it: exit statuses, options, a terminal and a pipe, several recordings, and called by git."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wsproxy.render.diff.layout import cells

from ..analysis.diff.talks import chunk, delayed, instead, talk, told, without
from ..analysis.stories import on_disk
from ..recording.samples import HEADER
from .command import DEADLINE, SAMPLES, assert_trouble, wsproxy

DELIVERED, LOST, ALLOWED = (SAMPLES / f"{name}.msgpack" for name in ("blocked-delivered", "blocked-lost", "allowed"))
BASE = talk()


def recorded(path: Path, said: list, stream: str = "s1") -> Path:  # type: ignore[type-arg]
    on_disk(path, told(said).events(), HEADER._replace(stream_id=stream))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings of one talk, and of some that differ from it."""
    recorded(tmp_path / "a.msgpack", BASE)
    recorded(tmp_path / "b.msgpack", instead(BASE, 5, chunk("other words")))
    recorded(tmp_path / "late.msgpack", delayed(BASE, 7, 400))
    recorded(tmp_path / "short.msgpack", without(BASE, 6))
    return tmp_path


# --- help, exit status and options ------------------------------------------------------------------------------------------


def test_help_fits_80_columns_and_is_listed() -> None:
    helped = wsproxy("diff", "--help", COLUMNS="80")
    assert helped.out.startswith("Usage: wsproxy diff ") and max(map(len, helped.out.splitlines())) <= 80
    assert "  diff " in wsproxy("--help").out


def test_the_same_is_one_line_and_status_0() -> None:
    done = wsproxy("diff", LOST, LOST)
    assert (done.status, done.out, done.err) == (0, "the same\n", "")


def test_what_differs_is_status_1() -> None:
    done = wsproxy("diff", DELIVERED, LOST)
    assert done.status == 1
    assert "BLOCKED by judge" in done.out and "\x1b" not in done.out


def test_trouble_is_one_line_and_status_2() -> None:
    assert_trouble(wsproxy("diff", LOST), "two recordings")
    assert_trouble(wsproxy("diff", LOST, "nothing.msgpack"), "nothing.msgpack: no such file")
    assert_trouble(wsproxy("diff", LOST, DELIVERED, "--ignore", "a..b"), "a..b")
    assert_trouble(wsproxy("diff", LOST, DELIVERED, "--tolerance", "soon"), "soon", "50ms")
    assert_trouble(wsproxy("diff", LOST, DELIVERED, "--dir", "x", "--dir", "y"), "one folder")


def test_recordings_are_named_as_everywhere(folder: Path) -> None:
    for number, path in enumerate((DELIVERED, LOST)):
        shutil.copy(path, folder / f"20260101T00000{number}.000000Z-{path.stem}.msgpack")
    for other in folder.glob("[a-z]*.msgpack"):
        other.unlink()
    named = wsproxy("diff", "@2", "@last", "--dir", folder, "--summary")
    assert "blocked-delivered" in named.out and "B lost 2 server messages" in named.out
    assert wsproxy("diff", "blocked-d", "blocked-l", "--dir", folder, "--summary").out == named.out


def test_every_option_has_an_environment_variable_of_its_name() -> None:
    assert len(wsproxy("diff", DELIVERED, LOST, WSPROXY_DIFF_JSON="1", WSPROXY_DIFF_SUMMARY="1").objects) == 1
    assert "│ B  " in wsproxy("diff", DELIVERED, LOST, WSPROXY_DIFF_SIDE_BY_SIDE="1").out
    assert "→ CHUNK" not in wsproxy("diff", DELIVERED, LOST, WSPROXY_DIFF_DIR="s2c").out


def test_a_direction_can_be_chosen() -> None:
    done = wsproxy("diff", DELIVERED, LOST, "--dir", "s2c")
    assert "← CHUNK" in done.out and "→ " not in done.out.split("@@")[-1].split("What")[0].replace(" → ", "")


def test_places_in_json_can_be_left_out_or_be_all_that_counts(folder: Path) -> None:
    a, b = folder / "a.msgpack", folder / "b.msgpack"
    assert wsproxy("diff", a, b).status == 1
    assert wsproxy("diff", a, b, "--ignore", "data.choices[*].delta.content").status == 0
    assert wsproxy("diff", a, b, "--only", "data.model").status == 0


def test_a_gap_is_a_difference_only_where_a_tolerance_is_given(folder: Path) -> None:
    a, late = folder / "a.msgpack", folder / "late.msgpack"
    done = wsproxy("diff", a, late)
    assert done.status == 0 and "B waited 400 ms longer" in done.out
    assert wsproxy("diff", a, late, "--tolerance", "100ms").status == 1
    assert wsproxy("diff", a, late, "--tolerance", "0.5s").status == 0


def test_context_is_counted_in_rows(folder: Path) -> None:
    def rows(*args: str) -> int:
        out = wsproxy("diff", folder / "a.msgpack", folder / "b.msgpack", *args).out
        return sum(" CHUNK " in line or " START " in line for line in out.splitlines() if line[:2] in ("  ", "~ "))

    assert (rows("--context", "0"), rows("--context", "2"), rows()) == (1, 5, 7)
    assert rows("--full") == 17


def test_the_table_counts_by_direction_and_label() -> None:
    lines = wsproxy("diff", DELIVERED, LOST, "--stat").out.splitlines()
    assert lines[0].split() == ["same", "changed", "removed", "added", "moved", "rechunked"]
    assert next(line for line in lines if line.startswith("← CHUNK")).split()[2:] == ["·", "·", "1", "·", "·", "·"]
    objects = wsproxy("diff", DELIVERED, LOST, "--stat", "--json").objects
    assert {"kind": "stat", "dir": "s2c", "label": "CHUNK", "removed": 1}.items() <= next(
        one for one in objects if one["label"] == "CHUNK" and one["dir"] == "s2c"
    ).items()


def test_the_summary_is_the_head() -> None:
    done = wsproxy("diff", DELIVERED, LOST, "--summary")
    assert done.status == 1 and "B lost 2 server messages" in done.out and "@@" not in done.out
    assert [one["kind"] for one in wsproxy("diff", DELIVERED, LOST, "--summary", "--json").objects] == ["diff"]


def test_frames_can_be_compared(folder: Path) -> None:
    done = wsproxy("diff", folder / "a.msgpack", folder / "b.msgpack", "--frames", "--json")
    assert {one["a"]["type"] for one in done.objects if one["kind"] == "row" and one["op"] == "changed"} == {"frame"}


def test_json_is_a_diff_and_then_its_rows() -> None:
    done = wsproxy("diff", DELIVERED, LOST, "--json")
    assert done.status == 1
    kinds = [one["kind"] for one in done.objects]
    assert kinds[0] == "diff" and set(kinds) == {"diff", "row", "spelled"}


# --- the terminal -----------------------------------------------------------------------------------------------------


def in_terminal(*args: str | Path, columns: int, **environment: str) -> list[str]:
    """The lines that a terminal of this width gets."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "wsproxy", *map(str, args)],
        stdout=theirs,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": str(columns), "LINES": "500", "TERM": "xterm-256color"} | environment,
    )
    os.close(theirs)
    out = b""
    try:
        while some := os.read(ours, 65_536):
            out += some
    except OSError:
        pass  # the other end is closed: that is how a terminal ends
    os.close(ours)
    process.wait(DEADLINE)
    return out.decode().splitlines()


@pytest.mark.parametrize(("columns", "beside"), [(80, False), (139, False), (140, True), (160, True)])
def test_a_wide_terminal_shows_both_beside_each_other(columns: int, beside: bool) -> None:
    lines = in_terminal("diff", DELIVERED, LOST, columns=columns, NO_COLOR="1")
    assert ("│ B  " in lines[0]) is beside
    assert all(cells([(line, "")]) <= columns for line in lines)


def test_the_layout_can_be_asked_for() -> None:
    assert "│ B  " in wsproxy("diff", DELIVERED, LOST, "--side-by-side").out
    assert "│" not in "\n".join(in_terminal("diff", DELIVERED, LOST, "--unified", columns=160, NO_COLOR="1"))


def test_a_terminal_gets_colours_and_no_color_takes_them_away() -> None:
    colored = in_terminal("diff", DELIVERED, LOST, columns=80)
    plain = in_terminal("diff", DELIVERED, LOST, columns=80, NO_COLOR="1")
    assert any("\x1b[31m" in line for line in colored)
    assert not any("\x1b" in line for line in plain)


# --- several ----------------------------------------------------------------------------------------------------------


def test_several_are_compared_with_the_first_and_those_that_are_alike_are_grouped(folder: Path) -> None:
    again = recorded(folder / "b2.msgpack", delayed(instead(BASE, 5, chunk("other words")), 3, 200), "s9")
    names = [folder / f"{name}.msgpack" for name in ("a", "b", "late", "short")]
    done = wsproxy("diff", *names, again)
    assert done.status == 1
    lines = done.out.splitlines()
    assert sum(line.startswith("≠  ") for line in lines) == 3 and sum(line.startswith("=  ") for line in lines) == 1
    assert "3 kinds among 4 recordings" in lines
    assert all(cells([(line, "")]) <= 120 for line in lines)
    groups = [one for one in wsproxy("diff", *names, again, "--json").objects if one["kind"] == "group"]
    assert [one["count"] for one in groups] == [2, 1, 1]
    assert {Path(name).name for name in groups[0]["recordings"]} == {"b.msgpack", "b2.msgpack"}


def test_several_that_are_the_same_are_status_0() -> None:
    assert wsproxy("diff", LOST, LOST, LOST).status == 0


def test_one_of_several_that_cannot_be_read_is_said_and_passed_over(folder: Path) -> None:
    (folder / "broken.msgpack").write_bytes(b"nonsense")
    done = wsproxy("diff", LOST, folder / "broken.msgpack", LOST)
    assert done.status == 2 and "broken.msgpack" in done.err and "=  " in done.out


# --- git --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with a recording in it, configured as the README tells."""
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "user.name", "n")
    git(tmp_path, "config", "user.email", "n@example.org")
    git(tmp_path, "config", "diff.wsproxy.command", f"{sys.executable} -m wsproxy diff")
    git(tmp_path, "config", "diff.wsproxy.textconv", f"{sys.executable} -m wsproxy show --no-pager")
    (tmp_path / ".gitattributes").write_text("*.msgpack diff=wsproxy\n")
    (tmp_path / "run").mkdir()
    shutil.copy(DELIVERED, tmp_path / "run" / "one.msgpack")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "one")
    return tmp_path


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(
        ["git", *args], cwd=folder, capture_output=True, text=True, timeout=DEADLINE, check=False,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_git_diff_shows_what_changed_in_a_recording(repository: Path) -> None:
    shutil.copy(LOST, repository / "run" / "one.msgpack")
    out = git(repository, "diff")
    assert out.startswith("wsproxy diff a/run/one.msgpack b/run/one.msgpack\n")
    assert "A  a/run/one.msgpack  136f0c3b" in out and "B  b/run/one.msgpack  241b4403" in out
    assert "- 20 " in out and '"BLOCKED by judge' in out and "│" not in out


def test_git_log_shows_it_too_and_what_was_added_and_deleted(repository: Path) -> None:
    shutil.copy(LOST, repository / "run" / "one.msgpack")
    shutil.copy(ALLOWED, repository / "two.msgpack")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "two")
    git(repository, "rm", "--quiet", "two.msgpack")
    out = git(repository, "log", "-p", "--ext-diff")
    assert "B lost 2 server messages" in out
    assert "added recording\n+  b/two.msgpack  ecbe89e6" in out
    assert "deleted recording\n-  a/two.msgpack  ecbe89e6" in git(repository, "diff", "--cached")
    assert "B lost 2 server messages" in git(repository, "show", "--ext-diff")


def test_git_diff_follows_a_renamed_recording(repository: Path) -> None:
    git(repository, "mv", "run/one.msgpack", "moved.msgpack")
    moved = repository / "moved.msgpack"
    moved.write_bytes(moved.read_bytes().replace(b"application/json", b"application/jsox"))
    out = git(repository, "diff", "-M", "HEAD")
    assert "wsproxy diff a/run/one.msgpack b/moved.msgpack" in out
    assert 'headers["content-type"]: "application/json" → "application/jsox"' in out


def test_git_goes_on_where_a_file_is_no_recording(repository: Path) -> None:
    (repository / "run" / "one.msgpack").write_bytes(b"no recording at all")
    (repository / "text").write_text("x\n")
    git(repository, "add", ".")
    out = git(repository, "diff", "--cached")
    assert "run/one.msgpack: " in out and "+x" in out


def test_an_unmerged_recording_is_named(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "other")
    shutil.copy(LOST, repository / "run" / "one.msgpack")
    git(repository, "commit", "--quiet", "-am", "other")
    git(repository, "checkout", "--quiet", "-")
    shutil.copy(ALLOWED, repository / "run" / "one.msgpack")
    git(repository, "commit", "--quiet", "-am", "this")
    subprocess.run(
        ["git", "merge", "--quiet", "other"], cwd=repository, capture_output=True, timeout=DEADLINE, check=False
    )
    assert "* Unmerged path run/one.msgpack" in git(repository, "diff", "--cached")


def test_before_gits_pager_there_are_colours_as_git_itself_has_them(repository: Path) -> None:
    call = ("x", LOST, "a" * 40, "100644", LOST, "b" * 40, "100644")
    assert "\x1b[1m" in wsproxy("diff", *call, GIT_PAGER_IN_USE="true", COLUMNS="80", TERM="xterm").out
    assert "\x1b" not in wsproxy("diff", *call, GIT_PAGER_IN_USE="true", NO_COLOR="1").out
    assert "\x1b" not in wsproxy("diff", *call).out


def test_textconv_shows_the_timeline_of_both(repository: Path) -> None:
    shutil.copy(LOST, repository / "run" / "one.msgpack")
    out = git(repository, "diff", "--no-ext-diff")
    assert "@@" in out and any(line.startswith("-") and "BLOCKED" in line for line in out.splitlines())


def test_seven_recordings_are_no_call_of_git() -> None:
    assert len([one for one in wsproxy("diff", *[LOST] * 7, "--json").objects if one["kind"] == "diff"]) == 6


def test_json_objects_are_one_line_each() -> None:
    for line in wsproxy("diff", DELIVERED, LOST, "--json").out.splitlines():
        assert json.loads(line)
