"""What a diff looks like: every line within the width, nothing in colour alone, nothing that acts on a terminal, no secret."""

from __future__ import annotations

import json
import re
import time
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wsproxy
from wsproxy.analysis.diff.compare import diff
from wsproxy.analysis.diff.model import Diff, Options
from wsproxy.recording.events import Marker
from wsproxy.render.diff.jsonl import diff_objects
from wsproxy.render.diff.layout import cells
from wsproxy.render.diff.page import diff_lines
from wsproxy.render.diff.view import View
from wsproxy.render.jsonl import dump
from wsproxy.wire.events import C2S, S2C, Dir

from ..analysis.diff.talks import Said, chunk, delayed, instead, talk, told, without
from ..analysis.stories import SAMPLES, Story, Told, words
from ..recording.samples import any_event
from .acting import acts
from .make_pictures import PICTURES, picture
from .test_hostile_timeline import EVIL, HOSTILE

KEY, OTHER_KEY = "sk-planted-0123456789abcdef", "sk-replaced-9876543210fedcba"
AT_80 = View(80)
VIEWS = [
    View(80),
    View(160, beside=True),
    View(80, full=True),
    View(160, beside=True, full=True),
    View(40),
    View(60, beside=True),
]
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def lines(made: Diff, view: View = AT_80) -> list[str]:
    return ["".join(text for text, _ in line) for line in diff_lines(made, view)]


def shown(a: list[Said], b: list[Said], view: View = AT_80, **options: Any) -> str:
    return "\n".join(lines(diff(told(a), told(b), Options(**options)), view))


def said(what: Any, other: Any, dir: Dir = S2C) -> tuple[list[Said], list[Said]]:
    """A talk in which one message is another."""
    base = talk(3)
    return instead(base, 4, what), instead(base, 4, other)


# --- what a newcomer sees ---------------------------------------------------------------------------------------------


def test_the_block_that_was_lost_is_seen_at_80_columns() -> None:
    a, b = (wsproxy.open(SAMPLES / f"{name}.msgpack") for name in ("blocked-delivered", "blocked-lost"))
    found = lines(diff(a, b))
    text = "\n".join(found)
    assert found[0].startswith("A  ") and "blocked-delivered.msgpack" in found[0]
    assert "LOST: the client stopped listening 105 ms after its last chunk" in text
    assert "B lost 2 server messages" in text
    assert any(line.startswith("- 20") and '← CHUNK   "BLOCKED by judge' in line for line in found)
    assert any(line.startswith("+    20") and "→ CHUNK   usage=40 tokens" in line for line in found)
    assert 'x-judge-delay: "0.005" → "0.3"  (at 6 paths: data.metadata.headers' in text
    assert "· B waited 152 ms longer here" in text
    assert "- BLOCKED by judge (p=0.97): destructive SQL (DROP)" in text


def test_the_same_stands_beside_each_other_at_160_columns() -> None:
    a, b = (wsproxy.open(SAMPLES / f"{name}.msgpack") for name in ("blocked-delivered", "blocked-lost"))
    found = lines(diff(a, b), View(160, beside=True))
    assert "│ B  " in found[0]
    close = next(line for line in found if "22 0.2943 ← close" in line)
    left, shift, right = close.split("│")
    assert "1000 (normal)" in left and shift.strip() == "+157.3" and "23 0.4503 ← close" in right


def test_two_that_are_the_same_are_one_line() -> None:
    assert lines(diff(told(talk()), told(talk()))) == ["the same"]


@pytest.mark.parametrize(
    "pair", list(combinations(("allowed", "blocked-delivered", "blocked-lost", "long-compressed"), 2))
)
@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_no_line_of_the_samples_is_wider_than_the_screen(pair: tuple[str, str], view: View) -> None:
    a, b = (wsproxy.open(SAMPLES / f"{name}.msgpack") for name in pair)
    made = diff(a, b, Options(context=10**6 if view.full else 3))
    for line in diff_lines(made, view):
        assert cells(line) <= view.width


def test_signs_say_what_colours_say() -> None:
    base = talk()
    found = lines(diff(told(base), told(without(instead(base, 5, chunk("changed words")), 9))))
    assert [line[0] for line in found if line[:1] in "-+~>≈" and line] == ["~", "-"]


# --- changes ----------------------------------------------------------------------------------------------------------


def test_a_field_is_one_line_with_both_values() -> None:
    a, b = said(chunk("x", model="one"), chunk("x", model="two"))
    assert 'data.model: "one" → "two"' in shown(a, b)


