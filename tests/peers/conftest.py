"""The peers, for the whole session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from .peers import Peers


@pytest.fixture(scope="session")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    with ExitStack() as stack:
        yield Peers(tmp_path_factory.mktemp("peers"), stack)


@pytest.fixture(scope="session")
def fresh_id() -> Callable[[str], str]:
    """Gives stream ids that nobody had."""
    given = 0

    def fresh(words: str) -> str:
        nonlocal given
        given += 1
        return f"{words}-{given}"

    return fresh


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`test_verify` stops the relays that all others share: whatever the order, it comes last."""
    items.sort(key=lambda item: item.path.parent.name == "peers" and item.path.name == "test_verify.py")
