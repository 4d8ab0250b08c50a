"""Which chunk is which, from one stage to the next, and through a policy."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.analysis.journey.chunks import TEXT
from wsproxy.analysis.journey.matching import INVENT, MERGE, PASS, REPEAT, REWRITE, Turn, align, out_of_order, turns
from wsproxy.analysis.journey.sightings import Sighting, Sightings

letters = st.lists(st.integers(1, 4), max_size=30)


def of(text: str) -> list[int]:
    return [ord(char) for char in text]


@pytest.mark.parametrize(
    ("before", "after", "matched"),
    [
        ("abcd", "abcd", [0, 1, 2, 3]),
        ("abcd", "abd", [0, 1, 3]),  # lost
        ("abcd", "abbcd", [0, 1, -1, 2, 3]),  # doubled
        ("abcd", "acbd", [0, 2, 1, 3]),  # swapped
        ("abcd", "aXcd", [0, 1, 2, 3]),  # changed
        ("xyxz", "yxz", [1, 2, 3]),  # the first of two equal ones lost
        ("xyxz", "xxyxz", [0, -1, 1, 2, 3]),
        ("aaaa", "aa", [0, 1]),
        ("abcdef", "fabcde", [5, 0, 1, 2, 3, 4]),  # the last one came first
        ("", "ab", [-1, -1]),
        ("ab", "", []),
    ],
)
def test_chunks_are_matched_by_content_in_order(before: str, after: str, matched: list[int]) -> None:
    assert list(align(of(before), of(after))) == matched


def test_what_has_no_content_is_matched_by_its_place() -> None:
    assert list(align(of("abc"), [0, 0, 0])) == [0, 1, 2]


@given(letters)
def test_a_healthy_stream_matches_itself(stream: list[int]) -> None:
    assert list(align(stream, stream)) == list(range(len(stream)))


@given(letters, letters)
def test_nothing_matches_twice_and_equal_contents_match_as_often_as_they_can(
    before: list[int], after: list[int]
) -> None:
    matched = align(before, after, changed=False)
    found = [i for i in matched if i >= 0]
    assert len(found) == len(set(found))
    assert all(before[i] == after[j] for j, i in enumerate(matched) if i >= 0)
    assert len(found) == (Counter(before) & Counter(after)).total()


@given(letters, st.integers(0, 29))
def test_one_lost_chunk_is_the_only_one_that_is_missing(stream: list[int], at: int) -> None:
    if at < len(stream):
        matched = align(stream, stream[:at] + stream[at + 1 :])
        assert -1 not in matched and out_of_order(matched) == []
        assert {stream[i] for i in set(range(len(stream))) - set(matched)} == {stream[at]}


@given(st.permutations(range(12)))
def test_what_moved_leaves_the_rest_in_order(order: list[int]) -> None:
    moved = set(out_of_order(order))
    rest = [i for j, i in enumerate(order) if j not in moved]
    assert rest == sorted(rest)
    assert (not moved) == (order == sorted(order))


def seen(text: str, since: int = 0, step: int = 10) -> Sightings:
    return Sightings(Sighting(since + n * step, n, ord(char), TEXT) for n, char in enumerate(text))


def test_a_policy_that_passes_answers_each_with_itself() -> None:
    assert list(turns(seen("abc"), seen("abc", 1))) == [Turn(PASS, (n,)) for n in range(3)]


def test_a_policy_that_rewrites_answers_one_for_one() -> None:
    assert list(turns(seen("abc"), seen("ABc", 1))) == [Turn(REWRITE, (0,)), Turn(REWRITE, (1,)), Turn(PASS, (2,))]


def test_one_output_for_many_stands_for_all_that_was_consumed_before_it() -> None:
    assert list(turns(seen("abcde"), seen("abX", 41))) == [Turn(PASS, (0,)), Turn(PASS, (1,)), Turn(MERGE, (2, 3, 4))]
    assert list(turns(seen("abcde"), seen("X", 25))) == [Turn(MERGE, (0, 1, 2))]


def test_an_output_for_nothing_is_the_policy_s_own() -> None:
    outs = Sightings([*seen("ab", 1), Sighting(12, 9, ord("-"), TEXT), *seen("cd", 21)])
    assert [turn.kind for turn in turns(seen("abcd"), outs)] == [PASS, PASS, INVENT, PASS, PASS]


def test_a_second_copy_is_a_repetition() -> None:
    assert [turn.kind for turn in turns(seen("abc"), seen("abbc", 30))] == [PASS, PASS, REPEAT, PASS]


def test_what_came_out_before_it_went_in_is_something_else() -> None:
    assert list(turns(seen("a", 100), seen("a", 1))) == [Turn(INVENT, ())]


def test_times_that_are_not_exact_do_not_part_cause_and_effect() -> None:
    late = Sightings([Sighting(100, 0, ord("a"), TEXT, None, 60)])
    early = Sightings([Sighting(1, 1, ord("a"), TEXT, None, 60)])
    assert list(turns(late, early)) == [Turn(PASS, (0,))]


@given(letters, letters)
def test_no_input_is_answered_twice(ins: list[int], outs: list[int]) -> None:
    consumed = Sightings(Sighting(n * 10, n, essence, TEXT) for n, essence in enumerate(ins))
    made = Sightings(Sighting(n * 7 + 3, n, essence, TEXT) for n, essence in enumerate(outs))
    result = turns(consumed, made)
    answered = [i for turn in result for i in turn.inputs]
    assert len(result) == len(outs) and len(answered) == len(set(answered))
    assert all(consumed[i].t <= made[j].t for j, turn in enumerate(result) for i in turn.inputs)
