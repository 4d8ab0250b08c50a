"""The folder's list: every recording in it by time, nothing else, and what goes while one looks."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from wsproxy.errors import RecordingError
from wsproxy.recording.catalogue import catalogue, remove
from wsproxy.recording.folder import file_name


def test_recordings_are_listed_by_time_and_links_to_nowhere_and_other_files_are_not(tmp_path: Path) -> None:
    for second in (3, 1, 2):
        (tmp_path / file_name(f"s{second}", second * 10**9)).write_bytes(b"x" * second)
    (tmp_path / "notes.txt").write_bytes(b"")
    (tmp_path / "gone.msgpack").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.msgpack").mkdir()
    listed = catalogue(tmp_path)
    assert [(entry.stream, entry.size, entry.began) for entry in listed] == [
        (f"s{second}", second, second * 10**9) for second in (1, 2, 3)
    ]


def test_a_file_of_another_name_began_when_it_was_last_written(tmp_path: Path) -> None:
    (tmp_path / "mine.msgpack").write_bytes(b"")
    os.utime(tmp_path / "mine.msgpack", ns=(5, 5))
    (tmp_path / file_name("s", 10**9)).write_bytes(b"")
    assert [(entry.began, entry.since) for entry in catalogue(tmp_path)] == [(10**9, 10**9), (None, 5)]


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file or directory: name a folder of recordings"):
        catalogue(tmp_path / "none")


def test_what_is_gone_is_written_or_shall_stay_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / file_name("s", 0)
    path.write_bytes(b"")
    (entry,) = catalogue(tmp_path)
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert not remove(entry)
    assert not remove(entry, unless=lambda asked: asked == entry.path)
    assert path.exists()
    assert remove(entry) and not path.exists()
    assert not remove(entry)
