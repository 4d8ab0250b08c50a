"""Lines fitted to a width: none is wider, nothing but spaces is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsproxy.render.diff.layout import beside, cells, cut, ended, padded, split, wrapped
from wsproxy.render.screen import Line
from wsproxy.render.text import escape

few = settings(max_examples=300, deadline=None)
#: What is hard to measure: wide, combining, emoji, and long words.
texts = st.text(
    st.one_of(st.sampled_from("ab  界한é\u0301👍🏽❤\ufe0f…→"), st.characters(exclude_categories=["Cs"])), max_size=60
).map(escape)
lines: st.SearchStrategy[Line] = st.lists(st.tuples(texts, st.sampled_from(["", "red"])), max_size=5)


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line)


@few
@given(lines, st.integers(10, 60), st.integers(0, 70))
def test_no_wrapped_line_is_wider_than_the_width(line: Line, width: int, hang: int) -> None:
    for one in wrapped(line, width, hang):
        assert cells(one) <= width


@few
@given(lines, st.integers(10, 60), st.integers(0, 12))
def test_wrapping_loses_nothing_but_spaces(line: Line, width: int, hang: int) -> None:
    whole = "".join(text_of(one) for one in wrapped(line, width, hang))
    assert whole.replace(" ", "") == text_of(line).replace(" ", "")


@few
@given(lines, st.integers(1, 60))
def test_what_is_cut_fits_and_says_so(line: Line, width: int) -> None:
    found = cut(line, width)
    assert cells(found) <= width
    if text_of(found) != text_of(line):
        assert text_of(found).endswith("…") and cells(line) > width - 1


@few
@given(texts, st.integers(1, 30))
def test_a_split_text_is_whole_and_its_start_fits(text: str, room: int) -> None:
    head, rest = split(text, room)
    assert head + rest == text
    assert cells([(head, "")]) <= room


@few
@given(st.lists(lines, max_size=4), st.lists(lines, max_size=4))
def test_columns_beside_each_other_are_aligned(left: list[Line], right: list[Line]) -> None:
    left = [cut(line, 30) for line in left]
    right = [cut(line, 30) for line in right]
    found = list(beside(left, right, 30, [("|", "dim")]))
    assert len(found) == max(len(left), len(right))
    for line in found:
        before = line[: line.index(("|", "dim"))]
        assert cells(before) == 30


def test_a_word_stays_whole_where_a_line_can_hold_it() -> None:
    found = [text_of(line) for line in wrapped([("one two three ", ""), ("four", "red"), (" five", "")], 10, 2)]
    assert found == ["one two", "  three", "  four", "  five"]


def test_a_combining_mark_stays_with_its_letter() -> None:
    assert split("ae\u0301b", 2) == ("ae\u0301", "b")


def test_a_wide_character_is_not_halved() -> None:
    assert split("界界", 3) == ("界", "界")
    assert cells(cut([("界界界", "")], 4)) <= 4


def test_a_line_ends_without_spaces() -> None:
    assert ended([("a ", "red"), ("  ", ""), ("", "dim")]) == [("a", "red")]
    assert ended(padded([], 5)) == []


@pytest.mark.parametrize("text", ["x" * (1 << 20), "界" * (1 << 18), "a b " * (1 << 18)])
def test_a_long_text_is_cut_and_wrapped_at_once(text: str) -> None:
    assert cells(cut([(text, "")], 80)) <= 80
    first = next(wrapped([(text, "")], 80))
    assert 70 <= cells(first) <= 80
