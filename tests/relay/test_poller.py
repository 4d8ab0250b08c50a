"""The event loop's selector: spliced sockets are served inside of it, and whatever asyncio waits for comes in time all the same."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from wsproxy.relay import quick
from wsproxy.relay.poller import READ, Poller


class Counter:
    """Stands in for a spliced socket's flow: reads what comes, and counts."""

    end: Any = None

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rounds = 0

    def ready(self, events: int) -> None:
        self.rounds += 1
        self.sock.recv(100)


@contextlib.contextmanager
def served(poller: Poller) -> Iterator[tuple[Counter, socket.socket]]:
    """A socket that the poller serves, and its other end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        counter = Counter(ours)
        poller.add(ours.fileno(), READ, counter)
        yield counter, theirs
        poller.remove(ours.fileno())


def test_a_timer_is_not_kept_waiting_by_spliced_sockets() -> None:
    poller = Poller()
    loop = asyncio.SelectorEventLoop(poller)
    over = threading.Event()
    with served(poller) as (counter, theirs):

        def talk() -> None:
            while not over.wait(0.005):
                theirs.send(b"x")

        thread = threading.Thread(target=talk)
        loop.call_soon(thread.start)
        loop.call_later(0.2, loop.stop)
        loop.run_forever()
        over.set()
        thread.join()
    loop.close()
    assert 1 < counter.rounds < 500  # one every 5 ms; without the alarm it would be a thousand


def test_timers_go_off_in_their_order_while_sockets_are_never_silent() -> None:
    poller = Poller()
    loop = asyncio.SelectorEventLoop(poller)
    heard: list[int] = []
    with served(poller) as (counter, theirs):
        counter.ready = lambda events: None  # type: ignore[method-assign]  # what came is never read: ready in every round
        theirs.send(b"x")
        for number in range(20):
            loop.call_later(number / 200, heard.append, number)
        loop.call_later(0.15, loop.stop)
        loop.run_forever()
    loop.close()
    assert heard == list(range(20))


def test_an_alarm_that_goes_off_while_the_standby_relays_is_heard_once() -> None:
    poller = Poller()
    with served(poller) as (counter, theirs):
        theirs.send(b"x")
        poller.select(0.05)  # serves, and sets the alarm for what is left
        assert counter.rounds == 1
        poller._alarm.set(0.001)
        poller.carry(5.0, lambda end, events: True)
        assert not select.select([poller._alarm.fd], [], [], 0)[0]
    poller.close()


@pytest.mark.parametrize(
    "native", [False, pytest.param(True, marks=pytest.mark.skipif(not quick.NATIVE, reason="no C"))]
)
def test_what_the_standby_has_served_meanwhile_is_not_served_again(native: bool) -> None:
    poller = Poller()
    if native:
        quick.quicken(poller)

    def stuck(counter: Counter) -> None:
        """While this one is served, the standby does a round."""
        counter.end = SimpleNamespace(fd=counter.sock.fileno(), events=READ, sock=counter.sock)

        def ready(events: int) -> None:
            Counter.ready(counter, events)
            poller.carry(0, lambda end, _: end.sock.recv(100) == b"x")  # type: ignore[attr-defined]

        counter.ready = ready  # type: ignore[method-assign]

    with served(poller) as (first, one), served(poller) as (second, other):
        stuck(first)
        stuck(second)
        one.send(b"x")
        other.send(b"x")
        poller.select(0)
        assert first.rounds + second.rounds == 1, "both were ready, and the standby has read what the other one had"
    poller.close()
