"""Two sequences are aligned as a person would do it: as much as possible, in order, and the same from both sides."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.analysis import align as module
from wsproxy.analysis.align import Alignment, align, in_order
from wsproxy.analysis.sliding import runs_of, slid
from wsproxy.analysis.subsequences import increasing, longest_common

letters = st.lists(st.integers(0, 3), max_size=14)
keys = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.floats(),
    st.text("ab", max_size=2),
    st.binary(max_size=1),
    st.tuples(st.sampled_from([None, "a", 1])),
    st.frozensets(st.integers(0, 2)),
)
dice = st.integers(0, 2**32).map(random.Random)


def length_of_longest_common(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """The textbook's table."""
    above = [0] * (len(b) + 1)
    for one in a:
        row = [0]
        for j, other in enumerate(b):
            row.append(above[j] + 1 if one == other else max(above[j + 1], row[-1]))
        above = row
    return above[-1]


def checked(a: Sequence[Hashable], b: Sequence[Hashable], budget: int = module.DEFAULT_BUDGET) -> Alignment:
    """An alignment that is one, and that is the same from the other side."""
    found = align(a, b, budget=budget)
    assert all(a[i] is b[j] or a[i] == b[j] for i, j in found.pairs)
    assert all(i < p and j < q for (i, j), (p, q) in pairwise(found.pairs))
    back = align(b, a, budget=budget)
    assert back == ([(j, i) for i, j in found.pairs], found.coarse)
    return found


def left_over(a: str, b: str) -> tuple[list[int], list[int]]:
    """What has no partner, on both sides."""
    found = checked(a, b)
    assert not found.coarse
    return sorted(set(range(len(a))) - {i for i, _ in found.pairs}), sorted(
        set(range(len(b))) - {j for _, j in found.pairs}
    )


