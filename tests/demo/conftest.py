"""The runs that several files of tests read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wsproxy.demo import faults

from .runs import HEALTHY, Run, run_all


@pytest.fixture(scope="session")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Finds a run by its fault. All that the selected tests need are made at once."""
    names = [HEALTHY, *faults.NAMES]
    wanted = set[str]()
    for item in request.session.items:
        if "runs" in getattr(item, "fixturenames", ()):
            fault = getattr(getattr(item, "callspec", None), "params", {}).get("fault")
            wanted.add(fault or HEALTHY)
    return run_all([name for name in names if name in wanted], tmp_path_factory.mktemp("runs"))


@pytest.fixture
def seen(runs: Callable[[str], Run], fault: str) -> Run:
    """The run of the test's own `fault`."""
    return runs(fault)
