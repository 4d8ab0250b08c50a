"""A server to be relayed to, outside of every odd place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.relay.raw import RawServer


@pytest.fixture
def upstream() -> Iterator[RawServer]:
    server = RawServer()
    yield server
    server.close()
