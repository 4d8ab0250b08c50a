"""From the marking threads to the relay: all of it arrives, or is counted; and whoever marks never waits.

Strategy: the relay's stand-in is a real server that does each thing a relay can do wrong. That a mark does not wait is shown
by marks that return while the server provably answers nobody; how long they took is printed (`pytest -s`), not judged.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from wsproxy.hooks import mark, marks, sender
from wsproxy.hooks.delivery import Relay

from .collector import PATIENCE_SECONDS, Collector, Marker
from .conftest import Install

CHUNK = {"id": "c", "choices": [{"index": 0, "delta": {"content": "x" * 300}, "finish_reason": None}]}


def indices(markers: list[Marker]) -> list[int]:
    return [marker["index"] for marker in markers if marker["stage"] == "policy.chunk_in"]


def mark_many(count: int, stream_id: str = "s", start: int = 0) -> None:
    worst = total = 0
    for index in range(start, start + count):
        began = time.perf_counter_ns()
        mark(stream_id, "policy.chunk_in", index, CHUNK)
        took = time.perf_counter_ns() - began
        worst, total = max(worst, took), total + took
    print(f"\n{count} marks: mean {total / count / 1000:.1f} µs, worst {worst / 1000:.0f} µs")


def dropped(collector: Collector, stream_id: str) -> int:
    return sum(marker["data"]["count"] for marker in collector.of(stream_id, "hooks.dropped"))


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience that fits a test."""
    monkeypatch.setattr(sender, "FIRST_BACK_OFF", 0.01)
    monkeypatch.setattr(sender, "LONGEST_BACK_OFF", 0.05)
    monkeypatch.setattr(sender, "TELL_SECONDS", 0.05)
    monkeypatch.setattr("wsproxy.hooks.delivery.ANSWER_SECONDS", 0.2)


def test_marks_arrive_in_order_in_few_requests_over_one_connection(relay: Collector) -> None:
    mark_many(5_000)
    assert indices(relay.wait_for(5_000, "s")) == list(range(5_000))
    assert max(relay.batches) <= sender.BATCH_MARKERS
    assert len(relay.batches) < 100
    assert len(relay.connections) == 1
    assert not relay.of("s", "hooks.dropped")


def test_a_marker_has_the_fields_of_the_contract(relay: Collector) -> None:
    before = time.monotonic_ns(), time.time_ns()
    mark("s", "policy.chunk_in", 3, CHUNK)
    after = time.monotonic_ns(), time.time_ns()
    mark("s", "my.own_stage")
    first, second = relay.wait_for(2, "s")
    assert first["stage"] == "policy.chunk_in" and first["index"] == 3 and first["data"] == CHUNK
    assert before[0] <= first["t_mono_ns"] <= after[0]
    assert before[1] <= first["t_wall_ns"] <= after[1]
    with open("/proc/sys/kernel/random/boot_id") as file:
        assert first["boot_id"] == file.read().strip()
    assert first["source"].startswith("pid ") and len(first["source"].split()) >= 3
    assert set(second) == {"stream_id", "stage", "t_mono_ns", "t_wall_ns", "boot_id", "source"}


def test_a_batch_is_bounded_in_bytes_too(relay: Collector) -> None:
    for index in range(20):
        mark("s", "policy.chunk_in", index, {"content": "x" * 100_000})
    relay.wait_for(20, "s")
    assert max(relay.batches) <= sender.BATCH_BYTES // 100_000 + 1


