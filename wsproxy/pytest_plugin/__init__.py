"""Cassettes for tests: the first run records the real server, later runs play it offline.

Strategy: this module is loaded by every pytest of an environment that has wsproxy in it, so it knows nothing but pytest: an option, a
marker, a fixture, and two hooks that ask whether the fixture was used. Everything else is loaded when it is.

A cassette judges in three places: at once when it is asked for an URL and has none to give; when the test has ended well, as part of its
call; and for what fixtures said while they were torn down, in its own teardown.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .cassette import Cassette

MODES = ("once", "none", "all", "new")
_MODES_HELP = (
    "once: play the cassette, record it if there is none (the default). none: play only (the default in CI). "
    "all: record anew. new: play, and record what is not in it"
)
_MARKER = (
    "wsproxy_cassette(upstream, mode=..., match='shape', ignore=[...], name=..., pace='max', strict=False, redact=True, timeout=10): "
    "what the fixture of this name records and plays"
)
_cassette = pytest.StashKey["Cassette"]()
_passed = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("wsproxy", "WebSocket cassettes")
    group.addoption("--wsproxy-cassettes", choices=MODES, help=f"{_MODES_HELP}. [env: WSPROXY_CASSETTES]")
    parser.addini("wsproxy_cassettes", f"mode of WebSocket cassettes: {_MODES_HELP}", default="")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def wsproxy_cassette(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """A server on this machine that is recorded the first time and played from then on.

    `wsproxy_cassette(URL)` gives the URL to connect to in place of the real one; `wsproxy_cassette.url` that of the marker's upstream.
    """
    from .cassette import Cassette
    from .settings import settings_of

    node = request.node
    cassette = node.stash[_cassette] = Cassette(settings_of(node, request.config))
    node.stash[_passed] = False
    yield cassette
    cassette.finish(passed=node.stash[_passed])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    try:
        result = yield
    except Exception:
        if (cassette := item.stash.get(_cassette, None)) is not None:
            cassette.explain()
        raise
    if (cassette := item.stash.get(_cassette, None)) is not None:
        cassette.check()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    cassette = item.stash.get(_cassette, None)
    if cassette is not None:
        if report.when == "call":
            item.stash[_passed] = report.passed
        if report.failed and (remarks := cassette.remarks()):
            report.sections.append(("wsproxy", remarks))
    return report
