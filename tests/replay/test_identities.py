"""Ids renewed everywhere, values set, variables filled in; and which live request gets which recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

import wsproxy
from tests.cli.command import SAMPLES
from tests.relay.raw import ACCEPTED, frame, upgrade
from wsproxy import replay
from wsproxy.replay.identities import at_place, filled, parse_set, read_place
from wsproxy.replay.mentions import Renaming, shape_of
from wsproxy.replay.problems import ReplayError

from .conversations import only
from .made import CLIENT, HEADER, SERVER, spoken

GOOD = SAMPLES / "blocked-delivered.msgpack"
LONG = "136f0c3b-2ded-46ee-bc6c-d3c925298c38"


@pytest.mark.parametrize(
    ("old", "before", "after"),
    [
        (LONG, f'{{"id": "{LONG}", "path": "/stream/{LONG}"}}', '{"id": "new", "path": "/stream/new"}'),
        (LONG, f"x{LONG} {LONG}9", f"x{LONG} {LONG}9"),
        ("a b c d e", "/stream/a%20b%20c%20d%20e", "/stream/new"),
        ("1", '{"id": "1", "n": 1, "s": "11"} /stream/1', '{"id": "new", "n": 1, "s": "11"} /stream/new'),
        ("s1", "?stream=s1&x=s10", "?stream=new&x=s10"),
    ],
)
def test_an_id_is_renamed_where_it_is_a_word(old: str, before: str, after: str) -> None:
    assert Renaming(old, "new")(before.encode()).decode() == after


@given(st.text(min_size=8, max_size=30), st.text(min_size=8, max_size=30))
def test_renaming_keeps_json_whole(old: str, new: str) -> None:
    document = {"a": [1, "other", {"b": None}], "path": "/x"}
    out = Renaming(old, new)(
        json.dumps({"id": old, **document}, ensure_ascii=False).encode("utf-8", "backslashreplace")
    )
    got = json.loads(out.decode("utf-8", "surrogatepass"))
    assert set(got) == {"id", *document}


def test_an_id_cannot_add_a_line_to_a_head() -> None:
    head = b"HTTP/1.1 101 X\r\nX-Stream: long-enough-id\r\n\r\n"
    assert Renaming("long-enough-id", "a\r\nSet-Cookie: b").in_head(head).count(b"\r\n") == 3


def test_a_target_has_a_shape() -> None:
    name, pattern = shape_of(f"/v1/stream/{LONG}/x?again={LONG}", LONG) or ("", None)
    assert name == "/v1/stream/<id>/x?again=<id>"
    assert pattern is not None
    match = pattern.fullmatch("/v1/stream/abc/x?again=abc")
    assert match is not None and match["id"] == "abc"
    assert not pattern.fullmatch("/v1/stream/abc/x?again=abd")
    assert shape_of("/v1/stream/1", "1") is not None
    assert shape_of("/v1/stream", "1") is None and shape_of("/x", None) is None


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("data.choices[0].delta.content", ("data", "choices", 0, "delta", "content")),
        ("$.a['b c'][-1]", ("a", "b c", -1)),
        ("$", ()),
        ("[0]", (0,)),
        ("a-b.c_d", ("a-b", "c_d")),
    ],
)
def test_a_jsonpath_is_read(path: str, place: tuple[Any, ...]) -> None:
    assert read_place(path) == place if path != "$" else True


@pytest.mark.parametrize("path", ["a..b", "a[", "a[x]", "a b", ".", "a.", "*"])
def test_a_bad_jsonpath_is_refused(path: str) -> None:
    with pytest.raises(ReplayError, match="JSONPATH"):
        read_place(path)


def test_at_place_finds_what_is_there_and_nothing_else() -> None:
    value = {"a": [{"b": None}], "0": 1}
    assert at_place(value, ("a", 0, "b")) == [None]
    for nowhere in (("a", 1), ("a", "0"), (0,), ("a", 0, "b", "c"), ("x",)):
        assert at_place(value, nowhere) == []


def test_variables_are_filled_in_and_others_stay() -> None:
    assert filled("${A}-${B}", {"A": "1"}) == "1-${B}"
    edit = parse_set("data.model=${MODEL}", {"MODEL": "demo"})
    assert edit.text == "--set data.model"


async def test_fresh_ids_stand_in_path_headers_and_payloads(tmp_path: Path) -> None:
    async with replay.serve(GOOD) as server:
        report = await replay.play(GOOD, server.url, fresh_ids=True, record=tmp_path)
        await server.idle()
    again = only(report)
    live = again.header.stream_id
    assert live not in (None, LONG)
    wire = {dir: b"".join(b"".join(again.wire(dir, conn=conn)) for conn in (1, 2)) for dir in ("c2s", "s2c")}  # type: ignore[arg-type]
    assert LONG.encode() not in wire["c2s"] + wire["s2c"]
    texts = [message.text for message in again.messages() if message.opcode == 1]
    assert not any(LONG in text for text in texts)
    assert any(str(live) in text for text in texts)
    assert report.mismatches == server.report.mismatches == []


async def test_a_value_is_set_in_the_style_it_had(tmp_path: Path) -> None:
    edits = [replay.set_value("data.choices[0].delta.content", "ü")]
    recording = wsproxy.open(SAMPLES / "allowed.msgpack")
    async with replay.serve(recording, edits=edits, record=tmp_path, match="none") as server:
        await replay.play(recording, server.url, match="none")
        await server.idle()
    for before, after in zip(recording.messages(), only(server.report).messages(), strict=True):
        if before.dir == "s2c" and before.opcode == 1 and after.data != before.data:
            choice = after.json["data"]["choices"][0]
            assert choice["delta"]["content"] == "ü"
            assert b'": ' not in after.data or b'": ' in before.data


def talk(path: Path, target: str, stream_id: str, answer: bytes) -> wsproxy.Recording:
    words = [(CLIENT, upgrade(target)), (SERVER, ACCEPTED), (SERVER, frame(answer))]
    return spoken(path, words, HEADER._replace(stream_id=stream_id))


async def test_a_path_finds_its_recording_exactly_then_by_shape_then_in_order(tmp_path: Path) -> None:
    talk(tmp_path / "1.msgpack", "/stream/first-stream", "first-stream", b"I am first-stream, the first")
    talk(tmp_path / "2.msgpack", "/stream/second-stream", "second-stream", b"I am second-stream, the second")
    talk(tmp_path / "3.msgpack", "/other", "conn-3-abcdef", b"elsewhere")

    async def hear(path: str) -> str | bytes:
        async with connect(server.url + path) as client:
            return await client.recv()

    async with replay.serve(tmp_path, match="none", repeat=True) as server:
        assert await hear("/stream/second-stream") == "I am second-stream, the second"
        assert await hear("/other") == "elsewhere"
        assert await hear("/stream/new-stream") == "I am new-stream, the first"
        assert await hear("/stream/newer-stream") == "I am newer-stream, the first"
        assert await hear("/stream/second-stream") == "I am second-stream, the second"
    assert server.places.listing() == ["/stream/<id> (2)", "/other"]
