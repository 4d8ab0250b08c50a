"""The beds that the tests share: with and without relay, with and without hooks; each started when it is first wanted."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from . import litellm_proxy
from .bed import Bed
from .marked import CALL_SITES, NO_CODE, Streams, ask_all


@pytest.fixture(scope="session")
def litellm_is_installed() -> None:
    """In CI a missing LiteLLM is a failure; elsewhere these tests are skipped with the reason."""
    if not litellm_proxy.program().exists():
        reason = f"no {litellm_proxy.program()}: pip install 'litellm[proxy]', or set WSPROXY_TEST_LITELLM"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def direct_bed(litellm_is_installed: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bed]:
    """LiteLLM talks to the control plane itself."""
    async with Bed(tmp_path_factory.mktemp("direct"), relay=False) as bed:
        yield bed


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def relayed_bed(litellm_is_installed: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bed]:
    """LiteLLM talks to the control plane through a relay."""
    async with Bed(tmp_path_factory.mktemp("relayed"), relay=True) as bed:
        yield bed


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def marked_bed(litellm_is_installed: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bed]:
    """Through a relay, hooked on both sides without a line of code in the callback."""
    async with Bed(tmp_path_factory.mktemp("marked"), relay=True, hooks="no code") as bed:
        yield bed


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def instrumented_bed(litellm_is_installed: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bed]:
    """Through a relay, with calls of the loggers at every call site of both sides."""
    async with Bed(tmp_path_factory.mktemp("instrumented"), relay=True, hooks="call sites") as bed:
        yield bed


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def no_code(marked_bed: Bed) -> Streams:
    """What the bed that is hooked without a line of code was asked."""
    return await ask_all(marked_bed, NO_CODE)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def call_sites(instrumented_bed: Bed) -> Streams:
    """What the bed that is hooked at its call sites was asked."""
    return await ask_all(instrumented_bed, CALL_SITES)


@pytest.fixture(params=["no_code", "call_sites"])
def streams(request: pytest.FixtureRequest) -> Streams:
    """Each of the two, in turn."""
    found: Streams = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["direct_bed", "relayed_bed"])
def bed(request: pytest.FixtureRequest) -> Bed:
    """Each of the two, in turn."""
    found: Bed = request.getfixturevalue(request.param)
    return found