def test_threads_mark_at_once_and_nothing_is_lost_or_out_of_order(relay: Collector) -> None:
    threads = [threading.Thread(target=mark_many, args=(500, f"s{n}")) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(8):
        assert indices(relay.wait_for(500, f"s{n}")) == list(range(500))


def test_a_relay_that_is_absent_gets_everything_when_it_comes(install: Install, fast: None) -> None:
    with Collector() as gone:
        port = gone.port
    install(f"http://127.0.0.1:{port}")
    mark_many(1_000)
    with Collector(port) as back:
        assert indices(back.wait_for(1_000, "s")) == list(range(1_000))


def test_a_relay_that_is_restarted_in_between_gets_the_rest(install: Install, fast: None) -> None:
    with Collector() as first:
        install(first.url)
        mark("s", "policy.chunk_in", 0)
        first.wait_for(1, "s")
    mark_many(100, start=1)
    with Collector(first.port) as second:
        assert indices(second.wait_for(100, "s")) == list(range(1, 101))


def test_a_relay_that_closes_after_each_answer_gets_everything(relay: Collector) -> None:
    relay.answer_headers = {"connection": "close"}
    for index in range(5):
        mark("s", "policy.chunk_in", index)
        relay.wait_for(index + 1, "s")
    assert indices(relay.markers) == [0, 1, 2, 3, 4]
    assert len(relay.connections) == 5


def test_a_connection_that_died_while_idle_loses_nothing(relay: Collector) -> None:
    for index in range(5):
        mark("s", "policy.chunk_in", index)
        relay.wait_for(index + 1, "s")
        relay._server.hang_up()
    assert indices(relay.markers) == [0, 1, 2, 3, 4]
    assert not relay.of("s", "hooks.dropped")


def test_a_relay_that_stops_answering_costs_a_batch_which_is_counted(relay: Collector, fast: None) -> None:
    mark("s", "policy.start")
    relay.wait_for(1, "s")
    relay.gate.clear()
    mark_many(2_000)
    relay.wait(lambda: relay.waiting > 2)
    assert not indices(relay.of("s"))
    relay.gate.set()
    relay.wait(lambda: len(indices(relay.of("s"))) + dropped(relay, "s") >= 2_000)


def test_a_relay_that_never_answers_is_never_sent_anything(
    relay: Collector, fast: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.gate.clear()
    mark_many(2_000)
    relay.wait(lambda: relay.waiting >= 3)
    # From here on it answers, as soon as the machine lets it.
    monkeypatch.setattr("wsproxy.hooks.delivery.ANSWER_SECONDS", 5)
    relay.gate.set()
    assert indices(relay.wait_for(2_000, "s")) == list(range(2_000))
    assert not relay.of("s", "hooks.dropped")


def test_a_relay_that_does_not_accept_is_waited_for_by_nobody(install: Install) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with full_backlog(listener.getsockname()):
            install(f"http://127.0.0.1:{listener.getsockname()[1]}")
            mark_many(2_000)


@contextmanager
def full_backlog(address: tuple[str, int]) -> Iterator[None]:
    """Connections that nobody accepts, until a further one would wait."""
    waiting = [socket.socket() for _ in range(8)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(address)
    try:
        yield
    finally:
        for one in waiting:
            one.close()


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_relay_that_is_unwell_for_a_moment_gets_everything(relay: Collector, fast: None, status: int) -> None:
    relay.status = status
    mark_many(50)
    relay.wait(lambda: relay.requests >= 2)
    relay.status = 202
    assert indices(relay.wait_for(50, "s")) == list(range(50))


@pytest.mark.parametrize("status", [500, 401, 404, 302, 405])
def test_a_relay_that_refuses_for_long_costs_markers_and_the_count_arrives_later(
    relay: Collector, fast: None, status: int
) -> None:
    relay.status = status
    mark_many(50)
    relay.wait(lambda: relay.requests >= sender.TRIES + 1)
    relay.status = 202
    relay.wait(lambda: len(indices(relay.of("s"))) + dropped(relay, "s") == 50)
    assert dropped(relay, "s") > 0


def test_a_wrong_token_is_said_once_and_the_right_one_is_let_in(
    install: Install, fast: None, caplog: pytest.LogCaptureFixture
) -> None:
    with Collector(token="right") as collector:
        install(collector.url, token="wrong")
        mark_many(10)
        collector.wait(lambda: collector.requests >= 1)
        mark_many(10)
        collector.wait(lambda: collector.requests >= 3)
        said = [line.getMessage() for line in caplog.records if f"do not reach {collector.url}" in line.getMessage()]
        assert said == [f"stage markers do not reach {collector.url}: it answers 401: is WSPROXY_TOKEN right?"]
        install(collector.url, token="right")
        mark("t", "policy.start")
        collector.wait_for(1, "t")


def test_one_bad_marker_does_not_take_its_batch_along(relay: Collector, fast: None) -> None:
    relay.refuses = lambda marker: marker.get("index") in (3, 77)
    mark_many(100)
    relay.wait(lambda: len(indices(relay.of("s"))) == 98 and dropped(relay, "s") == 2)


def test_keys_that_are_no_text_are_mended_and_arrive(relay: Collector) -> None:
    mark("s", "my.stage", 0, {1: "one", None: "none"})
    mark("s", "my.stage", 1, {("a",): "tuple"})
    mark("s", "my.stage", 2, CHUNK)
    first, _, third = relay.wait_for(3, "s")
    assert first["data"] == {"1": "one", "None": "none"}
    assert third["data"] == CHUNK


def test_a_full_queue_drops_and_the_count_reaches_the_recording(
    relay: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "QUEUE_MARKERS", 100)
    relay.gate.clear()
    mark_many(1_000, "a")
    mark_many(1_000, "b")
    relay.gate.set()
    relay.wait(lambda: all(len(indices(relay.of(s))) + dropped(relay, s) == 1_000 for s in "ab"))
    assert dropped(relay, "a") + dropped(relay, "b") >= 1_000


def test_the_queue_is_bounded_in_bytes_too(relay: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "QUEUE_BYTES", 100_000)
    relay.gate.clear()
    for index in range(100):
        mark("s", "policy.chunk_in", index, {"content": "x" * 10_000})
    relay.gate.set()
    relay.wait(lambda: len(indices(relay.of("s"))) + dropped(relay, "s") == 100)
    assert dropped(relay, "s") > 0


def test_a_stage_that_is_none_is_dropped_and_counted(relay: Collector, caplog: pytest.LogCaptureFixture) -> None:
    mark("s", "Not A Stage")
    mark("s", ["unhashable"])  # type: ignore[arg-type]
    mark("s", "policy.start")
    relay.wait(lambda: dropped(relay, "s") >= 1 and relay.of("s", "policy.start"))
    assert any("is no stage" in line.getMessage() for line in caplog.records)


def test_a_mark_in_a_destructor_does_not_lock(relay: Collector) -> None:
    class Marks:
        def model_dump(self) -> dict[str, object]:
            mark("inner", "my.stage")
            return {}

        def __del__(self) -> None:
            mark("inner", "my.stage")

    for index in range(100):
        mark("s", "my.stage", index, Marks())
    relay.wait_for(100, "s")
    relay.wait_for(200, "inner")


def test_marks_go_on_after_the_event_loop_has_gone(relay: Collector) -> None:
    async def inside() -> None:
        mark("s", "policy.chunk_in", 0)

    asyncio.run(inside())
    mark("s", "policy.chunk_in", 1)
    asyncio.run(inside())
    relay.wait_for(3, "s")


def test_the_event_loop_turns_while_the_relay_does_nothing(relay: Collector) -> None:
    relay.gate.clear()

    async def host() -> int:
        turns = 0
        for index in range(500):
            mark("s", "policy.chunk_in", index, CHUNK)
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(host()) == 500
    assert not relay.markers


def test_each_request_tells_the_round_trip_of_the_one_before(relay: Collector) -> None:
    relay.answer_headers = {"x-wsproxy-clock": "111 222"}
    before = time.monotonic_ns()
    for index in range(2):
        mark("s", "policy.chunk_in", index)
        relay.wait_for(index + 1, "s")
    first, second = ([int(number) for number in headers["x-wsproxy-clock"].split()] for headers in relay.headers)
    assert relay.clocks == 1
    assert first[2:4] == second[2:4] == [111, 222]
    assert before < first[1] < first[4] <= first[0] == second[1] < second[4] <= second[0]


def test_a_relay_that_tells_no_time_is_told_ours_only(relay: Collector) -> None:
    mark("s", "policy.start")
    relay.wait_for(1, "s")
    assert len(relay.headers[0]["x-wsproxy-clock"].split()) == 1


def test_closing_sends_what_is_queued(collector: Collector, install: Install) -> None:
    running = install(collector.url)
    mark_many(3_000)
    running.close(timeout=PATIENCE_SECONDS)
    assert indices(collector.of("s")) == list(range(3_000))


def test_closing_waits_no_longer_than_asked_for_a_relay_that_does_nothing(relay: Collector) -> None:
    relay.gate.clear()
    mark("s", "policy.start")
    relay.wait(lambda: relay.waiting)
    assert marks._sender is not None
    marks._sender.close(timeout=0.05)
    assert not relay.markers


@pytest.mark.parametrize("url", ["relay:9091", "ftp://relay", "http://", "http://relay:port", "", "http:///x"])
def test_what_is_no_address_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError):
        Relay(url)


@pytest.mark.parametrize(
    ("url", "where"),
    [("http://relay:9091", "http://relay:9091"), ("http://relay", "http://relay"), ("https://r:1/x/", "https://r:1")],
)
def test_an_address_may_have_a_path_and_no_port(url: str, where: str) -> None:
    assert Relay(url).where == where