@contextmanager
def small_blocks(cells: int, runs: tuple[int, ...] = (1, 2, 4)) -> Iterator[None]:
    """What is otherwise done to long sequences is done to short ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EXACT_CELLS", cells)
        patch.setattr(module, "RUNS", runs)
        patch.setattr(module, "WIDEST", 8)
        patch.setattr(module, "NARROWEST", 4)
        yield


@pytest.mark.parametrize(
    ("a", "b", "only_a", "only_b"),
    [
        ("", "", [], []),
        ("", "ab", [], [0, 1]),
        ("abcd", "abcd", [], []),
        ("abcd", "abd", [2], []),  # dropped
        ("abcd", "abXcd", [], [2]),  # inserted
        ("abcd", "aXcd", [1], [1]),  # replaced
        ("abcdefghi", "afghbcdei", [5, 6, 7], [1, 2, 3]),  # moved: the longer part stays
        ("abcdefghi", "aefghbcdi", [1, 2, 3], [5, 6, 7]),
        ("xaaay", "xaaaay", [], [4]),  # in a run of equal keys the last one is new
        ("xaaaay", "xaaay", [4], []),
        ("xababy", "xabababy", [], [5, 6]),  # and in a longer repetition as well
        ("XaaZ", "YaaaZ", [0], [0, 3]),  # one key was replaced before the run
        ("XpuZ", "YqrpuZ", [0], [0, 1, 2]),  # and no change is torn in two
        (
            "1uvw2",
            "3upqvrvw4",
            [0, 4],
            [0, 2, 3, 4, 5, 8],
        ),  # an inserted block is one, though a part of it could be paired
    ],
)
def test_what_has_no_partner_is_what_a_person_would_point_at(
    a: str, b: str, only_a: list[int], only_b: list[int]
) -> None:
    assert left_over(a, b) == (only_a, only_b)


@given(st.lists(keys, max_size=20))
def test_a_sequence_is_paired_with_itself_completely(a: list[Hashable]) -> None:
    assert align(a, a) == ([(i, i) for i in range(len(a))], False)
    assert len(align(a, list(a), budget=0).pairs) == len(a)


@given(st.lists(keys, max_size=12), st.lists(keys, max_size=12))
def test_keys_may_be_of_any_kind_and_both_sides_see_the_same(a: list[Hashable], b: list[Hashable]) -> None:
    checked(a, b)


@given(letters, letters)
def test_as_many_as_possible_are_paired(a: list[int], b: list[int]) -> None:
    found = checked(a, b)
    assert len(found.pairs) == length_of_longest_common(a, b) and not found.coarse


@given(dice, st.integers(1, 60), st.integers(50, 250), st.integers(50, 250))
def test_as_many_as_possible_are_paired_of_hundreds(rng: random.Random, kinds: int, n: int, m: int) -> None:
    a, b = rng.choices(range(kinds), k=n), rng.choices(range(kinds), k=m)
    assert len(checked(a, b).pairs) == length_of_longest_common(a, b)


@given(dice, st.integers(1, 40), st.integers(0, 200), st.sampled_from([0, 4, 64]))
def test_cutting_at_anchors_and_moving_windows_keep_the_order(
    rng: random.Random, kinds: int, n: int, cells: int
) -> None:
    a = rng.choices(range(kinds), k=n)
    b = edited(rng, a, 10) if rng.random() < 0.5 else rng.choices(range(kinds), k=rng.randrange(200))
    with small_blocks(cells):
        checked(a, b)


@given(dice, st.integers(1, 5), st.integers(0, 300), st.integers(0, 3000))
def test_a_small_budget_gives_a_coarser_answer_that_says_so(
    rng: random.Random, kinds: int, n: int, budget: int
) -> None:
    a, b = rng.choices(range(kinds), k=n), rng.choices(range(kinds), k=n)
    with small_blocks(4, runs=()):
        found = checked(a, b, budget=budget)
    assert found.coarse or len(found.pairs) == length_of_longest_common(a, b)


def edited(rng: random.Random, a: Sequence[int], times: int) -> list[int]:
    b = list(a)
    for _ in range(times):
        at, key = rng.randrange(len(b) + 1), rng.choice(a) if a else 0
        match rng.randrange(4):
            case 0:
                b.insert(at, key)
            case 1:
                del b[at : at + 1]
            case 2:
                b[at : at + 1] = [key]
            case _ if b:
                b.insert(at, b.pop(rng.randrange(len(b))))
    return b


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40) | st.permutations(range(9)), st.data())
def test_one_edit_leaves_exactly_the_others_paired(a: list[int], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(a) - 1))
    new = data.draw(st.integers(0, 9))
    assert len(checked(a, a[:at] + a[at + 1 :]).pairs) == len(a) - 1
    assert len(checked(a, [*a[:at], new, *a[at:]]).pairs) == len(a)
    replaced = checked(a, [*a[:at], new, *a[at + 1 :]])
    assert {(i, i) for i in range(len(a)) if i != at} <= set(replaced.pairs)
    if at + 1 < len(a):
        swapped = checked(a, [*a[:at], a[at + 1], a[at], *a[at + 2 :]])
        assert len(swapped.pairs) == len(a) - (a[at] != a[at + 1])
        if len(set(a)) == len(a):
            assert {(i, i) for i in range(len(a)) if i not in (at, at + 1)} <= set(swapped.pairs)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.data())
def test_of_a_run_of_equal_keys_the_last_one_is_new(a: list[int], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(a) - 1))
    b = [*a[:at], a[at], *a[at:]]
    end = at
    while end < len(b) and b[end] == a[at]:
        end += 1
    assert {j for _, j in checked(a, b).pairs} == set(range(len(b))) - {end - 1}
    assert {i for i, _ in checked(b, a).pairs} == set(range(len(b))) - {end - 1}


@given(st.permutations(range(12)))
def test_of_what_moved_the_longer_part_stays(order: list[int]) -> None:
    found = checked(range(12), order)
    assert len(found.pairs) == length_of_longest_common(range(12), order)


@pytest.mark.parametrize("kinds", [1, 2, 4, 2000, 10**9])
def test_long_sequences_with_a_few_edits_lose_no_more_than_the_edits(kinds: int) -> None:
    rng = random.Random(kinds)
    weights = list(accumulate(1 / (n + 1) for n in range(min(kinds, 2000))))
    a = (
        rng.choices(range(len(weights)), cum_weights=weights, k=30_000)
        if kinds < 10**9
        else rng.sample(range(kinds), 30_000)
    )
    found = checked(a, edited(rng, a, 300))
    assert not found.coarse
    assert len(found.pairs) >= len(a) - 300


def test_long_sequences_that_are_unlike_end_with_a_coarser_answer() -> None:
    rng = random.Random(4)
    a = rng.choices(range(50), k=30_000)
    found = checked(a, rng.sample(a, k=len(a)), budget=1_000_000)
    assert found.coarse
    assert len(found.pairs) > len(a) // 10


def test_long_sequences_without_a_common_key_have_an_exact_answer() -> None:
    assert align(range(50_000), range(50_000, 100_000)) == ([], False)


def test_long_sequences_in_reverse_keep_one() -> None:
    found = checked(range(20_000), range(20_000)[::-1])
    assert len(found.pairs) == 1 and not found.coarse


def test_a_drifting_repetition_is_followed() -> None:
    a = [n % 7 for n in range(40_000)]
    b = [9, *a[:20_000], *[8] * 3000, *a[20_001:], 9]
    found = checked([8, *a], b)
    assert len(found.pairs) > len(a) - 100


def test_a_cut_in_many_levels_needs_no_recursion() -> None:
    with small_blocks(0):
        found = checked([*range(5000), *range(5000)], [*range(5000)])
    assert len(found.pairs) == 5000


def test_the_answer_is_the_same_in_every_process() -> None:
    code = (
        "import random; from wsproxy.analysis.align import align; rng = random.Random(5)\n"
        "a, b = ([rng.choice(['x', 'y', 'zz', b'x', None, ('x', 1), (1, 'x')]) for _ in range(60)] for _ in 'ab')\n"
        "print(align(a, b))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(answers) == 1


@given(st.lists(keys, max_size=6), st.lists(keys, max_size=6))
def test_sequences_that_differ_have_one_order(a: list[Hashable], b: list[Hashable]) -> None:
    if len(a) != len(b) or any(one is not other and one != other for one, other in zip(a, b, strict=True)):
        assert in_order(a, b) != in_order(b, a)


@given(letters, letters)
def test_the_longest_common_subsequence_is_that_of_the_textbook(a: list[int], b: list[int]) -> None:
    pairs = longest_common(a, b)
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(i < p and j < q for (i, j), (p, q) in pairwise(pairs))
    assert len(pairs) == length_of_longest_common(a, b)


@given(st.lists(st.integers(0, 30), unique=True, max_size=20))
def test_the_longest_increasing_subsequence_is_common_with_the_sorted_one(order: list[int]) -> None:
    kept = [j for _, j in increasing(list(enumerate(order)))]
    assert kept == sorted(kept)
    assert len(kept) == length_of_longest_common(order, sorted(order))


@given(letters, letters)
def test_sliding_keeps_what_is_paired(x: list[int], y: list[int]) -> None:
    partner = [-1] * len(x)
    for i, j in longest_common(x, y):
        partner[i] = j
    before = runs_of(partner)
    after = slid(x, y, before)
    pairs = [(i + n, j + n) for i, j, length in after for n in range(length)]
    assert len(pairs) == sum(run.length for run in before)
    assert all(x[i] == y[j] for i, j in pairs)
    assert all(i < p and j < q for (i, j), (p, q) in pairwise(pairs))
    assert slid(x, y, after) == after or len(slid(x, y, after)) <= len(after)
