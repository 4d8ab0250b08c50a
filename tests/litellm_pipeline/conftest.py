"""The beds that the tests share: one with a relay and one without, each started once, when it is first wanted."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from . import litellm_proxy
from .bed import Bed


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


@pytest.fixture(params=["direct_bed", "relayed_bed"])
def bed(request: pytest.FixtureRequest) -> Bed:
    """Each of the two, in turn."""
    found: Bed = request.getfixturevalue(request.param)
    return found
