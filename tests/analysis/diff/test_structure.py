"""Two JSON values differ in the places that a person would name, and nowhere else."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.analysis.diff.elements import FEW, Elements
from wsproxy.analysis.diff.structure import Change, Path, PathPattern, apply, compare, mirrored, path_text

names = st.sampled_from(["", "a", "b", "id", "user-agent", "0"])
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.sampled_from([0.0, -0.0, 1.0, 0.5, math.nan, math.inf, -math.inf, 1e300]),
    st.text("ab\ud800", max_size=3),
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=4), max_leaves=25
)


@st.composite
def edited_pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    """A value, and the same one after a few edits anywhere in it."""
    a = draw(values)
    b = copy.deepcopy(a)
    for _ in range(draw(st.integers(0, 4))):
        b = _edited(draw, b)
    return a, b


def _edited(draw: st.DrawFn, value: Any) -> Any:
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 5)) == 0:
        return draw(values)
    spots = list(value) if isinstance(value, dict) else list(range(len(value)))
    spot = draw(st.sampled_from(spots))
    match draw(st.integers(0, 5)):
        case 0:
            del value[spot]
        case 1 if isinstance(value, list):
            value.insert(spot, draw(values))
        case 1:
            value[draw(names)] = draw(values)
        case _:
            value[spot] = _edited(draw, value[spot])
    return value


pairs = edited_pairs() | st.tuples(values, values)


def same(a: Any, b: Any) -> bool:
    """JSON's equality, written down once more."""
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    return bool(a == b)


def identical(one: list[Change], other: list[Change]) -> bool:
    """Equality that NaN does not spoil, and that 1 and True do not pass."""
    return repr(one) == repr(other)


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def nested(depth: int, inner: Any) -> Any:
    for n in range(depth):
        inner = [inner] if n % 2 else {"a": inner}
    return inner


@pytest.mark.parametrize(
    ("a", "b", "changes"),
    [
        (1, 1.0, []),
        (math.nan, math.nan, []),
        (1, True, [("changed", "$", 1, True)]),
        (0, False, [("changed", "$", 0, False)]),
        ([1], [True], [("changed", "[0]", 1, True)]),
        (None, 0, [("changed", "$", None, 0)]),
        ("1", 1, [("changed", "$", "1", 1)]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1.0}, []),
        ({"a": 1}, {"a": 2}, [("changed", "a", 1, 2)]),
        ({"a": 1}, {"b": 1}, [("removed", "a", 1, None), ("added", "b", None, 1)]),
        ({"a": None}, {}, [("removed", "a", None, None)]),
        ({"a": {}}, {"a": []}, [("changed", "a", {}, [])]),
        ({"a": 1}, [1], [("changed", "$", {"a": 1}, [1])]),
        ({"a": "x"}, {"a": {"b": 1}}, [("changed", "a", "x", {"b": 1})]),
        ([1, 2, 3], [1, 3], [("removed", "[1]", 2, None)]),
        ([1, 3], [1, 2, 3], [("added", "[1]", None, 2)]),
        ([1, 2, 3], [1, 9, 3], [("changed", "[1]", 2, 9)]),
        ([7, 7], [7, 7, 7], [("added", "[2]", None, 7)]),
        ([[1, 2], [3]], [[1], [3]], [("removed", "[0][1]", 2, None)]),
        (
            [{"id": 1, "x": 5}, {"id": 2, "x": 6}],
            [{"id": 0, "x": 0}, {"id": 1, "x": 5}, {"id": 2, "x": 7}],
            [("added", "[0]", None, {"id": 0, "x": 0}), ("changed", "[1].x", 6, 7)],
        ),
        (  # between two equal elements the likest are paired, not the first
            [{"t": "a"}, {"t": "m", "id": "p", "n": 1}, {"t": "z"}],
            [{"t": "a"}, {"t": "n", "id": "q", "n": 2}, {"t": "m", "id": "p", "n": 3}, {"t": "z"}],
            [("added", "[1]", None, {"t": "n", "id": "q", "n": 2}), ("changed", "[1].n", 1, 3)],
        ),
        (  # paths of what was added are those of B all the way
            [0, {"t": "a", "list": [1, 2]}],
            [9, 0, {"t": "a", "list": [1, 2, 3]}],
            [("added", "[0]", None, 9), ("added", "[2].list[2]", None, 3)],
        ),
        (  # objects that share no key are two, not one that changed
            [{"a": 1}, 5],
            [{"b": 1}, 5],
            [("removed", "[0]", {"a": 1}, None), ("added", "[0]", None, {"b": 1})],
        ),
        (
            {"choices": [{"index": 0, "delta": {"content": "He"}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}]},
            [
                ("changed", "choices[0].delta.content", "He", "Hello"),
                ("changed", "choices[0].finish_reason", None, "stop"),
            ],
        ),
    ],
)
def test_changes_are_those_that_a_person_would_name(a: Any, b: Any, changes: list[tuple[str, str, Any, Any]]) -> None:
    found = [(op, path_text(path), one, other) for op, path, one, other in compare(a, b)]
    assert repr(found) == repr(changes)
    assert identical(mirrored(compare(a, b)), compare(b, a))


