"""`wsproxy ls` with its choices and orders, and `wsproxy rm`."""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wsproxy.recording.folder import file_name

from .command import DEADLINE, SAMPLES, Done, assert_trouble, wsproxy

SECOND = 10**9
ALL = ("allowed", "blocked-delivered", "blocked-lost")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Hours ago: 3 allowed, 2 blocked-delivered, 1 blocked-lost, 0 a torn copy of the first."""
    now = time.time_ns()
    for hours, name in zip((3, 2, 1), ALL, strict=True):
        put(tmp_path, name, (SAMPLES / f"{name}.msgpack").read_bytes(), now - hours * 3600 * SECOND)
    put(tmp_path, "torn", (SAMPLES / "allowed.msgpack").read_bytes()[:20_000], now)
    yield tmp_path


def put(folder: Path, stream: str, data: bytes, written: int) -> Path:
    path = folder / file_name(stream, written)
    path.write_bytes(data)
    os.utime(path, ns=(written, written))
    return path


def streams(done: Done) -> list[str]:
    """Which files a listing names, in its order."""
    return [str(row["path"]).split("Z-")[1].removesuffix(".msgpack") for row in done.objects]


def left(folder: Path) -> list[str]:
    return [path.name.split("Z-")[1].removesuffix(".msgpack") for path in sorted(folder.iterdir())]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), [*ALL, "torn"]),
        (("--sort", "size"), ["torn", "blocked-lost", "blocked-delivered", "allowed"]),
        (("--sort", "size", "--limit", "1"), ["allowed"]),
        (("--sort", "stream"), [*ALL, "torn"]),
        (("--sort", "frames", "--limit", "2"), ["blocked-lost", "allowed"]),
        (("--limit", "2"), ["blocked-lost", "torn"]),
        (("--since", "90min"), ["blocked-lost", "torn"]),
        (("--until", "150min"), ["allowed"]),
        (("--since", "150min", "--until", "30min"), ["blocked-delivered", "blocked-lost"]),
        (("--until", "2020-01-01"), []),
        (("--stream", "blocked"), ["blocked-delivered", "blocked-lost"]),
        (("--stream", ".*(lost|torn)"), ["blocked-lost", "torn"]),
        (("--status", "torn"), ["torn"]),
        (("--status", "finished", "--limit", "1"), ["blocked-lost"]),
        (("--status", "lost"), ["blocked-lost"]),
        (("--status", "torn", "--status", "lost"), ["blocked-lost", "torn"]),
        (("--status", "open"), []),
        (("--status", "refused"), []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_ls_lists_what_is_chosen_in_the_order_that_is_asked_for(
    folder: Path, options: tuple[str, ...], expected: list[str]
) -> None:
    assert streams(wsproxy("ls", folder, "--json", *options)) == expected


def test_ls_by_size_shows_sizes(folder: Path) -> None:
    done = wsproxy("ls", folder, "--sort", "size")
    assert " size  outcome" in done.out.splitlines()[0]
    assert "19.5 KiB" in done.out and "35.0 KiB" in done.out


def test_an_id_that_no_file_name_can_hold_is_found_all_the_same(folder: Path) -> None:
    sample = (SAMPLES / "allowed.msgpack").read_bytes()
    start = sample.index(b"stream_id") + len(b"stream_id")
    old = sample[start : start + 38]
    new = b"\xd9\x24" + b"Team/A#".ljust(36, b"x")
    put(folder, "Team/A#".ljust(36, "x"), sample.replace(old, new, 1), time.time_ns())
    (found,) = wsproxy("ls", folder, "--json", "--stream", "Team/A#").objects
    assert found["stream"].startswith("Team/A#")


def test_trouble_with_a_choice_is_one_line() -> None:
    assert_trouble(wsproxy("ls", SAMPLES, "--stream", "("), "--stream", "regular expression")
    assert_trouble(wsproxy("ls", SAMPLES, "--since", "yesterday"), "--since", "1h")
    assert_trouble(wsproxy("ls", SAMPLES, "--status", "fine"), "--status", "torn")
    assert_trouble(wsproxy("rm", "--older-than", "old", "--dir", SAMPLES), "--older-than", "7d")
    assert_trouble(wsproxy("record", "--upstream", "ws://x:1", "--max-bytes", "much"), "--max-bytes", "500MB")


def test_rm_removes_what_is_named_and_says_what_it_freed(folder: Path) -> None:
    done = wsproxy("rm", "blocked-lost", "@last", "--dir", folder, "--yes")
    assert (done.status, done.out) == (0, "removed 2 recordings, 53.5 KiB freed\n")
    assert left(folder) == ["allowed", "blocked-delivered"]


def test_rm_removes_what_is_chosen(folder: Path) -> None:
    assert wsproxy("rm", "--older-than", "90min", "--dir", folder, "--yes").status == 0
    assert left(folder) == ["blocked-lost", "torn"]
    assert wsproxy("rm", "--status", "torn", "--dir", folder, "--yes").status == 0
    assert left(folder) == ["blocked-lost"]


def test_a_dry_run_lists_and_removes_nothing(folder: Path) -> None:
    done = wsproxy("rm", "--stream", "blocked", "--dir", folder, "--dry-run")
    assert done.status == 0
    assert [Path(line).name.split("Z-")[1] for line in done.out.splitlines()] == [
        "blocked-delivered.msgpack",
        "blocked-lost.msgpack",
    ]
    assert "would remove 2 recordings" in done.err
    assert len(left(folder)) == 4


def test_without_a_terminal_rm_wants_yes_and_without_a_choice_it_wants_one(folder: Path) -> None:
    assert_trouble(wsproxy("rm", "@last", "--dir", folder), "--yes", "--dry-run")
    assert_trouble(wsproxy("rm", "--dir", folder, "--yes"), "say which")
    assert_trouble(wsproxy("rm", "nothing", "--dir", folder, "--yes"), "no stream")
    assert len(left(folder)) == 4


@pytest.mark.parametrize(("answer", "kept"), [(b"n\n", 4), (b"y\n", 3)])
def test_in_a_terminal_rm_asks(folder: Path, answer: bytes, kept: int) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "wsproxy", "rm", "@last", "--dir", str(folder)]
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(theirs)
    os.write(ours, answer)
    _, err = process.communicate(timeout=DEADLINE)
    os.close(ours)
    assert b"Remove 1 recording, 19.5 KiB? [y/N]" in err
    assert b"torn.msgpack" in err
    assert len(left(folder)) == kept


def test_rm_refuses_what_a_relay_is_writing(folder: Path) -> None:
    (path,) = folder.glob("*-torn.msgpack")
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = wsproxy("rm", "torn", "allowed", "--dir", folder, "--yes")
    assert done.status == 1
    assert "removed 1 recording" in done.out
    assert "a relay is writing it" in done.err
    assert "torn" in left(folder) and "allowed" not in left(folder)


def test_rm_removes_nothing_that_is_no_recording(folder: Path) -> None:
    notes = folder / "notes.msgpack"
    notes.write_text("dear diary")
    link = folder / "20200101T000000.000000Z-link.msgpack"
    link.symlink_to(SAMPLES / "allowed.msgpack")
    assert_trouble(wsproxy("rm", notes, "--yes"), "not a wsproxy recording")
    assert_trouble(wsproxy("rm", link, "--yes"), "not a wsproxy recording")
    assert wsproxy("rm", "--until", "0s", "--dir", folder, "--yes").status == 0
    assert {path.name for path in folder.iterdir()} == {notes.name, link.name}
    assert (SAMPLES / "allowed.msgpack").exists()


def test_a_folder_of_links_to_recordings_is_listed(folder: Path, tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "allowed.msgpack", tmp_path / "a.msgpack")
    (tmp_path / "20200101T000000.000000Z-link.msgpack").symlink_to(tmp_path / "a.msgpack")
    assert "link" in streams(wsproxy("ls", folder, "--json", "--limit", "9", "--until", "2020-02-02"))
