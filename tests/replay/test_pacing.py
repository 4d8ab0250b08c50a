"""Paces compose, and a replay keeps its schedule and the causal order."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect

import wsproxy
from tests.cli.command import SAMPLES
from tests.relay.raw import ACCEPTED, frame, upgrade
from wsproxy import replay
from wsproxy.replay.pacing import Pace
from wsproxy.wire.events import Dir

from .conversations import only
from .made import CLIENT, MS, SERVER, spoken

pauses = st.lists(st.integers(0, 10**12), max_size=20)
factors = st.floats(0.01, 100)
limits = st.floats(0, 100)
paces = st.one_of(
    st.just(replay.recorded), st.just(replay.at_once), factors.map(replay.speed), limits.map(replay.max_idle)
)


@given(pauses)
def test_recorded_changes_nothing_and_at_once_leaves_nothing(given: list[int]) -> None:
    assert list(replay.recorded(given)) == given
    assert list(replay.at_once(given)) == [0] * len(given)


@given(pauses, factors, limits)
def test_speed_divides_and_idle_caps(given: list[int], factor: float, limit: float) -> None:
    assert list(replay.speed(factor)(given)) == [round(pause / factor) for pause in given]
    assert list(replay.max_idle(limit)(given)) == [min(pause, round(limit * 1e9)) for pause in given]


@given(pauses, paces, paces, paces)
def test_paces_compose_in_their_order(given: list[int], one: Pace, two: Pace, three: Pace) -> None:
    expected = list(three(two(one(given))))
    assert list(replay.compose(one, two, three)(given)) == expected
    assert list(replay.compose(one, replay.compose(two, three))(given)) == expected
    assert list(replay.compose(replay.compose(one, two), three)(given)) == expected
    assert list(replay.compose()(given)) == given


@given(pauses, paces)
def test_a_pace_is_lazy_and_yields_one_pause_for_each(given: list[int], pace: Pace) -> None:
    taken: list[int] = []

    def source():  # type: ignore[no-untyped-def]
        for pause in given:
            taken.append(pause)
            yield pause

    for n, _ in enumerate(pace(source()), 1):
        assert len(taken) == n
    assert len(taken) == len(given)


async def test_an_answer_never_comes_before_what_it_answers(tmp_path: Path) -> None:
    """At no pause at all, the server's second word still waits for the client's second."""
    words = [
        (CLIENT, upgrade("/stream/s1")),
        (SERVER, ACCEPTED),
        (CLIENT, frame(b"one", mask=b"abcd")),
        (SERVER, frame(b"first")),
        (CLIENT, frame(b"two", mask=b"abcd")),
        (SERVER, frame(b"second")),
    ]
    async with (
        replay.serve(spoken(tmp_path / "r.msgpack", words), pace=replay.at_once) as server,
        connect(f"{server.url}/stream/s1") as client,
    ):
        await client.send("one")
        assert await client.recv() == "first"
        await (await client.ping())  # whatever had been sent would be here before the pong
        assert client.protocol.events_received() == []
        asked = time.monotonic()
        await client.send("two")
        assert await client.recv() == "second"
        assert time.monotonic() > asked


turns = st.lists(st.tuples(st.sampled_from([CLIENT, SERVER]), st.integers(1, 3)), min_size=1, max_size=12)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns)
def test_both_replays_keep_the_causal_order_of_any_conversation(tmp_path: Path, turns: list[tuple[Dir, int]]) -> None:
    words: list[tuple[Dir, bytes]] = [(CLIENT, upgrade("/stream/s1")), (SERVER, ACCEPTED)]
    for n, (dir, parts) in enumerate(turns):
        mask = b"abcd" if dir == CLIENT else None
        for part in range(parts):
            words.append((dir, frame(b"%d" % n, 1 if part == 0 else 0, fin=part == parts - 1, mask=mask)))
    recording = spoken(tmp_path / "r.msgpack", words)
    folder = tmp_path / os.urandom(4).hex()

    async def main() -> tuple[replay.Report, replay.Report]:
        async with replay.serve(recording, pace=replay.at_once, match="strict", record=folder / "s") as server:
            report = await replay.play(recording, server.url, pace=replay.at_once, match="strict", record=folder / "c")
            await server.idle()
        return report, server.report

    order = [dir for dir, _ in turns]
    for report in asyncio.run(main()):
        assert report.mismatches == []
        said = [message for message in only(report).messages() if message.opcode == 1]
        for side in (CLIENT, SERVER):  # nobody spoke before all that had been said to him was heard
            needed = [
                order[:n].count(SERVER if side == CLIENT else CLIENT) for n, dir in enumerate(order) if dir == side
            ]
            heard = [[m.dir for m in said[:n]].count(SERVER if side == CLIENT else CLIENT)
                     for n, m in enumerate(said) if m.dir == side]  # fmt: skip
            if (report.side == "client") == (side == CLIENT):
                assert all(got >= need for got, need in zip(heard, needed, strict=True))


async def test_pauses_are_kept_and_what_was_reached_is_reported(tmp_path: Path) -> None:
    recording = wsproxy.open(SAMPLES / "blocked-delivered.msgpack")
    async with replay.serve(recording) as server:
        report = await replay.play(recording, server.url, record=tmp_path)
        await server.idle()
    again = only(report)
    before, after = ([m.t for m in rec.messages() if m.dir == "c2s" and m.opcode == 1] for rec in (recording, again))
    assert report.timing.steps == 9  # seven messages, the close frame, the end
    opened = next(event.t for event in again.events())
    for n in range(1, len(before)):  # never early, counted from before the first was due: that one may have been late
        assert after[n] - opened >= before[n] - before[0] - MS
    assert report.timing.median <= report.timing.p99


async def test_a_hold_counts_at_any_pace(tmp_path: Path) -> None:
    recording = wsproxy.open(SAMPLES / "blocked-delivered.msgpack")
    edits = [replay.delay("grep:BLOCKED", 0.2)]
    async with replay.serve(recording, edits=edits, pace=replay.at_once, record=tmp_path) as server:
        await replay.play(recording, server.url, pace=replay.at_once)
        await server.idle()
    messages = [m for m in only(server.report).messages() if m.opcode == 1]
    last_up = max(m.t for m in messages if m.dir == "c2s")
    first_down = min(m.t for m in messages if m.dir == "s2c")
    assert first_down - last_up >= 199 * MS
