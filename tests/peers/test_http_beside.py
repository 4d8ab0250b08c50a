"""Long-polling and server-sent events on the port of the WebSocket, while one is open: each item passes when it is told, not later."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.relay.raw import DEADLINE
from tests.relay.relay_process import assert_whole
from wsproxy.wire.events import Body, Request
from wsproxy.wire.http1 import dechunk

from .cells import Cell, Route
from .peers import Peers

LAST = "that is all"
ITEMS = ["first", "zweites ü", "x" * 100_000, LAST]
SERVERS = ("aiohttp", "hypercorn", "uvicorn-websockets", "uvicorn-sansio", "uvicorn-wsproto", "ws")


@pytest.fixture
def route(peers: Peers, request: pytest.FixtureRequest) -> Iterator[Route]:
    """A server of its own, that has told nothing yet; its relay has ended well after the test."""
    with peers.fresh_route(request.param) as route:
        yield route


def tell(route: Route, item: str) -> None:
    assert httpx.post(f"{route.http}/tell", content=item.encode(), timeout=DEADLINE).status_code == 204


@pytest.mark.parametrize("route", SERVERS, indirect=True)
def test_each_server_sent_event_comes_before_the_next_is_told(
    peers: Peers, route: Route, fresh_id: Callable[[str], str]
) -> None:
    got = []
    with httpx.stream("GET", f"{route.http}/events", timeout=DEADLINE) as answer:
        tell(route, ITEMS[0])
        for line in answer.iter_lines():
            if line.startswith("data: "):
                got.append(line.removeprefix("data: "))
                Cell(peers.client("websockets"), route, fresh_id("beside")).hold()
                if len(got) < len(ITEMS):
                    tell(route, ITEMS[len(got)])
    assert got == ITEMS
    route.relay.stop()
    recording = route.relay.recording_of_rest()
    assert_whole(recording)
    conn = next(e.conn for e in recording.events() if isinstance(e, Request) and e.target == "/events")
    raw = b"".join(e.raw for e in recording.events() if isinstance(e, Body) and e.dir == "s2c" and e.conn == conn)
    events = [f"id: {number}\ndata: {item}\n\n" for number, item in enumerate(ITEMS)]
    assert dechunk(raw) == "".join(events).encode()


@pytest.mark.parametrize("route", SERVERS, indirect=True)
def test_a_long_poll_waits_for_its_item_and_gets_it(route: Route) -> None:
    got: list[str] = []

    def poll() -> None:
        with httpx.Client(timeout=DEADLINE) as client:  # one connection for all polls
            for number in range(len(ITEMS)):
                answer = client.get(f"{route.http}/poll/{number}")
                got.append(answer.text)
                asked.release()

    asked = threading.Semaphore(0)
    poller = threading.Thread(target=poll)
    poller.start()
    for item in ITEMS:
        tell(route, item)
        assert asked.acquire(timeout=DEADLINE)
    poller.join(DEADLINE)
    assert got == ITEMS
    route.relay.stop()
    recording = route.relay.recording_of_rest()
    assert_whole(recording)
    polls = [event for event in recording.events() if isinstance(event, Request) and event.target.startswith("/poll/")]
    assert len({event.conn for event in polls}) == 1 and len(polls) == len(ITEMS)


@pytest.mark.parametrize("route", ["aiohttp", "uvicorn-websockets", "ws"], indirect=True)
def test_chromium_reads_events_through_the_relay(peers: Peers, route: Route) -> None:
    tell(route, ITEMS[0])
    report = peers.client("chromium").ask(
        {"events": f"{route.http}/events", "tell": f"{route.http}/tell", "next": ITEMS[1:]}
    )
    assert report == {"got": ITEMS}
    route.relay.stop()
    assert_whole(route.relay.recording_of_rest())
