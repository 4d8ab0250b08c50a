"""One edit in a conversation is reported as exactly that edit, with nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from wsproxy.analysis.diff.compare import diff
from wsproxy.analysis.diff.model import Diff, Options, Row
from wsproxy.analysis.diff.structure import Change
from wsproxy.recording.events import Marker
from wsproxy.wire.events import C2S, S2C, Frame

from .talks import Said, chunk, delayed, instead, talk, told, without

TALK = talk()
PLACES = range(1, len(TALK) - 1)  # all chunks, both directions


def differing(made: Diff) -> list[Row]:
    return made.differences


def only_row(made: Diff) -> Row:
    [row] = differing(made)
    assert made.exit_status == 1
    return row


@pytest.mark.parametrize("place", range(len(TALK)))
def test_a_dropped_message_is_one_removed(place: int) -> None:
    row = only_row(diff(told(TALK), told(without(TALK, place))))
    assert (row.op, row.b) == ("removed", ())
    assert row.a[0].t == TALK[place].ms * 1e6


@pytest.mark.parametrize("place", PLACES)
def test_an_inserted_message_is_one_added(place: int) -> None:
    new = Said(TALK[place].ms - 0.5, TALK[place].dir, chunk("something else "))
    row = only_row(diff(told(TALK), told([*TALK[:place], new, *TALK[place:]])))
    assert (row.op, row.a) == ("added", ())
    assert row.b[0].t == new.ms * 1e6


@pytest.mark.parametrize("place", PLACES)
def test_a_message_that_came_twice_is_one_added(place: int) -> None:
    again = replace(TALK[place], ms=TALK[place].ms + 0.5)
    row = only_row(diff(told(TALK), told([*TALK[: place + 1], again, *TALK[place + 1 :]])))
    assert row.op == "added"


@pytest.mark.parametrize("place", PLACES)
def test_a_changed_field_is_that_field(place: int) -> None:
    changed = chunk(TALK[place].what["data"]["choices"][0]["delta"]["content"], model="other")
    row = only_row(diff(told(TALK), told(instead(TALK, place, changed))))
    assert row.op == "changed"
    assert row.changes == (Change("changed", ("data", "model"), "demo", "other"),)


@pytest.mark.parametrize("place", PLACES)
def test_a_changed_word_is_that_word(place: int) -> None:
    row = only_row(diff(told(TALK), told(instead(TALK, place, chunk("nothing alike")))))
    [change] = row.changes
    assert change.path == ("data", "choices", 0, "delta", "content")
    assert change.b == "nothing alike"


def test_an_added_and_a_removed_field_are_told_as_such() -> None:
    more = chunk("word-3 ", usage={"total_tokens": 3})
    there, back = told(TALK), told(instead(TALK, 7, more))
    assert only_row(diff(there, back)).changes == (Change("added", ("data", "usage"), None, {"total_tokens": 3}),)
    assert only_row(diff(back, there)).changes == (Change("removed", ("data", "usage"), {"total_tokens": 3}, None),)


@pytest.mark.parametrize("place", PLACES[:-2])
def test_two_swapped_messages_are_one_moved(place: int) -> None:
    swapped = list(TALK)
    swapped[place], swapped[place + 2] = (
        replace(TALK[place + 2], ms=TALK[place].ms),
        replace(TALK[place], ms=TALK[place + 2].ms),
    )
    assert only_row(diff(told(TALK), told(swapped))).op == "moved"


@pytest.mark.parametrize("place", PLACES)
def test_a_split_chunk_spells_the_same(place: int) -> None:
    text = TALK[place].what["data"]["choices"][0]["delta"]["content"]
    there, back = told(TALK), told(instead(TALK, place, chunk(text[:3]), chunk(text[3:])))
    made = diff(there, back)
    row = only_row(made)
    assert (row.op, len(row.a), len(row.b)) == ("rechunked", 1, 2)
    assert all(spelled.same for spelled in made.spelled)
    assert (only_row(diff(back, there)).op, made.essence) == (
        "rechunked",
        f"the {'client' if row.entry.dir == C2S else 'server'} says the same text, chunked differently (1 → 2 messages)",
    )


def test_a_split_text_and_split_bytes_are_told_too() -> None:
    for whole, parts in (("some long text", ("some ", "long text")), (b"\0\1\2\3", (b"\0\1", b"\2\3"))):
        said = [Said(1, C2S, "before"), Said(2, C2S, whole), Said(3, C2S, "after")]
        row = only_row(diff(told(said), told(instead(said, 1, *parts))))
        assert (row.op, len(row.a), len(row.b)) == ("rechunked", 1, 2)


def test_a_whole_answer_in_other_chunks_is_the_same_text() -> None:
    text = "the quick brown fox jumps over the lazy dog and runs away "
    cut_3 = [Said(10 + at, S2C, chunk(text[at : at + 3])) for at in range(0, len(text), 3)]
    cut_5 = [Said(10 + at, S2C, chunk(text[at : at + 5])) for at in range(0, len(text), 5)]
    made = diff(told(cut_3), told(cut_5))
    assert {row.op for row in differing(made)} <= {"rechunked", "changed"}
    assert not any(row.op == "changed" for row in differing(made))
    [spelled] = made.spelled
    assert spelled.same and (spelled.a_chunks, spelled.b_chunks) == (len(cut_3), len(cut_5))


@pytest.mark.parametrize("place", PLACES)
def test_a_delay_is_one_gap_and_no_difference_unless_asked(place: int) -> None:
    a, b = told(TALK), told(delayed(TALK, place, 130))
    made = diff(a, b)
    assert (made.exit_status, differing(made)) == (0, [])
    [row] = [row for row in made.rows if row.gap is not None]
    assert (row.a[0].t, row.gap) == (TALK[place].ms * 1e6, 130_000_000)
    assert diff(a, b, Options(strict_time=True)).exit_status == 1
    assert diff(a, b, Options(strict_time=True, tolerance=200_000_000)).exit_status == 0


def test_one_late_message_is_one_gap() -> None:
    late = [replace(one, ms=one.ms + 60) if one.what == TALK[-2].what else one for one in TALK]
    made = diff(told(TALK), told([*late[:-1], replace(late[-1], ms=late[-1].ms)]))
    assert [row.gap for row in made.rows if row.gap is not None] == [60_000_000]


def test_another_close_code_is_told_with_who_closed() -> None:
    made = diff(told(TALK), told(TALK, code=1011))
    assert [row.entry.kind for row in differing(made)] == ["close", "close"]
    assert made.essence == "then closed with 1011 by the client (A: 1000 by the client)"


def test_another_closer_is_a_difference() -> None:
    made = diff(told(TALK), told(TALK, closer=S2C), Options(tolerance=0))
    assert made.exit_status == 1
    assert "then closed with 1000 by the server (A: 1000 by the client)" in made.essence


def test_a_reset_is_not_a_fin() -> None:
    made = diff(told(TALK), told(TALK, how="reset"))
    assert {row.entry.kind for row in differing(made)} == {"end"}
    assert made.exit_status == 1


def test_another_header_is_named() -> None:
    made = diff(told(TALK, headers=[("Sec-WebSocket-Extensions", "permessage-deflate")]), told(TALK))
    assert only_row(made).changes[0].path == ("headers", "sec-websocket-extensions")
    assert made.essence == "another handshake or HTTP head (sec-websocket-extensions)"


def markers(*stages: str) -> list[Marker]:
    return [Marker(15_000_000 + at, stage, 0, None, "test", 0) for at, stage in enumerate(stages)]


def test_stages_of_one_side_only_are_told() -> None:
    a = told(TALK, extra=markers("policy.chunk_in", "policy.chunk_out"))
    made = diff(a, told(TALK, extra=markers("policy.chunk_in")))
    assert [(one.name, one.a, one.b) for one in made.stages] == [("policy.chunk_out", 1, 0)]
    assert made.exit_status == 1


def test_a_recording_without_hooks_is_not_another_conversation() -> None:
    made = diff(told(TALK, extra=markers("policy.chunk_in")), told(TALK))
    assert (made.exit_status, made.stages) == (0, [])
    assert made.notes == ["A has stage markers and B has none: stages are not compared"]


def test_a_direction_can_be_left_out() -> None:
    b = told(instead(TALK, 3, chunk("up")))
    assert diff(told(TALK), b).exit_status == 1
    assert diff(told(TALK), b, Options(dirs=("s2c",))).exit_status == 0


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        (Options(ignore=("data.model",)), False),
        (Options(ignore=("data.choices[*].delta",)), True),
        (Options(only=("data.choices[*].delta.**",)), False),
        (Options(only=("data.model",)), True),
    ],
)
def test_paths_choose_what_counts(options: Options, differs: bool) -> None:
    b: Any = told(instead(TALK, 3, chunk("word-1 ", model="other")))
    assert diff(told(TALK), b, options).exit_status == differs


def test_frames_can_be_compared_as_they_stood_on_the_wire() -> None:
    """Compressed ones by their digest: another payload is a difference, and its bytes are not shown."""
    frames = [[Frame(1, C2S, 15_000_000, 0xC1, b"\1\2\3\4", 4, 7, payload)] for payload in (b"\1234", b"\1235")]
    a, b = (told(TALK, extra=some) for some in frames)
    row = only_row(diff(a, b, Options(frames=True)))
    [change] = row.changes
    assert (row.op, change.path) == ("changed", ("payload",))
    assert change.a.startswith("compressed, SHA-256 ") and change.a != change.b
    made = diff(told(TALK), told(TALK, code=1011), Options(frames=True))
    assert made.essence == "2 frames differ (payload); then closed with 1011 by the client (A: 1000 by the client)"
    assert (made.a.unit, made.a.up, made.a.down) == ("frame", 10, 8)
