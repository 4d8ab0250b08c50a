"""The folder within its limits: what goes, in which order, and what never does."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from wsproxy.recording.catalogue import began, catalogue
from wsproxy.recording.folder import file_name
from wsproxy.recording.format import pack_header
from wsproxy.recording.retention import Limits, sweep

from .samples import HEADER

SECOND = 10**9
NOW = 1_800_000_000 * SECOND


def put(folder: Path, stream: str, age: int, size: int = 1000) -> Path:
    """A recording that began and was last written `age` seconds ago."""
    path = folder / file_name(stream, NOW - age * SECOND)
    path.write_bytes(pack_header(HEADER).ljust(size, b"\xc0"))
    os.utime(path, ns=(NOW - age * SECOND,) * 2)
    return path


def names(folder: Path) -> set[str]:
    return {entry.stream for entry in catalogue(folder)}


def test_the_oldest_go_first_and_no_more_than_needed(tmp_path: Path) -> None:
    for age in (5, 1, 4, 2, 3):
        put(tmp_path, f"s{age}", age)
    done = sweep(tmp_path, Limits(max_bytes=3000), NOW)
    assert names(tmp_path) == {"s1", "s2", "s3"}
    assert (done.removed, done.freed, done.left, done.size, done.trouble) == (2, 2000, 3, 3000, None)


def test_what_is_too_old_goes_whatever_the_size(tmp_path: Path) -> None:
    for age in (10, 60, 61, 1000):
        put(tmp_path, f"s{age}", age)
    assert sweep(tmp_path, Limits(max_age=60 * SECOND), NOW).removed == 2
    assert names(tmp_path) == {"s10", "s60"}


def test_age_is_that_of_the_last_writing(tmp_path: Path) -> None:
    long = put(tmp_path, "long", 1000)
    os.utime(long, ns=(NOW, NOW))
    assert sweep(tmp_path, Limits(max_age=60 * SECOND), NOW).removed == 0


def test_an_open_recording_stays_whoever_has_it_open(tmp_path: Path) -> None:
    elsewhere, here, free = (put(tmp_path, stream, age) for stream, age in (("elsewhere", 9), ("here", 8), ("free", 7)))
    with open(elsewhere, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = sweep(tmp_path, Limits(max_bytes=0), NOW, unless=lambda path: path == str(here))
    assert names(tmp_path) == {"elsewhere", "here"}
    assert not free.exists()
    assert (done.removed, done.left, done.size) == (1, 2, 2000)


def test_what_no_relay_named_and_wrote_is_neither_counted_nor_touched(tmp_path: Path) -> None:
    mine = put(tmp_path, "mine", 1)
    kept = put(tmp_path, "kept", 500).rename(tmp_path / "kept.msgpack")
    other = put(tmp_path, "other", 500)
    other.write_bytes(b"\x81\xa1x\x01" * 500)
    target = tmp_path / "target"
    target.write_bytes(mine.read_bytes())
    link = tmp_path / file_name("link", NOW)
    link.symlink_to(target)
    (tmp_path / file_name("folder", NOW)).mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    below = tmp_path / "samples"
    below.mkdir()
    sample = put(below, "sample", 500)
    assert sweep(tmp_path, Limits(max_bytes=0, max_age=0), NOW).removed == 1
    assert not mine.exists()
    assert all(path.exists() for path in (kept, other, link, target, sample, tmp_path / "notes.txt"))


def test_without_a_folder_there_is_trouble_and_no_exception(tmp_path: Path) -> None:
    assert "no such file" in str(sweep(tmp_path / "gone", Limits(max_bytes=0), NOW).trouble)


def test_what_cannot_be_removed_is_trouble_and_the_rest_goes_on(tmp_path: Path) -> None:
    stays, _ = put(tmp_path, "stays", 2), put(tmp_path, "goes", 1)

    def forbidden(path: str) -> bool:
        if path == str(stays):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        return False

    done = sweep(tmp_path, Limits(max_bytes=0), NOW, unless=forbidden)
    assert done.trouble == f"{stays}: operation not permitted"
    assert names(tmp_path) == {"stays"}


def test_a_name_tells_when_a_recording_began() -> None:
    for wall_ns in (0, 951_782_399_000_001_000, NOW):
        assert began(file_name("s", wall_ns)) == wall_ns
    for name in (
        "s.msgpack",
        "20261399T000000.000000Z-s.msgpack",
        "20260101T000000.000000Z-s.txt",
        "٢٠260101T000000.000000Z-s.msgpack",
    ):
        assert began(name) is None, name
