"""Texts differ by words, bytes by offsets; what is shown reads well and is never wrong."""

from __future__ import annotations

import random
import unicodedata
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.analysis.diff import words as module
from wsproxy.analysis.diff.letters import tokens
from wsproxy.analysis.diff.words import ByteEdit, Piece, by_byte, by_word

UNITS = [
    *("a", "b", "foo", "the", " ", "  ", "\n", "\r\n", ",", ".", "-", "_", "1", '"'),
    *("é", "e\u0301", "\u0301", "日", "本", "ก", "กำ", "नि", "한", "\u1112\u1161\u11ab"),
    *("👩‍👧", "👍🏽", "🏳️‍🌈", "🇩🇪", "🇫🇷", "1️⃣", "🏃‍♂️", "\u200d", "\ufe0f", "\ud800", "\x00"),
]
texts = st.lists(st.sampled_from(UNITS), max_size=14).map("".join) | st.text(max_size=10)


@st.composite
def edited_texts(draw: st.DrawFn) -> tuple[str, str]:
    a = draw(st.lists(st.sampled_from(UNITS), max_size=25))
    b = list(a)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(b)))
        b[at : at + draw(st.integers(0, 2))] = draw(st.lists(st.sampled_from(UNITS), max_size=2))
    return "".join(a), "".join(b)


def marked(pieces: list[Piece]) -> str:
    """As `git diff --word-diff` writes it."""
    marks = {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}
    return "".join(marks[piece.kind].format(piece.text) for piece in pieces)


def mirrored(pieces: list[Piece]) -> list[Piece]:
    other = {"same": "same", "removed": "added", "added": "removed"}
    turned = [Piece(other[kind], text) for kind, text in pieces]  # type: ignore[arg-type]
    for n, (one, two) in enumerate(pairwise(turned)):
        if one.kind == "added" and two.kind == "removed":
            turned[n : n + 2] = two, one
    return turned


def checked(a: str, b: str) -> list[Piece]:
    """Pieces that spell both texts, are the same from the other side, and follow each other as they should."""
    pieces = by_word(a, b)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == a
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == b
    assert all(piece.text for piece in pieces)
    follow = {("same", "removed"), ("same", "added"), ("removed", "added"), ("removed", "same"), ("added", "same")}
    assert {(one.kind, two.kind) for one, two in pairwise(pieces)} <= follow
    assert by_word(b, a) == mirrored(pieces)
    return pieces


def checked_bytes(a: bytes, b: bytes) -> list[ByteEdit]:
    edits = by_byte(a, b)
    made, at = bytearray(), 0
    for i, j, old, new in edits:
        made += a[at:i]
        assert len(made) == j and a[i : i + len(old)] == old and old != new
        made += new
        at = i + len(old)
    assert bytes(made + a[at:]) == b
    assert all(one.a_offset + len(one.a) < two.a_offset for one, two in pairwise(edits))
    assert [ByteEdit(j, i, new, old) for i, j, old, new in edits] == by_byte(b, a)
    return edits


@pytest.mark.parametrize(
    ("a", "b", "reads"),
    [
        ("", "", ""),
        ("", "new", "{+new+}"),
        ("old", "", "[-old-]"),
        ("the same", "the same", "the same"),
        ("Hello", "Hello world", "Hello{+ world+}"),
        ("one two three", "one three", "one [-two -]three"),
        ("one three", "one two three", "one {+two +}three"),
        ("allowed by policy", "blocked by policy", "[-allowed-]{+blocked+} by policy"),
        ("the quick brown fox", "the slow red fox", "the [-quick brown-]{+slow red+} fox"),  # the space says nothing
        ("at 12:34:56 sharp", "at 13:35:57 sharp", "at [-12:34:56-]{+13:35:57+} sharp"),
        ("f(x, y)", "f(y)", "f([-x, -]y)"),
        ("a, b, c", "a, c", "a, [-b, -]c"),
        ("ha ha ha", "ha ha", "ha ha[- ha-]"),
        ("first\nsecond", "1st\n2nd", "[-first-]{+1st+}\n[-second-]{+2nd+}"),  # lines stay apart
        ("user_id", "user_ids", "[-user_id-]{+user_ids+}"),
        ("今日は晴れ", "今日は雨", "今日は[-晴れ-]{+雨+}"),
        ("สวัสดี", "สวัสดู", "สวัส[-ดี-]{+ดู+}"),  # Thai marks stay with their letter
        ("café", "cafe\u0301", "[-café-]{+cafe\u0301+}"),
        ("हिन्दी भाषा", "हिन्दू भाषा", "[-हिन्दी-]{+हिन्दू+} भाषा"),
        ("ok 👩‍👧 ok", "ok 👩‍👦 ok", "ok [-👩‍👧-]{+👩‍👦+} ok"),
        ("👍", "👍🏽", "[-👍-]{+👍🏽+}"),
        ("🇩🇪🇫🇷", "🇩🇪🇮🇹", "🇩🇪[-🇫🇷-]{+🇮🇹+}"),
        ("❤", "❤️", "[-❤-]{+❤️+}"),
    ],
)
def test_a_change_reads_as_one_would_say_it(a: str, b: str, reads: str) -> None:
    assert marked(checked(a, b)) == reads


