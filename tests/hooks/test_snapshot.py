"""What a mark holds: everything goes in, nothing comes out as an exception, and no more than its bound."""

from __future__ import annotations

import threading
from collections import OrderedDict, UserDict
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsproxy.hooks.snapshot import LIMIT, repaired, snapshot, text_of

NOTE = 512  # what cutting may add to say that it cut, at each of up to 64 levels only its innermost few


def read(packed: bytes) -> Any:
    return msgpack.unpackb(packed, strict_map_key=False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(json_values)
def test_json_is_taken_as_it_is(value: object) -> None:
    # A lone surrogate is no UTF-8 and goes in escaped: that is the only difference there may be.
    assert read(snapshot(value)) == msgpack.unpackb(msgpack.packb(value, unicode_errors="backslashreplace"))


class Model:
    def __init__(self, **fields: object) -> None:
        self.fields = fields

    def model_dump(self) -> dict[str, object]:
        return self.fields


class Raises:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __str__(self) -> str:
        raise RuntimeError("no str")


class BrokenModel(Raises):
    def model_dump(self) -> dict[str, object]:
        raise ValueError("not today")


class BrokenMapping(UserDict[str, object]):
    def items(self) -> Any:
        raise RuntimeError("no items")


class Endless(Model):
    def model_dump(self) -> dict[str, object]:
        return {"again": Endless()}


class Color(Enum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


class Text(str):
    pass


def test_an_object_with_model_dump_is_taken_as_that_wherever_it_stands() -> None:
    assert read(snapshot(Model(a=1))) == {"a": 1}
    assert read(snapshot({"type": "CHUNK", "data": Model(choices=[Model(index=0)])})) == {
        "type": "CHUNK",
        "data": {"choices": [{"index": 0}]},
    }


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ((1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": Text("b")}), {"a": "b"}),
        (Color.RED, "red"),
        (Number.ONE, 1),
        (Text("t"), "t"),
        (2**70, hex(2**70)),
        (datetime(2025, 1, 2, tzinfo=UTC), "2025-01-02T00:00:00+00:00"),
        (Decimal("1.5"), "Decimal('1.5')"),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"x"), b"x"),
        ("\ud800", "\\ud800"),
        (Raises(), "<Raises>"),
        (BrokenModel(), "<BrokenModel>"),
        (Endless, repr(Endless)),
    ],
)
def test_what_msgpack_does_not_know_becomes_what_says_the_same(value: object, taken: object) -> None:
    assert read(snapshot(value)) == taken
    assert read(snapshot([value])) == [taken]


def test_a_long_repr_is_cut_and_says_so() -> None:
    class Long:
        def __repr__(self) -> str:
            return "x" * 5000

    assert read(snapshot(Long())) == "x" * 1000 + "… [cut: 5000 characters]"


def test_a_cycle_ends() -> None:
    cycle: dict[str, Any] = {"a": 1}
    cycle["self"] = cycle
    assert read(snapshot(cycle))["self"]["self"]["a"] == 1
    read(snapshot(Endless()))
    read(snapshot({"x": BrokenMapping()}))


@pytest.mark.parametrize(
    "value",
    [
        "x" * (LIMIT + 1),
        "ü" * LIMIT,
        b"x" * (2 * LIMIT),
        ["y" * 100] * 10_000,
        {str(n): n for n in range(200_000)},
        [[]] * 300_000,
        {"k" * LIMIT: {"k" * LIMIT: "v" * LIMIT}},
        {"choices": [{"delta": {"content": "z" * 1_000_000}}]},
    ],
    ids=["text", "wide", "binary", "list", "dict", "empties", "keys", "chunk"],
)
def test_more_than_the_limit_is_cut_and_says_so(value: object) -> None:
    packed = snapshot(value)
    assert len(packed) <= LIMIT + NOTE
    assert "[cut: " in str(read(packed))


def test_a_chunk_that_is_cut_keeps_its_shape() -> None:
    packed = snapshot({"choices": [{"delta": {"content": "z" * 1_000_000}}], "model": "m"})
    assert read(packed)["choices"][0]["delta"]["content"].startswith("zzz")


def test_the_snapshot_is_of_the_moment() -> None:
    chunk = {"choices": [{"delta": {"content": "before"}}]}
    packed = snapshot(chunk)
    chunk["choices"][0]["delta"]["content"] = "after"
    assert read(packed)["choices"][0]["delta"]["content"] == "before"


def test_a_snapshot_may_be_taken_while_one_is_taken() -> None:
    class Nested:
        def model_dump(self) -> dict[str, object]:
            return {"inner": read(snapshot({"x": "y" * 1000}))}

    assert read(snapshot(["a" * 100, Nested(), "b"])) == ["a" * 100, {"inner": {"x": "y" * 1000}}, "b"]


def test_a_snapshot_after_one_that_failed_is_whole() -> None:
    snapshot(["a" * 1000, Raises()])
    assert read(snapshot([1])) == [1]


def test_threads_do_not_mix() -> None:
    wrong: list[object] = []

    def work(n: int) -> None:
        for m in range(300):
            value = {"n": n, "m": m, "model": Model(text=f"{n}" * 50)}
            if read(snapshot(value)) != {"n": n, "m": m, "model": {"text": f"{n}" * 50}}:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# By name: hypothesis prints what it draws.
BEASTS: dict[str, object] = {
    "raises": Raises(),
    "broken model": BrokenModel(),
    "broken mapping": BrokenMapping(a=1),
    "endless": Endless(),
    "object": object(),
    "class": type,
    "enum": Color.RED,
    "function": snapshot,
}

hostile = st.recursive(
    st.one_of(
        st.none(), st.integers(), st.floats(), st.text(), st.binary(), st.complex_numbers(), st.dates(), st.decimals()
    )
    | st.sampled_from(sorted(BEASTS)).map(lambda name: BEASTS[name]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text() | st.none() | st.tuples(st.integers()), inner, max_size=4)
        | st.builds(lambda value: Model(value=value), inner)
    ),
    max_leaves=12,
)


@given(hostile)
def test_anything_goes(value: object) -> None:
    read(snapshot(value))
    msgpack.unpackb(repaired(snapshot(value)))  # strict: keys are text


def test_text_is_cut_and_never_raises() -> None:
    assert text_of("x" * 20, 10) == "x" * 10 + "… [cut: 20 characters]"
    assert text_of(Raises()) == "<Raises>"
    assert text_of(ValueError("why")) == "why"