def test_an_added_and_a_removed_field_have_a_sign() -> None:
    a, b = said(chunk("x", old=1), chunk("x", new=[1, 2]))
    text = shown(a, b)
    assert "- data.old: 1" in text and "+ data.new: [1, 2]" in text


def test_a_long_text_is_told_by_word_and_elided_around_the_change() -> None:
    many = "word " * 200
    a, b = said(chunk(f"{many}old thing {many}"), chunk(f"{many}new thing {many}"))
    text = " ".join(shown(a, b).split())
    assert "[-old-]{+new+} thing" in text
    assert "…" in text and text.count("word") < 60


def test_full_elides_nothing() -> None:
    many = " ".join(f"w{number}" for number in range(300))
    a, b = said(chunk(f"{many} old"), chunk(f"{many} new"))
    text = shown(a, b, View(80, full=True), context=10**6)
    for number in (0, 150, 299):
        assert f"w{number}" in text


def test_bytes_are_told_by_offset_in_hex() -> None:
    a, b = said(bytes(range(64)), bytes(range(32)) + b"\xff\xff" + bytes(range(34, 64)))
    assert "00000020  20 21 → ff ff" in shown(a, b)


def test_the_same_change_at_several_places_is_one() -> None:
    a, b = said({"x": {"rate": 1}, "y": {"rate": 1}}, {"x": {"rate": 2}, "y": {"rate": 2}})
    assert "rate: 1 → 2  (at 2 paths: x, y)" in shown(a, b)


def test_beside_each_other_each_side_marks_its_own_words() -> None:
    many = "word " * 40
    a, b = said(chunk(f"{many}old thing"), chunk(f"{many}new thing"))
    text = shown(a, b, View(160, beside=True))
    line = next(line for line in text.splitlines() if "[-old-]" in line)
    left, _, right = line.partition("│")
    assert "{+new+}" in right and "new" not in left


def test_a_gap_is_marked_where_it_is() -> None:
    base = talk()
    found = lines(diff(told(base), told(delayed(base, 7, 400))))
    assert "the same but for time" in found[0]
    made = diff(told(base), told(delayed(base, 7, 400)), Options(strict_time=True))
    text = lines(made)
    at = next(number for number, line in enumerate(text) if "· B waited 400 ms longer here" in line)
    assert "→ CHUNK" in text[at + 1]


def test_other_chunks_of_the_same_text_say_so() -> None:
    base = talk(2)
    text = shown(instead(base, 3, chunk("the lazy dog ")), instead(base, 3, chunk("the "), chunk("lazy dog ")))
    assert "≈" in text and "1 → 2 messages" in text
    assert "the same text, chunked differently" in text


def test_a_long_run_is_folded_to_its_ends_and_what_it_spells() -> None:
    base = talk(2)
    more = [Said(40 + number, S2C, chunk(f"n{number} ")) for number in range(200)]
    made = diff(told(base), told(sorted([*base, *more], key=lambda one: one.ms)))
    text = "\n".join(lines(made))
    assert "… 195 more added: 195 ← CHUNK" in text
    assert "they spell ← text: n3 n4 n5" in text
    assert "more added" not in "\n".join(lines(made, View(80, full=True)))


def test_a_field_that_changed_in_every_message_is_folded() -> None:
    a = [Said(10 + number, S2C, chunk(f"n{number} ", model="one")) for number in range(100)]
    b = [Said(10 + number, S2C, chunk(f"n{number} ", model="two")) for number in range(100)]
    text = shown(a, b)
    assert "… 95 more changed alike: 95 ← CHUNK" in text
    assert text.count('data.model: "one" → "two"') == 5


def test_stages_and_hops_that_differ_are_in_the_head() -> None:
    marks = [Marker(30_000_000 + number, "policy.chunk_in", number, None, None, 0) for number in range(3)]
    made = diff(told(talk(), extra=marks), told(talk(), extra=marks[:2]))
    text = "\n".join(lines(made))
    assert "stages policy.chunk_in  3 → 2" in text


