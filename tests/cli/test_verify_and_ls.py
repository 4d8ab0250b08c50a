"""`wsproxy verify` and `wsproxy ls`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .command import SAMPLES, assert_trouble, wsproxy

ALL = sorted(SAMPLES.glob("*.msgpack"))


def test_there_are_the_four_samples() -> None:
    assert [path.stem for path in ALL] == ["allowed", "blocked-delivered", "blocked-lost", "long-compressed"]


@pytest.mark.parametrize("sample", ALL, ids=lambda path: path.stem)
def test_every_sample_is_whole_and_exact(sample: Path) -> None:
    done = wsproxy("verify", sample)
    assert done.status == 0
    assert "whole and exact" in done.out
    (verdict,) = wsproxy("verify", sample, "--json").objects
    assert verdict["whole"] and verdict["exact"] and not verdict["problems"]
    assert all(one["exact"] is True for one in verdict["connections"])


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    raw = bytearray((SAMPLES / "blocked-delivered.msgpack").read_bytes())
    at = raw.find(b"Sec-WebSocket-Accept") + 24
    raw[at] ^= 1
    changed = tmp_path / "changed.msgpack"
    changed.write_bytes(raw)
    done = wsproxy("verify", changed)
    assert done.status == 1
    assert "NOT EXACT" in done.out
    assert "the digest differs" in done.out


def test_a_cut_recording_is_not_whole(tmp_path: Path) -> None:
    raw = (SAMPLES / "allowed.msgpack").read_bytes()
    for length, words in ((len(raw) - 1, "cut off inside an event"), (len(raw) // 2, "cut off")):
        cut = tmp_path / "cut.msgpack"
        cut.write_bytes(raw[:length])
        done = wsproxy("verify", cut)
        assert done.status == 1
        assert "not whole" in done.out
        assert words in done.out


def test_several_at_once_give_the_worst_status(tmp_path: Path) -> None:
    good = SAMPLES / "allowed.msgpack"
    assert wsproxy("verify", good, good).status == 0
    mixed = wsproxy("verify", good, tmp_path / "absent.msgpack")
    assert mixed.status == 2
    assert "whole and exact" in mixed.out
    assert "no such file" in mixed.err
    assert_trouble(wsproxy("verify", tmp_path / "absent.msgpack"), "no such file")


def test_ls_lists_every_recording_with_its_outcome(tmp_path: Path) -> None:
    for number, sample in enumerate(ALL):
        shutil.copy(sample, tmp_path / f"20260101T00000{number}.000000Z-{sample.stem}.msgpack")
    listed = wsproxy("ls", tmp_path)
    assert listed.status == 0
    assert len(listed.out.splitlines()) == 1 + len(ALL)
    assert "1000 by client" in listed.out
    objects = wsproxy("ls", tmp_path, "--json").objects
    assert [item["path"] for item in objects] == sorted(item["path"] for item in objects)
    assert all(item["frames"]["c2s"] > 0 and item["state"] == "finished" for item in objects)


def test_ls_goes_on_behind_a_file_that_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "20250101T000000.000000Z-bad.msgpack").write_bytes(b"\xc1\xc1")
    shutil.copy(ALL[0], tmp_path / "20260101T000000.000000Z-good.msgpack")
    listed = wsproxy("ls", tmp_path)
    assert len(listed.out.splitlines()) == 2
    assert "bad.msgpack" in listed.err


def test_an_empty_folder_says_what_to_do_and_an_absent_one_is_trouble(tmp_path: Path) -> None:
    empty = wsproxy("ls", tmp_path)
    assert (empty.status, empty.out) == (0, "")
    assert "wsproxy record" in empty.err
    assert_trouble(wsproxy("ls", tmp_path / "nowhere"), "no such file or directory")
