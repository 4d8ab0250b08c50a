"""When an upstream was away, from contacts in any order."""

from __future__ import annotations

from itertools import permutations

import pytest

from wsproxy.analysis.diagnose import diagnose
from wsproxy.analysis.outages import BROKE, REFUSED, TAKEN, Contact, Outage, outages
from wsproxy.recording.events import Open

from .stories import HEADER, Story, Told

S = 1_000_000_000
A, B = "ws://a:1", "ws://b:2"


def at(seconds: float, how: str, upstream: str = A) -> Contact:
    t = 1_700_000_000 * S + round(seconds * S)
    return Contact(t, t, upstream, how, "connection refused" if how == REFUSED else "")


def figures(found: list[Outage]) -> list[tuple[str, int, int, float | None]]:
    """(upstream, refused, broken, seconds until it was back)"""
    return [
        (one.upstream, one.refused, one.broken, None if one.back is None else (one.back - one.begin) / S)
        for one in found
    ]


def test_refusals_between_two_connections_that_were_taken_are_one_outage_in_whatever_order_they_are_told() -> None:
    contacts = [at(0, TAKEN), at(1, REFUSED), at(2, REFUSED), at(3, TAKEN)]
    for order in permutations(contacts):
        assert figures(outages(order)) == [(A, 2, 0, 2.0)]


def test_streams_that_break_together_begin_it() -> None:
    contacts = [at(0, TAKEN), at(5, BROKE), at(5.01, BROKE), at(6, REFUSED), at(8, TAKEN)]
    assert figures(outages(contacts)) == [(A, 1, 2, 3.0)]


def test_one_stream_that_breaks_is_no_outage() -> None:
    assert outages([at(0, TAKEN), at(5, BROKE), at(6, TAKEN)]) == []
    assert outages([at(0, TAKEN), at(5, BROKE), at(50, BROKE), at(60, TAKEN)]) == []


def test_flapping_is_as_many_outages() -> None:
    contacts = [at(n, REFUSED if n % 2 else TAKEN) for n in range(7)]
    assert figures(outages(contacts)) == [(A, 1, 0, 1.0)] * 3


def test_each_upstream_has_its_own_and_one_may_not_have_come_back() -> None:
    contacts = [at(1, REFUSED), at(1.5, TAKEN, B), at(2, REFUSED, B), at(3, TAKEN)]
    assert figures(outages(contacts)) == [(A, 1, 0, 2.0), (B, 1, 0, None)]


def test_connections_that_are_counted_together_are_told_with_their_span() -> None:
    run = Contact(10 * S, 12 * S, A, REFUSED, "no answer within 10 s", 40)
    (outage,) = outages([run])
    assert (outage.refused, outage.back) == (40, None)
    assert outage.sentence == (
        f"{A} was away at 1970-01-01 00:00:10.000 UTC: 40 connections refused within 2000 ms (no answer within 10 s), "
        "and it was not seen again"
    )


@pytest.mark.parametrize("code", [1001, 1012, None])
def test_a_recording_gives_what_its_connections_saw(code: int | None) -> None:
    story = Story().opens(0).starts(3)
    if code:
        story.close(50, "s2c", code)
    story.ends(51, "s2c").ends(52, "c2s")
    story.add(100, Open(3, 0, "127.0.0.1:9", "ws://h:2", "connection refused"))
    contacts = diagnose(Told(story.events())).contacts
    assert {(one.how, one.first - HEADER.start_wall_ns) for one in contacts} == {
        (TAKEN, 0),
        (REFUSED, 100_000_000),
        (BROKE, 50_000_000 if code else 51_000_000),
    }
