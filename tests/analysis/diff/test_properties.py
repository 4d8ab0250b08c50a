"""What holds for any two recordings: A against itself is empty, the edits of A give B, and B against A is the mirror."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wsproxy
from wsproxy.analysis.diff.compare import diff
from wsproxy.analysis.diff.model import Diff, Options, Row
from wsproxy.analysis.diff.structure import apply, mirrored
from wsproxy.wire.events import C2S, S2C

from ...recording.samples import EVENTS, HEADER
from ..stories import SAMPLES, Told
from .talks import Said, chunk, talk, told

RECORDINGS = sorted(SAMPLES.glob("*.msgpack"))
_values = st.one_of(
    st.builds(chunk, st.sampled_from(["a", "b", "ab", "abc", "c", "hello ", "hello world", ""])),
    st.builds(lambda n, s: {"type": "event", "n": n, "s": s}, st.integers(0, 3), st.text(max_size=4)),
    st.builds(lambda n: {"id": n, "v": [n, {"w": n % 2}]}, st.integers(0, 5)),
    st.sampled_from(["", "plain", "plain text", "5", "null", '"str"', "[1, 2]", "ünï 漢字 👍🏽"]),
    st.binary(max_size=6),
)
_talks = st.lists(st.builds(Said, st.integers(1, 400), st.sampled_from([C2S, S2C]), _values), max_size=14)


def in_time(said: list[Said]) -> list[Said]:
    return sorted(said, key=lambda one: one.ms)


@st.composite
def edited(draw: st.DrawFn) -> tuple[list[Said], list[Said]]:
    """A conversation and an edited copy of it, or two that have nothing to do with each other."""
    a = in_time(draw(_talks))
    b = list(a)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(b)))
        kind = draw(st.sampled_from(["drop", "insert", "change", "swap"]))
        if kind == "insert" or not b:
            b.insert(place, Said(b[place - 1].ms if place else 1, draw(st.sampled_from([C2S, S2C])), draw(_values)))
        elif kind == "drop":
            b.pop(place % len(b))
        elif kind == "change":
            old = b[place % len(b)]
            b[place % len(b)] = Said(old.ms, old.dir, draw(_values))
        elif place + 1 < len(b):
            one, other = b[place], b[place + 1]
            b[place], b[place + 1] = Said(one.ms, other.dir, other.what), Said(other.ms, one.dir, one.what)
    return a, in_time(b) if draw(st.booleans()) else in_time(draw(_talks))


def as_read(recording: Told) -> dict[int, Any]:
    """What each message says, by event number: JSON as its value, text, bytes."""
    from wsproxy.analysis.diff.side import Reading

    reading = Reading(recording, Options())
    numbers = [entry.number for entry in reading.entries if entry.kind == "message"]
    found = reading.contents(numbers)
    labels = {entry.number: entry.label for entry in reading.entries}
    return {n: c.value if c.is_json else c.data if labels[n] == "binary" else c.data.decode() for n, c in found.items()}


def patched(made: Diff, a: dict[int, Any]) -> dict[int, Any]:
    """B's messages, made of A's and of what the diff reports."""
    out: dict[int, Any] = {}
    for row in made.rows:
        if row.entry.kind != "message":
            continue
        if row.op in ("added", "rechunked"):
            for entry in row.b:
                content = made.contents_b[entry.number]
                plain = content.data if entry.label == "binary" else content.data.decode()
                out[entry.number] = content.value if content.is_json else plain
        elif row.op != "removed":
            out[row.b[0].number] = apply(a[row.a[0].number], row.changes)
    return out


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("options", [Options(), Options(exact=True), Options(frames=True)], ids=["", "exact", "frames"])
def test_a_recording_is_the_same_as_itself(path: Path, options: Options) -> None:
    made = diff(wsproxy.open(path), wsproxy.open(path), options)
    assert (made.exit_status, made.essence, made.differences, made.notes) == (0, "the same", [], [])


@settings(max_examples=300, deadline=None)
@given(pair=edited())
def test_the_edits_of_a_give_b(pair: tuple[list[Said], list[Said]]) -> None:
    a, b = (told(said) for said in pair)
    assert patched(diff(a, b, Options(exact=True)), as_read(a)) == as_read(b)


@settings(max_examples=300, deadline=None)
@given(pair=edited(), exact=st.booleans())
def test_b_against_a_is_the_mirror(pair: tuple[list[Said], list[Said]], exact: bool) -> None:
    a, b = (told(said) for said in pair)
    there, back = diff(a, b, Options(exact=exact)), diff(b, a, Options(exact=exact))

    def seen(rows: list[Row]) -> list[Any]:
        return sorted((row.a, row.b, row.op, repr(row.changes), row.renames, row.reordered) for row in rows)

    opposite = {"removed": "added", "added": "removed"}
    turned = [
        Row(
            opposite.get(row.op, row.op),
            row.b,
            row.a,
            tuple(mirrored(row.changes)),
            row.renames,
            reordered=row.reordered,
        )  # type: ignore[arg-type]
        for row in back.rows
    ]
    assert seen(there.rows) == seen(turned)
    assert there.exit_status == back.exit_status
    assert there.renamed == [(y, x) for x, y in back.renamed]


@settings(max_examples=200, deadline=None)
@given(said=_talks)
def test_a_conversation_is_the_same_as_itself(said: list[Said]) -> None:
    a = told(in_time(said))
    made = diff(a, a)
    assert (made.exit_status, made.differences) == (0, [])


@settings(max_examples=200, deadline=None)
@given(said=_talks, place=st.integers(0, 13))
def test_every_row_has_its_place(said: list[Said], place: int) -> None:
    """Each entry of both sides stands in exactly one row; A's stand in A's order, what only B has in B's."""
    a, b = told(in_time(said)), told(in_time(said[:place] + said[place + 1 :]))
    made = diff(a, b)
    of_a = [entry.number for row in made.rows for entry in row.a]
    of_b = [entry.number for row in made.rows for entry in row.b]
    assert sorted(of_a) == of_a and len(set(of_b)) == len(of_b)
    assert (len(of_a), len(of_b)) == (len(said) + 6, len(said) + 6 - (place < len(said)))


@settings(max_examples=200, deadline=None)
@given(a=st.lists(st.one_of(*EVENTS.values()), max_size=12), b=st.lists(st.one_of(*EVENTS.values()), max_size=12))
def test_any_events_can_be_compared(a: list[Any], b: list[Any]) -> None:
    made = diff(Told(a, HEADER), Told(b, HEADER))
    assert made.essence
    assert diff(Told(a, HEADER), Told(a, HEADER)).differences == []


def test_a_talk_is_not_its_half() -> None:
    assert len(diff(told(talk(10)), told(talk(5))).differences) == 10