@given(values)
def test_a_value_does_not_differ_from_itself(a: Any) -> None:
    assert compare(a, copy.deepcopy(a)) == []
    assert same(json.loads(json.dumps(a)), a) and compare(json.loads(json.dumps(a)), a) == []


@given(pairs)
def test_no_change_means_equal_and_applying_the_changes_makes_b_of_a(pair: tuple[Any, Any]) -> None:
    a, b = pair
    before = repr(a)
    changes = compare(a, b)
    assert (not changes) == same(a, b)
    assert same(apply(a, changes), b)
    assert repr(a) == before


@given(pairs)
def test_the_other_side_sees_the_same_changes_mirrored(pair: tuple[Any, Any]) -> None:
    a, b = pair
    changes = compare(a, b)
    assert identical(mirrored(changes), compare(b, a))
    assert identical(mirrored(mirrored(changes)), changes)
    assert same(apply(b, mirrored(changes)), a)


@given(pairs)
def test_paths_lead_to_the_values(pair: tuple[Any, Any]) -> None:
    a, b = pair
    for change in compare(a, b):
        if change.op == "added":
            assert change.a is None and same(at(b, change.path), change.b)
        else:
            assert same(at(a, change.path), change.a)
            assert change.op == "changed" or change.b is None
        assert PathPattern.parse(path_text(change.path)).matches(change.path)


@given(pairs)
def test_what_is_held_equal_is_no_change_and_all_else_still_is(pair: tuple[Any, Any]) -> None:
    a, b = pair

    def strings(path: Path, one: Any, other: Any) -> bool:
        assert not isinstance(one, dict | list) and not isinstance(other, dict | list) and not same(one, other)
        assert at(a, path) is one
        return isinstance(one, str) and isinstance(other, str)

    changes = compare(a, b, equal=strings)
    assert not any(
        change.op == "changed" and strings(change.path, change.a, change.b) for change in changes if _leaf(change)
    )
    assert (
        compare(apply(a, changes), b, equal=lambda path, one, other: isinstance(one, str) and isinstance(other, str))
        == []
    )


def _leaf(change: Change) -> bool:
    return not isinstance(change.a, dict | list) and not isinstance(change.b, dict | list)


def test_ids_that_are_held_equal_do_not_hide_what_stands_beside_them() -> None:
    a = {"calls": [{"id": "call_1", "args": "x"}, {"id": "call_2", "args": "y"}]}
    b = {"calls": [{"id": "call_8", "args": "x"}, {"id": "call_9", "args": "z"}]}
    changes = compare(a, b, equal=lambda path, one, other: path[-1] == "id")
    assert changes == [Change("changed", ("calls", 1, "args"), "y", "z")]


def test_nesting_deeper_than_the_stack_is_one_change_of_the_part_below() -> None:
    a, b = nested(20_000, 1), nested(20_000, 2)
    changes = compare(a, b)
    assert [(change.op, len(change.path)) for change in changes] == [("changed", 100)]
    assert compare(a, nested(20_000, 1)) == []
    assert compare(apply(a, changes), b) == []
    assert [(change.op, len(change.path)) for change in mirrored(changes)] == [("changed", 100)]


def test_deep_elements_are_aligned_as_others_are() -> None:
    deep = [nested(20_000, n) for n in range(3)]
    assert compare([0, *deep], deep) == [Change("removed", (0,), 0, None)]


def test_large_arrays_are_compared_element_by_element() -> None:
    a = [n * 0.5 for n in range(100_000)]
    b = [*a[:500], -1, *a[500:70_000], "x", *a[70_001:]]
    assert compare(a, b) == [Change("added", (500,), None, -1), Change("changed", (70_000,), 35_000.0, "x")]


