"""What differs between any two runs is no difference, as long as it is renamed consistently."""

from __future__ import annotations

import pytest

from wsproxy.analysis.diff.compare import diff
from wsproxy.analysis.diff.model import Options
from wsproxy.wire.events import C2S, S2C

from .talks import STREAM, Said, chunk, instead, talk, told

OTHER = "241b4403-3094-4bd4-a02a-a15247118be3"
ANOTHER = "99999999-3094-4bd4-a02a-a15247118be3"


def renamed(said: list[Said], old: str, new: str) -> list[Said]:
    """Every message with another id in it, whatever it stands in."""
    import json

    return [Said(one.ms, one.dir, json.loads(json.dumps(one.what).replace(old, new))) for one in said]


def test_another_run_of_the_same_is_the_same() -> None:
    b = renamed(talk(id="chatcmpl-99x9y9z9q9", created=1_795_403_399), STREAM, OTHER)
    made = diff(told(talk()), told(b, stream=OTHER))
    assert (made.exit_status, made.essence) == (0, "the same but for renamed ids and times")
    assert made.renamed[0] == ("chatcmpl-1a2b3c4d5e", "chatcmpl-99x9y9z9q9")
    assert (STREAM, OTHER) in made.renamed
    assert diff(told(talk()), told(b, stream=OTHER), Options(exact=True)).exit_status == 1


def test_an_id_that_is_renamed_otherwise_once_is_a_difference_there() -> None:
    b = instead(talk(id="chatcmpl-99x9y9z9q9"), 5, chunk("word-2 ", id="chatcmpl-77x7y7z7q7"))
    [row] = diff(told(talk()), told(b)).differences
    [change] = row.changes
    assert (change.path, change.b) == (("data", "id"), "chatcmpl-77x7y7z7q7")


def test_two_ids_that_became_one_are_a_difference() -> None:
    a = [Said(ms, C2S, chunk("same", id=f"chatcmpl-{'ab'[ms % 2]}1b2c3d4e5")) for ms in range(1, 9)]
    b = [Said(ms, C2S, chunk("same", id="chatcmpl-c1b2c3d4e5")) for ms in range(1, 9)]
    assert len(diff(told(a), told(b)).differences) == 4


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"created": 1_795_403_332}, {"created": 1_795_403_399}),
        ({"started": 1_795_403_332.5}, {"started": 1_795_403_399.25}),
        ({"t": 1_795_403_332_123}, {"t": 1_795_403_399_123}),
        ({"at": "2026-11-23T03:08:52.556406+00:00"}, {"at": "2026-11-24T04:08:52.556406+00:00"}),
        ({"at": "2026-11-23 03:08:52Z"}, {"at": "2026-11-24 03:08:52Z"}),
        ({"id": "alpha"}, {"id": "beta"}),
        ({"id": 3}, {"id": 4}),
        ({"note": "object at 0x7fb4202a9e10"}, {"note": "object at 0x7fb4207ab550"}),
        ({"note": f"for {ANOTHER} only"}, {"note": f"for {OTHER} only"}),
        ({"url": "http://127.0.0.1:4000/v1"}, {"url": "http://127.0.0.1:40123/v1"}),
        ({"x": "f" * 15 + "0"}, {"x": "e" * 15 + "1"}),
        ({"queue_time_seconds": 0.25}, {"queue_time_seconds": 0.5}),
        ({"choices": [{"delta": {"tool_calls": [{"id": "call_ab12cd34"}]}}]},
         {"choices": [{"delta": {"tool_calls": [{"id": "call_zz12cd34"}]}}]}),
    ],
)  # fmt: skip
def test_a_volatile_value_is_no_difference(a: dict, b: dict) -> None:  # type: ignore[type-arg]
    made = diff(told([Said(1, S2C, a)]), told([Said(1, S2C, b)]))
    assert made.differences == []
    assert diff(told([Said(1, S2C, a)]), told([Said(1, S2C, b)]), Options(exact=True)).exit_status == 1


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"text": "one"}, {"text": "two"}),
        ({"count": 12}, {"count": 13}),
        ({"port": 4000}, {"port": 4001}),
        ({"price": 1.5}, {"price": 2.5}),
        ({"id": "alpha"}, {"id": None}),
        ({"created": 1_795_403_332}, {"created": True}),
        ({"created": 1_795_403_332}, {}),
        ({"note": f"for {STREAM} only"}, {"note": f"for {OTHER} alone"}),
        ({"note": f"for {STREAM} only"}, {"note": "for nobody only"}),
        ({"flag": True}, {"flag": 1}),
        ({"word": "deadbeef"}, {"word": "beefdead"}),
    ],
)  # fmt: skip
def test_what_is_not_volatile_is_one(a: dict, b: dict) -> None:  # type: ignore[type-arg]
    assert len(diff(told([Said(1, S2C, a)]), told([Said(1, S2C, b)])).differences) == 1


