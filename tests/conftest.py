"""How all tests run: strictly, in any order, and side by side when they are all run.

Strategy: `STRICT` stands in the environment, so every process that a test starts is strict, and so are the workers of pytest-xdist; without
workers `filterwarnings` and `asyncio_debug` of pyproject.toml do the same for the tests themselves.

Orders are pytest-randomly's. Tests of one file stay together, because they share fixtures, and so do those of a folder that
starts something dear for all of its tests; those folders and the longest files come first, so that nothing long is left for the end.
"""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from .strict import STRICT

HERE = Path(__file__).parent

DEAR = ("litellm_pipeline", "demo", "peers")
"""Folders whose tests share what takes long to start."""

LONG = ("cli/test_strangers.py", "places/test_packages.py", "relay/test_tls_ends.py")
"""Files of two minutes and more: one worker with one of them would be all that is left at the end."""

TIMED = ("litellm_pipeline", "demo")
"""Of them, those whose stories happen within a hundred milliseconds: they are not told side by side."""

FLAKY_PRONE = (
    "demo/",
    "pytest_plugin/test_kept_or_not.py",
    "pytest_plugin/test_modes.py",
    "relay/test_disk_trouble.py",
    "relay/test_faulty_disk.py",
    "relay/test_killed.py",
    "relay/test_markers_across_hosts.py",
    "relay/test_pressure.py",
    "relay/test_start_and_stop.py",
    "replay/test_litellm.py",
    "replay/test_many.py",
    "replay/test_pacing.py",
    "replay/test_trouble.py",
)
"""What depends on when real processes do something: kills, stalls, pauses. `python -m tests.repeat` runs these again and again."""

# A deadline would be a clock on a busy machine. The blob repeats a failing example, whatever the seed.
hypothesis.settings.register_profile("wsproxy", deadline=None, print_blob=True)
hypothesis.settings.load_profile("wsproxy")


def pytest_configure() -> None:
    for name, value in STRICT.items():
        os.environ.setdefault(name, value)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Workers for all tests, none for those that are named: a start costs a second. Tests wait a lot: three for two processors save a fifth."""
    named = config.args_source is pytest.Config.ArgsSource.ARGS
    return 0 if named else min(max(3, len(os.sched_getaffinity(0))), 4)


class ByPlace(LoadScopeScheduling):
    """Gives workers a file at a time, or a folder of `DEAR`."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = next((folder for folder in DEAR if f"/{folder}/" in file), file)
        return "timed" if folder in TIMED else folder


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByPlace:
    return ByPlace(config, log)


def pytest_itemcollected(item: pytest.Item) -> None:
    if str(item.path.relative_to(HERE)).startswith(FLAKY_PRONE):
        item.add_marker("flaky_prone")  # before `-m` chooses


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        dear = item.path.parent.name in DEAR
        return 0 if dear else 1 if str(item.path.relative_to(HERE)) in LONG else 2

    items.sort(key=rank)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    seed = config.getoption("randomly_seed", None)  # `-q` leaves out pytest-randomly's own line
    if seed is not None:
        terminalreporter.write_line(f"in the order of --randomly-seed={seed}")
