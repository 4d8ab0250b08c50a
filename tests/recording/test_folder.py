"""Names of recordings, and what REC on a command line means."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.errors import RecordingError
from wsproxy.recording.folder import file_name, id_in_name, recordings, resolve, safe_id

any_id = st.text(st.characters(exclude_categories=[]), min_size=1, max_size=120)


@given(any_id)
def test_a_safe_id_is_a_plain_part_of_a_file_name(stream_id: str) -> None:
    safe = safe_id(stream_id)
    assert safe and not set(safe) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert not safe.startswith(".") and len(safe) < 100
    assert id_in_name(Path(file_name(stream_id, 1))) == safe


@given(any_id, any_id)
def test_different_ids_have_different_names_also_where_case_does_not_count(one: str, other: str) -> None:
    if one != other:
        assert safe_id(one).lower() != safe_id(other).lower()


@given(st.text("abAB -_.é/", min_size=1, max_size=6), st.sampled_from([str, str.lower]))
def test_an_id_that_looks_like_the_safe_form_of_another_has_a_name_of_its_own(stream_id: str, form: type[str]) -> None:
    imitation = form(safe_id(stream_id))
    if imitation != stream_id:
        assert safe_id(imitation).lower() != safe_id(stream_id).lower()


def test_names_sort_by_time() -> None:
    times = [0, 999_999, 1_000_000, 10**9, 1_700_000_000_123_456_789]
    assert sorted(names := [file_name("s", t) for t in times]) == names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for second, stream in enumerate(["req-1", "req-12", "other", "other", "Ähm", "a/b"]):
        (tmp_path / file_name(stream, second * 10**9)).write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    return tmp_path


def test_at_last_and_numbers_count_from_the_end(folder: Path) -> None:
    paths = recordings(folder)
    assert len(paths) == 6
    assert [resolve(name, folder) for name in ("@last", "@1", "@2", "@6")] == [
        paths[-1],
        paths[-1],
        paths[-2],
        paths[0],
    ]
    for name in ("@0", "@7"):
        with pytest.raises(RecordingError, match="holds 6 recordings"):
            resolve(name, folder)


def test_an_id_a_unique_prefix_and_a_path_are_resolved(folder: Path) -> None:
    assert id_in_name(resolve("req-1", folder)) == "req-1"
    assert id_in_name(resolve("req-12", folder)) == "req-12"
    assert resolve("oth", folder) == recordings(folder)[3]
    assert id_in_name(resolve("Ähm", folder)) == safe_id("Ähm")
    path = recordings(folder)[0]
    assert resolve(str(path), folder) == path


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("req", "2 streams start with that"),
        ("nobody", "no stream in"),
        ("x/none.msgpack", "no such file"),
        ("x" * 5_000, "xxx"),
    ],
)
def test_what_cannot_be_resolved_is_a_sentence(folder: Path, reference: str, says: str) -> None:
    with pytest.raises(RecordingError, match=says):
        resolve(reference, folder)


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no such file"):
        resolve("@last", tmp_path / "none")