def test_a_hop_that_takes_much_longer_is_in_the_head() -> None:
    def answered_after(ms: float) -> Told:
        story = Story().opens().starts()
        for number, one in enumerate(words(6)):
            story.up(20 + 50 * number, one).down(21 + ms + 50 * number, one)
        return Told(story.server_closes(400).events())

    made = diff(answered_after(1), answered_after(31))
    found = lines(made)
    assert found[0] == "the same"
    assert any("policy.chunk_in → policy.chunk_out: 1.6 → 31.6 ms  (+30.0, median)" in line for line in found)
    assert not any("callback.backend_chunk" in line for line in found)
    hops = [one for one in made.to_json() if one["kind"] == "hop"]
    assert {"kind": "hop", "from": "policy.chunk_in", "to": "policy.chunk_out", "a_p50_ms": 1.6, "b_p50_ms": 31.6} in [
        one | {"a_p50_ms": round(one["a_p50_ms"], 1), "b_p50_ms": round(one["b_p50_ms"], 1)} for one in hops
    ]


# --- secrets ----------------------------------------------------------------------------------------------------------

SECRET_PAIRS = [
    ({"api_key": KEY, "n": 1}, {"api_key": OTHER_KEY, "n": 2}),
    ({"api_key": "hunter2", "n": 1}, {"api_key": "hunter3", "n": 1}),
    ({"text": f"use {KEY} for it"}, {"text": f"use {OTHER_KEY} for it"}),
    ({"keys": {KEY: 1}}, {"keys": {KEY: 2}}),
    (f"plain {KEY} text", f"plain {OTHER_KEY} text"),
    (b"\x00binary " + KEY.encode(), b"\x00binary " + OTHER_KEY.encode()),
    ({"api_key": [KEY]}, {"api_key": [OTHER_KEY]}),
    ({"x": 1}, {"x": {"authorization": f"Bearer {KEY}"}}),
]  # fmt: skip


@pytest.mark.parametrize("pair", SECRET_PAIRS, ids=str)
@pytest.mark.parametrize("exact", [False, True])
def test_a_secret_is_masked_in_every_view(pair: tuple[Any, Any], exact: bool) -> None:
    a, b = said(*pair)
    made = diff(told(a), told(b), Options(exact=exact))
    views = [*VIEWS, View(120)]
    text = "\n".join("\n".join(lines(made, view)) for view in views)
    text += "\n".join(dump(one) for one in made.to_json())
    for secret in (KEY, OTHER_KEY, KEY[8:20], OTHER_KEY[8:20], "hunter2", "hunter3", KEY[8:20].encode().hex(" ")):
        assert secret not in text


def test_only_secrets_that_differ_are_said_to_differ() -> None:
    a, b = said({"api_key": "hunter2", "n": 1}, {"api_key": "hunter3", "n": 1})
    made = diff(told(a), told(b), Options(exact=True))
    assert "api_key: differs (masked)" in "\n".join(lines(made))
    changes = [change for one in diff_objects(made) if one["kind"] == "row" for change in one["changes"]]
    assert [change["masked"] for change in changes] == [True]
    assert "hunter3" in "\n".join(lines(made, View(80, secrets=True)))


def test_a_cookie_of_the_handshake_is_masked() -> None:
    a = told(talk(), headers=[("Cookie", "session=hunter2hunter2")])
    b = told(talk(), headers=[("Cookie", "session=hunter3hunter3")])
    made = diff(a, b, Options(exact=True))
    for view in VIEWS:
        assert "hunter" not in "\n".join(lines(made, view))
    assert "hunter" not in json.dumps(made.to_json())


# --- hostile, wide, large ---------------------------------------------------------------------------------------------

STRANGE = ["界限" * 60, "e\u0301" * 90, "👍🏽" * 60, "❤\ufe0f" * 60, "a" * 300, EVIL * 5, "שלום " * 30, "한글 " * 50]


@pytest.mark.parametrize("view", VIEWS, ids=str)
@pytest.mark.parametrize("text", STRANGE, ids=ascii)
def test_wide_and_strange_characters_stay_within_the_width(text: str, view: View) -> None:
    for a, b in (
        said(chunk(text + "x" + text), chunk(text + "y" + text)),
        said({text: text}, {text: 1}),
        said(text, text[1:]),
    ):
        made = diff(told(a, headers=[("X", "1")]), told(b), Options(context=10**6 if view.full else 3))
        for line in diff_lines(made, view):
            assert cells(line) <= view.width
            assert not [char for part, _ in line for char in part if acts(char)]


def test_nothing_that_a_hostile_recording_holds_acts_on_a_terminal() -> None:
    a, b = Told(HOSTILE), told(talk(), stream=EVIL)
    for pair in ((a, b), (b, a)):
        made = diff(*pair)
        for view in VIEWS:
            for line in diff_lines(made, view):
                assert cells(line) <= view.width
                assert not [char for part, _ in line for char in part if acts(char)]
        for one in made.to_json():
            assert dump(one).isascii()


