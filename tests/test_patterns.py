"""Regular expressions that a person wrote are compiled or refused in one line, and never warned about."""

from __future__ import annotations

import warnings

import pytest

from wsproxy.patterns import compiled

from .cli.command import SAMPLES, wsproxy


@pytest.mark.parametrize("text", ["[[a]", "[a||b]", "[a&&b]", "[a~~b]"])
def test_what_may_mean_something_else_one_day_means_what_it_does_today(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled(text).match("a")


@pytest.mark.parametrize("text", ["(", "a{99999999999999999999}", "(" * 5000 + ")" * 5000, "(?P<a>x)(?P<a>y)", "*"])
def test_what_is_none_is_refused_with_its_words(text: str) -> None:
    with pytest.raises(ValueError, match="is no regular expression: ") as refusal:
        compiled(text)
    assert repr(text) in str(refusal.value)


def test_a_command_says_nothing_but_its_answer() -> None:
    shown = wsproxy("show", SAMPLES / "blocked-delivered.msgpack", "--grep", "[[B]LOCKED", PYTHONWARNINGS="always")
    assert (shown.status, shown.err) == (0, "")
    assert "BLOCKED" in shown.out
