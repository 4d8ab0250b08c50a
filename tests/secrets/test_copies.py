"""For any conversation with secrets in any place: a copy holds none of them, all the rest, and proves what it can."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings

from wsproxy.analysis.exactness import check
from wsproxy.recording.events import DIGEST_OF_1, VERSION
from wsproxy.recording.messages import Message
from wsproxy.recording.reader import Recording
from wsproxy.recording.view import HttpBody, items
from wsproxy.secrets.copy import learn, write_copy
from wsproxy.secrets.masking import MASK, Masker
from wsproxy.wire.events import DECODED, WITHHELD

from ..recording.samples import NAMES, capture, finished, write
from .conversations import Planted, conversations
from .forms import leaks_in_file

many = settings(max_examples=150, deadline=None)


def copied(original: Path, name: str = "copy.msgpack") -> Path:
    recording = Recording(original)
    masker = Masker(numbered=True)
    result = check(learn(recording, masker), recording.header.digest)
    wrong = {(stretch.conn, stretch.dir) for stretch in result.stretches if stretch.exact is False}
    return write_copy(recording, original.with_name(name), masker, wrong=wrong).path


def told(path: Path) -> list[tuple[Any, ...]]:
    """What a reader sees of each item but its content: kind, time, order, and the figures of the wire."""
    rows: list[tuple[Any, ...]] = []
    for _, item in items(Recording(path).events()):
        if isinstance(item, Message):
            rows.append(
                (
                    "message",
                    item.conn,
                    item.dir,
                    item.t,
                    item.t_end,
                    item.opcode,
                    item.wire,
                    item.frames,
                    item.compressed,
                )
            )
        elif isinstance(item, HttpBody):
            rows.append(("body", item.conn, item.dir, item.t, item.t_end, item.wire, item.complete))
        else:
            rows.append(
                (type(item).__name__, getattr(item, "conn", 0), getattr(item, "dir", None), getattr(item, "t", None))
            )
    return rows


@many
@given(conversations())
def test_nothing_of_a_secret_is_in_a_copy(planted: Planted) -> None:
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(write(Path(folder) / "r.msgpack", planted.events))
        assert leaks_in_file(copy, planted.secrets) == []


@many
@given(conversations())
def test_a_copy_is_whole_and_what_is_not_redacted_is_exact(planted: Planted) -> None:
    with tempfile.TemporaryDirectory() as folder:
        original = write(Path(folder) / "r.msgpack", planted.events)
        recording = Recording(copied(original))
        result = check(recording.events())
        assert result.problems == []
        assert recording.ending is not None and recording.ending.state == "finished"
        assert all(stretch.exact or stretch.redacted for stretch in result.stretches)
        before = check(Recording(original).events())
        assert [(s.conn, s.dir, s.bytes, s.frames) for s in result.stretches] == [
            (s.conn, s.dir, s.bytes, s.frames) for s in before.stretches
        ]


@many
@given(conversations())
def test_times_order_and_sizes_on_the_wire_stay(planted: Planted) -> None:
    with tempfile.TemporaryDirectory() as folder:
        original = write(Path(folder) / "r.msgpack", planted.events)
        before, after = told(original), told(copied(original))
        assert sorted(map(repr, after)) == sorted(map(repr, before))


@many
@given(conversations())
def test_what_holds_no_secret_is_unchanged(planted: Planted) -> None:
    with tempfile.TemporaryDirectory() as folder:
        original = write(Path(folder) / "r.msgpack", planted.events)
        before = {(m.conn, m.dir, m.t, m.opcode): m for m in Recording(original).messages()}
        for message in Recording(copied(original)).messages():
            was = before[message.conn, message.dir, message.t, message.opcode]
            if message.redacted in (None, DECODED) and not message.error:
                assert message.data == was.data
            elif message.redacted != WITHHELD and not message.error:
                assert "masked" in message.data.replace(b"\x00", b"").decode("utf-8", "replace")


@many
@given(conversations())
def test_redacting_a_copy_changes_nothing(planted: Planted) -> None:
    with tempfile.TemporaryDirectory() as folder:
        once = copied(write(Path(folder) / "r.msgpack", planted.events))
        assert copied(once, "again.msgpack").read_bytes() == once.read_bytes()


def test_a_secret_in_the_trailer_of_a_chunked_body_is_not_kept(tmp_path: Path) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"5\r\nhello\r\n0\r\nX-Api-Key: hunter2-hunter2-hunter2\r\n\r\n"
    original = write(
        tmp_path / "r.msgpack", finished({1: [(1, "c2s", head + body), (2, "c2s", None), (3, "s2c", None)]})
    )
    copy = copied(original)
    assert leaks_in_file(copy, ["hunter2-hunter2-hunter2"]) == []
    assert [item.data for _, item in items(Recording(copy).events()) if isinstance(item, HttpBody)] == [b"hello"]


def test_a_body_whose_coding_is_unknown_is_withheld_and_said(tmp_path: Path) -> None:
    head = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\n"
    original = write(
        tmp_path / "r.msgpack", finished({1: [(1, "c2s", head + b"hello"), (2, "c2s", None), (3, "s2c", None)]})
    )
    (body,) = (item for _, item in items(Recording(copied(original)).events()) if isinstance(item, HttpBody))
    assert (body.data, body.wire, body.redacted) == (b"", 5, WITHHELD)


def test_two_keys_that_begin_alike_have_masks_that_differ_and_stay_the_same() -> None:
    masker = Masker(numbered=True)
    first, second = "sk-planted-client-0123456789", "sk-planted-provider-0123456789"
    assert masker.text(f"{first} {second} {first}") == "sk-p…masked sk-p…masked2 sk-p…masked"
    assert all(MASK.fullmatch(mask) for mask in ("sk-p…masked", "sk-p...masked2", "…masked"))


def test_the_captures_of_the_real_pipeline_lose_their_keys_and_nothing_else(tmp_path: Path) -> None:
    for name in NAMES:
        original = write(tmp_path / f"{name}.msgpack", capture(name))
        copy = copied(original, f"{name}-copy.msgpack")
        assert told(copy) == told(original)
        shown = [m.json for m in Recording(copy).messages() if m.opcode == 1]
        was = [m.json for m in Recording(original).messages() if m.opcode == 1]
        assert shown[1:] == was[1:]
        assert shown[0].keys() == was[0].keys() and shown[0]["data"].keys() == was[0]["data"].keys()


def test_a_copy_of_a_recording_of_format_1_has_that_one_s_digests(tmp_path: Path) -> None:
    original = tmp_path / "r.msgpack"
    original.write_bytes((Path(__file__).parents[1] / "recording/format-1.2.msgpack").read_bytes())
    copy = Recording(copied(original))
    assert (copy.header.version, copy.header.digest) == (VERSION, DIGEST_OF_1)
    result = check(copy.events(), DIGEST_OF_1)
    assert result.problems == []
    assert [(stretch.dir, stretch.exact, stretch.redacted) for stretch in result.stretches] == [
        ("c2s", None, 1),
        ("s2c", True, 0),
    ]
