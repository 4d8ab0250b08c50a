"""A relay for each test: a process of its own, a raw server behind it, an empty folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .faulty import disk, shim, start_on_disk
from .raw import RawServer
from .relay_process import Limits, RelayProcess

__all__ = ["disk", "shim", "start_on_disk"]  # fixtures


@pytest.fixture
def upstream() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.close()


@pytest.fixture
def start_relay(upstream: RawServer, tmp_path: Path) -> Iterator[Callable[..., RelayProcess]]:
    """Starts relays with options and limits; whatever still runs at the end of the test is killed."""
    with ExitStack() as stack:

        def start(*options: str, out: Path | None = None, limits: Limits | None = None) -> RelayProcess:
            return stack.enter_context(RelayProcess(upstream, out or tmp_path / "out", *options, limits=limits))

        yield start


@pytest.fixture
def relay(start_relay: Callable[..., RelayProcess]) -> RelayProcess:
    return start_relay()