@few
@given(st.lists(any_event, max_size=6), st.lists(any_event, max_size=6), st.booleans())
def test_any_two_recordings_can_be_shown(a: list[Any], b: list[Any], frames: bool) -> None:
    made = diff(Told(a), Told(b), Options(frames=frames))
    for view in (View(80), View(150, beside=True, full=True)):
        for line in diff_lines(made, view):
            assert cells(line) <= view.width
            assert not [char for part, _ in line for char in part if acts(char)]
    for one in made.to_json():
        dump(one)


@pytest.mark.parametrize("view", [View(80), View(160, beside=True)], ids=str)
def test_payloads_of_ten_mebibytes_are_shown_at_once(view: View) -> None:
    long = "".join(f"word{number} " for number in range(1_000_000))[: 10 << 20]
    binary = long.encode()
    a = instead(instead(talk(3), 4, chunk(long + "old")), 3, binary + b"1")
    b = instead(instead(talk(3), 4, chunk(long[: 5 << 20] + "CHANGED" + long[5 << 20 :])), 3, binary + b"2")
    made = diff(told(a), told(b))
    start = time.process_time()
    found = lines(made, view)
    assert time.process_time() - start < 10
    assert len(found) < 80 and max(map(len, found)) <= view.width
    assert "CHANGED" in "\n".join(found)


def test_many_differences_are_shown_in_a_few_lines() -> None:
    a = [Said(number, S2C, chunk(f"a{number}")) for number in range(5_000)]
    b = [Said(number, C2S, {"other": number}) for number in range(5_000)]
    assert len(lines(diff(told(a), told(b)))) < 80


# --- for programs -----------------------------------------------------------------------------------------------------


def test_json_lines_have_the_keys_that_programs_rely_on() -> None:
    a, b = (wsproxy.open(SAMPLES / f"{name}.msgpack") for name in ("blocked-delivered", "blocked-lost"))
    made = diff(a, b)
    found = made.to_json()
    first = found[0]
    assert first["kind"] == "diff" and first["essence"] == made.essence and first["same"] is False
    assert first["b"]["verdict"] == "LOST" and first["b"]["closed_by"] == "c2s" and first["b"]["close_code"] == 1000
    rows = [one for one in found if one["kind"] == "row"]
    lost = next(one for one in rows if one["op"] == "removed")
    assert (
        lost["a"]["number"] == 20 and lost["a"]["dir"] == "s2c" and lost["a"]["label"] == "CHUNK" and lost["b"] is None
    )
    assert "BLOCKED" in lost["a"]["payload"]
    changed = next(one for one in rows if one["op"] == "changed")
    assert {
        "op": "changed",
        "path": 'data.metadata.headers["x-judge-delay"]',
        "a": "0.005",
        "b": "0.3",
        "masked": False,
    } in changed["changes"]
    assert [one["b"] for one in found if one["kind"] == "spelled" and one["dir"] == "s2c"] == [""]


def test_a_diff_prints_and_dumps_from_python_as_the_command_does() -> None:
    a, b = (wsproxy.open(SAMPLES / f"{name}.msgpack") for name in ("blocked-delivered", "blocked-lost"))
    made = wsproxy.diff(a, b, dirs=["s2c"])
    assert "BLOCKED by judge" in str(made) and "→ CHUNK" not in str(made)
    assert made.to_json()[0]["essence"] == made.essence
    assert wsproxy.diff(a, a).same
    assert not wsproxy.diff(a, a, dirs=["c2s"]).differences


# --- the pictures of the README ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_of_the_readme_load_nothing(name: str) -> None:
    svg = (SAMPLES / f"{name}.svg").read_text()
    assert "BLOCKED&#160;by&#160;judge" in svg
    assert [url for url in re.findall(r"https?://[^\"' )]+", svg) if url != "http://www.w3.org/2000/svg"] == []
    assert not re.search(r"@font-face|@import|<image|xlink:href|<script", svg)


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_of_the_readme_are_what_the_command_prints(name: str) -> None:
    def texts(svg: str) -> list[str]:
        return re.findall(r"<text[^>]*>([^<\n]+)</text>", svg)

    assert texts(picture(name)) == texts((SAMPLES / f"{name}.svg").read_text())