def test_a_time_out_of_order_is_a_difference() -> None:
    a = [Said(ms, S2C, {"created": 1_795_403_000 + 10 * ms, "n": ms}) for ms in range(1, 10)]
    b = [Said(one.ms, S2C, one.what | {"created": one.what["created"] + 500}) for one in a]
    assert diff(told(a), told(b)).exit_status == 0
    b[4] = Said(b[4].ms, S2C, b[4].what | {"created": 0})
    [row] = diff(told(a), told(b)).differences
    assert row.changes[0].path == ("created",)


def test_who_is_replayed_says_what_time_it_was_and_binds_nobody_else() -> None:
    """The server's times stay, the client's are those of another day, in messages that are paired by their bytes and by their values."""
    a = [Said(ms, (C2S, S2C)[ms % 2], {"created": 1_795_403_000 + 10 * ms, "n": ms}) for ms in range(1, 10)]
    b = [
        one if one.dir == S2C else Said(one.ms, C2S, one.what | {"created": one.what["created"] + 86_400}) for one in a
    ]
    assert diff(told(a), told(b)).exit_status == 0
    b[3] = Said(b[3].ms, C2S, b[3].what | {"created": 0})
    [row] = diff(told(a), told(b)).differences
    assert row.changes[0].path == ("created",)


def test_times_may_tick_at_other_moments() -> None:
    a = [Said(ms, S2C, {"created": 1_795_403_332 + ms // 6, "n": ms}) for ms in range(1, 10)]
    b = [Said(ms, S2C, {"created": 1_795_403_399 + ms // 3, "n": ms}) for ms in range(1, 10)]
    assert diff(told(a), told(b)).exit_status == 0


def test_a_text_with_the_stream_id_is_the_same_text() -> None:
    a, b = f"hello {STREAM}, it is 2026-11-23T03:08:52Z", f"hello {OTHER}, it is 2026-11-25T03:08:52Z"
    assert diff(told([Said(1, S2C, a)]), told([Said(1, S2C, b)], stream=OTHER)).exit_status == 0
    again = [Said(1, S2C, a), Said(2, S2C, f"{STREAM} again"), Said(3, S2C, f"{STREAM} and again")]
    other = [Said(1, S2C, b), Said(2, S2C, f"{OTHER} again"), Said(3, S2C, f"{ANOTHER} and again")]
    assert len(diff(told(again), told(other, stream=OTHER)).differences) == 1


def test_a_dropped_message_of_a_run_with_ids_is_that_message() -> None:
    a = [Said(ms, S2C, {"id": ms, "value": "same"}) for ms in range(1, 60)]
    [row] = diff(told(a), told([*a[:20], *a[21:]])).differences
    assert (row.op, row.a[0].t) == ("removed", 21_000_000)


def test_pings_are_the_same_whatever_they_carry() -> None:
    from wsproxy.wire.events import Frame

    pings = [[Frame(1, C2S, 30_000_000, 0x89, b"\1\2\3\4", 4, 7, payload)] for payload in (b"abcd", b"wxyz")]
    assert diff(told(talk(), extra=pings[0]), told(talk(), extra=pings[1])).exit_status == 0
    assert len(diff(told(talk(), extra=pings[0]), told(talk())).differences) == 1
