"""A real server and an empty test suite for each test. The test modules load pytest's `pytester`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .inner import Inner
from .real_server import RealServer


@pytest.fixture
def server() -> Iterator[RealServer]:
    with RealServer() as server:
        yield server


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, server: RealServer) -> Inner:
    return Inner(pytester, monkeypatch, server.url)
