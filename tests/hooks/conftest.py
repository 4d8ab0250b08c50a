"""A relay's stand-in, and hooks that send to it. Each test has its own sender, as each process has."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from wsproxy.hooks import marks
from wsproxy.hooks.delivery import Relay
from wsproxy.hooks.sender import Sender

from .collector import Collector

Install = Callable[..., Sender]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Make marks go to a URL, as WSPROXY_MARKERS would in a new process."""
    senders: list[Sender] = []

    def to(url: str, token: str | None = None) -> Sender:
        sender = Sender(Relay(url, token), exit_flush=False)
        senders.append(sender)
        monkeypatch.setattr(marks, "_sender", sender)
        monkeypatch.setattr(marks, "_off", False)
        return sender

    yield to
    for sender in senders:
        sender.close(timeout=0)


@pytest.fixture
def relay(collector: Collector, install: Install) -> Collector:
    """The collector, with the hooks sending to it."""
    install(collector.url)
    return collector


@pytest.fixture
def disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process without WSPROXY_MARKERS that has not marked yet."""
    monkeypatch.delenv(marks.ADDRESS, raising=False)
    monkeypatch.setattr(marks, "_sender", None)
    monkeypatch.setattr(marks, "_off", False)
