"""The language of selectors: what each word chooses, alone and with others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.analysis.selection import LANGUAGE, SelectorError, parse_selector
from wsproxy.recording.events import Marker
from wsproxy.recording.messages import Message
from wsproxy.recording.view import Item

WORDS = ["START", "CHUNK", "CHUNK", "CHUNK", "END"]


def conversation() -> list[Item]:
    """What both sides say, at times 10, 20 …; the numbers are those of the places, times ten."""
    items: list[Item] = []
    for n, word in enumerate(WORDS, 1):
        data = f'{{"type": "{word}", "n": {n}}}'.encode()
        dir = "c2s" if n % 2 else "s2c"
        items.append((n * 10, Message(n * 10, 1, dir, n * 10, n * 10, 1, data, False, 1, len(data))))  # type: ignore[arg-type]
    return items


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("type:CHUNK", [2, 3, 4]),
        ("type:chunk last", [4]),
        ("type:CHUNK 2", [3]),
        ("type:CHUNK 2-", [3, 4]),
        ("type:START type:END", [1, 5]),
        ("2-3", [2, 3]),
        ("1 4-5", [1, 4, 5]),
        ("9", []),
        ("client", [1, 3, 5]),
        ("s2c 2-", [4]),
        ("server type:CHUNK grep:[24]", [2, 4]),
        ('grep:n": 3', [3]),
        ("#40", [4]),
        ("#10 #50 last", [5]),
        ("stage:policy.start", [3]),
        ("policy.start client", [3]),
        ("policy.start server", [4]),
        ("stage:nothing", []),
    ],
)
def test_a_selector_chooses(text: str, chosen: list[int]) -> None:
    markers = [Marker(25, "policy.start", None, None, None, 0), Marker(1000, "policy.start", None, None, None, 0)]
    found = parse_selector(text).of(conversation(), markers)
    assert [number // 10 for number, _ in found] == chosen


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("CHUNK", "'CHUNK' chooses nothing"),
        ("type:", "'type:'"),
        ("grep:", "without a regular expression"),
        ("grep:(", "no regular expression"),
        ("0", "count from 1"),
        ("3-2", "smaller first"),
        ("-3", "'-3'"),
        ("#x", "'#x'"),
        ("server and client", "'and'"),
    ],
)
def test_what_says_nothing_is_refused_with_the_language(text: str, why: str) -> None:
    with pytest.raises(SelectorError) as refused:
        parse_selector(text)
    assert why in str(refused.value)


@given(st.text(max_size=40))
def test_any_text_is_a_selector_or_an_error(text: str) -> None:
    try:
        parse_selector(text).of(conversation())
    except SelectorError as error:
        assert str(error)


def test_every_word_of_the_help_is_in_the_language() -> None:
    for words in LANGUAGE:
        for word in words.split(", "):
            parse_selector(word)
