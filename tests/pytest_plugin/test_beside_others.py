"""The plugin in other people's test runs: loaded everywhere, used somewhere, beside other plugins."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .inner import Inner
from .real_server import RealServer

pytest_plugins = ["pytester"]

MANY = """
import pytest
from talk import *

@pytest.mark.parametrize("number", range(12))
def test_number(wsproxy_cassette, number):
    assert ask(wsproxy_cassette(UPSTREAM), str(number)) == [f"{number}!"]

@pytest.mark.parametrize("number", range(4))
@pytest.mark.wsproxy_cassette(name="shared")
def test_shared(wsproxy_cassette, number):
    for word in ("one", "two"):
        assert ask(f"{wsproxy_cassette(UPSTREAM)}/{word}", word) == [word + "!"]
"""


def test_workers_of_xdist_record_and_play(inner: Inner, server: RealServer) -> None:
    pytest.importorskip("xdist")
    inner.write("test_many.py", MANY)
    inner.run("-p", "xdist.plugin", "-n", "4").went(passed=16)
    recorded = inner.cassettes()
    assert len(recorded) == 14
    assert sorted(os.listdir(inner.cassette("test_many")))[0] == "shared"
    server.stop()
    inner.run("-p", "xdist.plugin", "-n", "4").went(passed=16)
    assert inner.cassettes() == recorded


def test_any_order_and_any_part_of_a_suite_plays(inner: Inner, server: RealServer) -> None:
    inner.write("test_many.py", MANY)
    inner.run().went(passed=16)
    server.stop()
    inner.run(*(f"test_many.py::test_number[{n}]" for n in (11, 3, 7, 0))).went(passed=4)


def test_loading_the_plugin_loads_nothing_else() -> None:
    program = "import sys, pytest; before = set(sys.modules); import wsproxy.pytest_plugin; print(*sorted(set(sys.modules) - before))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["wsproxy", "wsproxy.pytest_plugin"]


def test_a_run_that_does_not_use_it_loads_nothing_of_it(inner: Inner) -> None:
    inner.write(
        "test_plain.py",
        """
import sys

def test_plain():
    assert not {"aiohttp", "rich", "click", "msgpack", "wsproxy.relay", "wsproxy.replay"} & set(sys.modules)
    assert [name for name in sys.modules if name.startswith("wsproxy.")] == ["wsproxy.pytest_plugin"]
""",
    )
    inner.run().went(passed=1)


def test_the_entry_point_and_the_option_p_are_one_plugin(inner: Inner, server: RealServer) -> None:
    """Whether this environment knows the entry point already or not."""
    inner.forget("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    inner.write("pytest.ini", "[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    inner.write("test_plain.py", "def test_plain(wsproxy_cassette): ...\n")
    inner.run().went(passed=1)
    inner.run("--help").says("WebSocket cassettes", "--wsproxy-cassettes")


def test_tests_in_unittest_classes_can_use_it(inner: Inner, server: RealServer) -> None:
    inner.write(
        "test_class.py",
        """
import unittest
import pytest
from talk import *

class TestChat(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def cassette(self, wsproxy_cassette):
        self.url = wsproxy_cassette(UPSTREAM)

    def test_hello(self):
        self.assertEqual(ask(self.url, "hello"), ["hello!"])
""",
    )
    inner.run().went(passed=1)
    server.stop()
    inner.run().went(passed=1)
    assert inner.cassettes() == ["cassettes/test_class/TestChat.test_hello.msgpack"]
