"""Where secrets are found in text, and that all else keeps its spelling."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsproxy.secrets.masking import Masker
from wsproxy.secrets.rules import Rules

KEY = "sk-planted-0123456789abcdef"
few = settings(max_examples=100, deadline=None)
#: Letters only: nothing that could be shaped like a key, named like one, or be base64 of one.
plain = st.text(st.sampled_from('abcdefgh ÄÖ☕\\"/\n\t{}[]:,'), max_size=30)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f'{{"a": 1,  "api_key":"{KEY}" }}', '{"a": 1,  "api_key":"sk-p…masked" }'),
        (
            '{"headers": {"authorization": ["Basic abcdefghijkl"]}}',
            '{"headers": {"authorization": ["Basic abcd…masked"]}}',
        ),
        ('{"password": "a\\"b\\\\c"}', '{"password": "…masked"}'),
        ('{"token": 17, "tokens": "many"}', '{"token": 17, "tokens": "many"}'),
        ("see https://me:hunter2hunter2@h/", "see https://me:hunt…masked@h/"),
        ("postgres://u:pw@h/db", "postgres://u:…masked@h/db"),
        ("?auth=Bearer%20sk-0123456789abcdef", "?auth=Bear…masked"),
        ('"line\\nsk-0123456789abcdef"', '"line\\nsk-0…masked"'),
        (f"AKIA{'A1B2C3D4E5F6'} and ghp_{'a1' * 10}", "AKIA…masked and ghp_…masked"),
        ('{"api_key": "sk-unfinished-0123', '{"api_key": "sk-u…masked"'),
        ("Params(api_key='odd key', model='demo')", "Params(api_key='…masked', model='demo')"),
        ("{'api_key': 'hunter2hunter2', 'a': 'b'}", "{'api_key': 'hunt…masked', 'a': 'b'}"),
        ("[(b'authorization', b'hunter2hunter2')]", "[(b'authorization', b'hunt…masked')]"),
        ('[["x-api-key", "hunter2hunter2"], ["a", "b"]]', '[["x-api-key", "hunt…masked"], ["a", "b"]]'),
        ('{"required": ["password", "username"]}', '{"required": ["password", "username"]}'),
        ("nothing to hide: task-force, risk-free, desk-2", "nothing to hide: task-force, risk-free, desk-2"),
    ],
)
def test_a_secret_loses_its_value_and_its_surroundings_stay(text: str, shown: str) -> None:
    assert Masker().text(text) == shown
    assert Masker().text(shown) == shown


@few
@given(documents)
def test_json_without_secrets_keeps_its_spelling(document: object) -> None:
    for text in (json.dumps(document), json.dumps(document, ensure_ascii=False, indent=1)):
        assert Masker().text(text) == text


@few
@given(documents)
def test_a_secret_among_json_is_all_that_changes(document: object) -> None:
    whole = {"before": document, "deployment": {"api_key": "hunter2hunter2"}, "after": [document]}
    shown = json.loads(Masker().text(json.dumps(whole)))
    assert shown == whole | {"deployment": {"api_key": "hunt…masked"}}


@few
@given(st.text(max_size=200) | st.text(st.sampled_from('"\\{}[]:, sk-0aB='), max_size=200))
def test_masking_twice_is_masking_once_whatever_the_text(text: str) -> None:
    once = Masker().text(text)
    assert Masker().text(once) == once


def test_what_was_found_in_one_place_is_masked_in_any_other() -> None:
    masker = Masker()
    masker.text('{"api_key": "odd.key/0123456789"}')
    assert masker.text("Incorrect API key: odd.key/0123456789.") == "Incorrect API key: odd.…masked."
    assert "0123456789" not in masker.text("?x=odd.key%2F0123456789")


def test_a_word_under_a_secret_key_is_not_taken_for_a_secret_elsewhere() -> None:
    masker = Masker()
    masker.text('{"token": "internationalization"}')
    assert masker.text("internationalization") == "internationalization"


def test_own_keys_paths_and_patterns_are_masked_too() -> None:
    rules = Rules(keys=["x-tenant*"], paths=["user.name", "*.seed"], patterns=[r"\bCUST-(\d{6})\b", r"room \d+"])
    masker = Masker(rules)
    text = '{"X-Tenant-Id": 4711, "user": {"name": "Ada"}, "name": "Bob", "a": [{"seed": [1, "x"]}], "t": "CUST-123456 in room 7"}'
    assert json.loads(masker.text(text)) == {
        "X-Tenant-Id": "…masked",
        "user": {"name": "…masked"},
        "name": "Bob",
        "a": [{"seed": ["…masked", "…masked"]}],
        "t": "CUST-…masked in …masked",
    }
    assert masker.field("X-Tenant-Id", "4711") == "...masked"
    assert masker.json(json.loads(text)) == json.loads(masker.text(text))


@pytest.mark.parametrize(
    ("rule", "word"),
    [({"patterns": ["("]}, "'('"), ({"patterns": ["a*"]}, "nothing"), ({"paths": ["a..b"]}, "'a..b'")],
)
def test_a_rule_that_is_none_is_refused_by_name(rule: dict[str, list[str]], word: str) -> None:
    with pytest.raises(ValueError, match=word.replace("(", r"\(")):
        Rules(**rule)


@pytest.mark.parametrize(
    "unit",
    [
        '"',
        '\\"',
        '"\\',
        "{",
        "[",
        '{"token":"',
        "://a:",
        "Bearer ",
        "sk-",
        "a" * 50,
        "data: {",
        "api_key='",
        "'token','",
        '"cookie","',
        "\x00a",
        "?key=",
    ],
)
def test_hostile_text_is_masked_in_linear_time(unit: str) -> None:
    text = unit * (400_000 // len(unit))
    began = time.process_time()
    Masker().text(text)
    assert time.process_time() - began < 8