def test_many_elements_that_all_changed_are_paired_by_shape() -> None:
    many = FEW + 1
    a = [{"id": n, "x": n} for n in range(many)]
    b: list[Any] = [{"id": n, "x": -n - 1} for n in range(many)]
    b.insert(many // 2, [1])
    changes = compare(a, b)
    assert len(changes) == many + 1
    assert [change for change in changes if change.op == "added"] == [Change("added", (many // 2,), None, [1])]
    assert mirrored(changes) == compare(b, a)
    assert apply(a, changes) == b


@given(values, values)
def test_equal_values_and_only_they_have_one_key(a: Any, b: Any) -> None:
    elements = Elements()
    assert (elements.key(a) == elements.key(b)) == same(a, b)
    assert (elements.key([a]) == elements.key([b])) == same(a, b)
    assert (elements.key({"x": a}) == elements.key({"x": b})) == same(a, b)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), "$"),
        (("choices", 0, "delta", "content"), "choices[0].delta.content"),
        (("headers", "user-agent"), 'headers["user-agent"]'),
        (("",), '[""]'),
        ((0, 1, "a"), "[0][1].a"),
        (('say "x"', "\n", "ä"), '["say \\"x\\""]["\\n"]["ä"]'),
        (("0", "$", "*", "a b"), '["0"]["$"]["*"]["a b"]'),
    ],
)
def test_a_path_is_written_as_one_reads_it(path: Path, text: str) -> None:
    assert path_text(path) == text
    assert PathPattern.parse(text).matches(path)


@pytest.mark.parametrize(
    ("pattern", "path", "meant"),
    [
        ("choices[*].delta.**", ("choices", 0, "delta", "content"), True),
        ("choices[*].delta.**", ("choices", 7, "delta"), True),
        ("choices[*].delta.**", ("choices", 0), False),
        ("choices[*].delta.**", ("choices", "0", "delta"), False),
        ("choices", ("choices", 0, "delta"), True),  # everything below
        ("choices[1]", ("choices", 0, "delta"), False),
        ("**.id", ("id",), True),
        ("**.id", ("a", 3, "b", "id"), True),
        ("**.id", ("a", 3, "b", "idx"), False),
        ("a.**.b.**.c", ("a", "x", "b", "b", 0, "c", "d"), True),
        ("a.**.b.**.c", ("a", "c", "b"), False),
        ("a.*.c", ("a", "b", "c"), True),
        ("a.*.c", ("a", 0, "c"), False),
        ("a[*]", ("a", "b"), False),
        ("headers.user-agent", ("headers", "user-agent"), True),
        ("$", ("anything",), True),
        ("$.a", ("a",), True),
        ("$[0]", (0, "a"), True),
        ("**", (), True),
    ],
)
def test_a_pattern_means_places_and_all_below_them(pattern: str, path: Path, meant: bool) -> None:
    assert PathPattern.parse(pattern).matches(path) is meant


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("", "empty"),
        ("a..b", "a key is missing before the dot at position 2"),
        (".a", "a key is missing before the dot at position 0"),
        ("a.", "a key is missing after the dot at position 1"),
        ("a.[0]", "a key is missing after the dot at position 1"),
        ("a[0", r"a \[ that is not closed at position 1"),
        ("a]", r"a \] without its \["),
        ("a[x]", r"\[x\] is no index"),
        ("a[-1]", r"\[-1\] is no index"),
        ("a[0]b", "a dot is missing before 'b'"),
        ("a*", r"\* stands for a whole key"),
        ("a b", "must stand in a quoted key"),
        (r'["\x"]', "is no JSON string"),
    ],
)
def test_a_pattern_that_cannot_be_read_says_why(text: str, trouble: str) -> None:
    with pytest.raises(ValueError, match=trouble):
        PathPattern.parse(text)


@given(st.lists(st.integers(0, 3) | st.text(max_size=4), max_size=5).map(tuple))
def test_the_text_of_every_path_is_a_pattern_that_means_it(path: Path) -> None:
    pattern = PathPattern.parse(path_text(path))
    assert pattern.matches(path) and pattern.matches((*path, "below"))
    assert pattern.steps == path


@given(st.text(max_size=12) | st.text('ab.*[]"\\$0 ', max_size=12))
def test_any_text_is_a_pattern_or_an_error(text: str) -> None:
    try:
        PathPattern.parse(text).matches(("a", 0))
    except ValueError as error:
        assert str(error)
