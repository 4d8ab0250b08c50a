"""`escape` is the only door from a payload to a screen: nothing that a terminal acts upon passes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from wsproxy.render.text import escape, preview

from .acting import acts


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_that_acts_on_a_terminal_passes(text: str) -> None:
    assert not [char for char in escape(text) if acts(char)]
    assert not [char for char in escape(text, lines=True) if acts(char) and char != "\n"]


def test_every_character_that_acts_is_shown_as_an_escape() -> None:
    for code in range(0x110000):
        if acts(chr(code)):
            assert escape(chr(code)).isascii() and escape(chr(code)).startswith("\\"), hex(code)


def test_ordinary_text_of_any_script_stays_as_it_is() -> None:
    for text in ("plain", "Grüße", "日本語", "עברית", "العربية", "हिन्दी", "emoji 🎉", 'a\\b"c', "é"):
        assert escape(text) == text


def test_lines_are_kept_where_they_are_asked_for() -> None:
    assert escape("a\nb\r\n\x1b[2J", lines=True) == "a\nb\\r\n\\e[2J"
    assert escape("a\nb") == "a\\nb"


@given(st.text(st.characters(exclude_categories=[])), st.integers(-1, 90))
def test_a_preview_fits_its_width_in_cells(text: str, width: int) -> None:
    shown = preview(text, width)
    assert cell_len(shown) <= max(width, 0)
    assert not [char for char in shown if acts(char)]


@given(st.text(st.sampled_from("日本🎉é\u0301\u200d\x1bx")), st.integers(0, 20))
def test_a_preview_of_wide_and_combining_characters_fits_too(text: str, width: int) -> None:
    assert cell_len(preview(text, width)) <= width


@pytest.mark.parametrize("width", range(1, 12))
def test_a_preview_says_with_dots_that_there_is_more(width: int) -> None:
    assert preview("abcdefghijklm", width).endswith("…")
    assert preview("abc", 3) == "abc"