def test_a_lone_word_that_unlike_sentences_share_is_part_of_the_change() -> None:
    a = "Completely different sentences about weather and the mountains of Norway"
    b = "Nothing whatever in common with my neighbour or the compilers from Zürich"
    assert [piece.kind for piece in checked(a, b)] == ["removed", "added"]


@given(edited_texts() | st.tuples(texts, texts))
def test_the_pieces_spell_both_texts_and_are_mirrored_from_the_other_side(pair: tuple[str, str]) -> None:
    checked(*pair)


@given(texts)
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    assert by_word(text, text) == ([Piece("same", text)] if text else [])


@given(edited_texts())
def test_no_unit_is_cut(pair: tuple[str, str]) -> None:
    a, b = pair
    for text, absent in ((a, "added"), (b, "removed")):
        borders = set(accumulate(map(len, tokens(text)), initial=0))
        at = 0
        for piece in by_word(a, b):
            if piece.kind != absent:
                assert at in borders
                at += len(piece.text)


@given(texts)
def test_units_are_the_text(text: str) -> None:
    assert "".join(tokens(text)) == text
    for before, unit in pairwise(tokens(text)):
        assert unicodedata.category(unit[0])[0] != "M" or before.isspace() is None


def test_units_are_words_spaces_and_single_characters() -> None:
    assert tokens("don't user_id  42!") == ["don", "'", "t", " ", "user_id", "  ", "42", "!"]
    assert tokens("日本 e\u0301a 👩‍👧x 🇩🇪🇫🇷 1️⃣") == [
        *("日", "本", " ", "e\u0301a", " ", "👩‍👧", "x", " ", "🇩🇪", "🇫🇷", " ", "1️⃣")
    ]


@pytest.mark.parametrize(
    ("a", "b", "edits"),
    [
        (b"", b"", []),
        (b"", b"ab", [ByteEdit(0, 0, b"", b"ab")]),
        (b"abcdef", b"abXdef", [ByteEdit(2, 2, b"c", b"X")]),
        (b"abcdef", b"abdef", [ByteEdit(2, 2, b"c", b"")]),
        (b"abdef", b"abcdef", [ByteEdit(2, 2, b"", b"c")]),
        (b"\0\0\0", b"\0\0\0\0", [ByteEdit(3, 3, b"", b"\0")]),
        (b"abcdefgh", b"aXcdefYh", [ByteEdit(1, 1, b"b", b"X"), ByteEdit(6, 6, b"g", b"Y")]),
        (b"1234-x-5678", b"abcd-x-efgh", [ByteEdit(0, 0, b"1234-x-5678", b"abcd-x-efgh")]),  # three bytes by chance
        (b"1234-56-5678", b"abcd-56-efgh", [ByteEdit(0, 0, b"1234", b"abcd"), ByteEdit(8, 8, b"5678", b"efgh")]),
    ],
)
def test_bytes_differ_at_offsets(a: bytes, b: bytes, edits: list[ByteEdit]) -> None:
    assert checked_bytes(a, b) == edits


@given(st.binary(max_size=12), st.binary(max_size=12), st.binary(max_size=12), st.binary(max_size=12))
def test_the_edits_make_the_other_bytes_and_are_mirrored(start: bytes, a: bytes, b: bytes, end: bytes) -> None:
    checked_bytes(a, b)
    checked_bytes(start + a + end, start + b + end)


@given(st.integers(0, 2**32).map(random.Random), st.integers(0, 400), st.integers(0, 12), st.integers(0, 60))
def test_what_is_cut_into_chunks_first_keeps_every_promise(rng: random.Random, n: int, edits: int, fine: int) -> None:
    a = "".join(rng.choices(UNITS, k=n))
    b = a
    for _ in range(edits):
        at = rng.randrange(len(b) + 1)
        b = b[:at] + rng.choice(UNITS) + b[at + rng.randrange(3) :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FINE", fine)
        patch.setattr(module, "FINE_IN_ALL", 3 * fine)
        checked(a, b)
        checked_bytes(a.encode("utf-8", "surrogatepass"), b.encode("utf-8", "surrogatepass"))


def test_few_edits_in_a_megabyte_are_few_edits() -> None:
    rng = random.Random(6)
    vocabulary = ["".join(rng.choices("abcdefghij", k=rng.randrange(2, 9))) for _ in range(2000)]
    words = rng.choices(vocabulary, k=200_000)
    places = sorted(rng.sample(range(1000, 199_000, 50), 40))
    changed = list(words)
    for at in places:
        changed[at] = "CHANGED"
    pieces = checked(" ".join(words), " ".join(changed))
    assert [piece.text for piece in pieces if piece.kind == "removed"] == [words[at] for at in places]
    edits = checked_bytes(" ".join(words).encode(), " ".join(changed).encode())
    assert len(edits) == len(places)


@pytest.mark.parametrize("unit", ["x", "ab ", "日本", "\0", "a\n", "🇩🇪"])
def test_long_repetitions_are_no_trouble(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    pieces = checked(text, "!" + text + unit + "!")
    assert sum(len(piece.text) for piece in pieces if piece.kind == "added") < 2000
    checked_bytes(text.encode(), b"!" + text.encode() + b"!")


def test_long_texts_that_are_unlike_are_one_change() -> None:
    rng = random.Random(7)
    a, b = rng.randbytes(1_000_000), rng.randbytes(1_000_000)
    assert len(checked_bytes(a, b)) == 1
    assert [piece.kind for piece in checked(a.hex(), b.hex())] == ["removed", "added"]
