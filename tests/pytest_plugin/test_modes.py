"""Modes as users of VCR know them, who decides which, and CI."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

from .inner import PLUGIN, Inner
from .real_server import RealServer

pytest_plugins = ["pytester"]

ONE = """
import os
from talk import *

def test_words(wsproxy_cassette):
    url = wsproxy_cassette(UPSTREAM)
    for word in os.environ.get("WORDS", "hello").split():
        assert ask(f"{url}/{word}", word) == [word + "!"]
"""


@pytest.fixture
def suite(inner: Inner) -> Inner:
    inner.write("test_chat.py", ONE)
    return inner


def test_in_ci_a_missing_cassette_fails_and_says_the_command_that_records_it(suite: Inner, server: RealServer) -> None:
    suite.environment(CI="true")
    ran = suite.run().went(failed=1)
    ran.says(
        "no cassette cassettes/test_chat/test_words.msgpack for test_chat.py::test_words, and mode 'none' (CI is set) records none.",
        f"Record it where {server.url} can be reached, and commit it: ",
    )
    assert server.heard == [] and suite.cassettes() == []
    (line,) = {line for line in ran.text.splitlines() if line.startswith("Record it")}
    _, *options = shlex.split(line.rpartition(": ")[2])
    subprocess.run([sys.executable, "-m", "pytest", *PLUGIN, *options], cwd=suite.folder, check=True)
    suite.run().went(passed=1)


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_what_is_no_ci_records(suite: Inner, value: str) -> None:
    suite.environment(CI=value)
    suite.run().went(passed=1)
    assert suite.cassettes() == ["cassettes/test_chat/test_words.msgpack"]


def test_none_plays_and_never_records(suite: Inner, server: RealServer) -> None:
    suite.run("--wsproxy-cassettes=none").went(failed=1).says("mode 'none' (--wsproxy-cassettes=none)")
    suite.run().went(passed=1)
    suite.run("--wsproxy-cassettes=none").went(passed=1)
    assert server.heard == ["WS /hello"]


def test_all_records_anew_each_time_and_replaces_a_file_by_a_folder_and_back(suite: Inner, server: RealServer) -> None:
    suite.run("--wsproxy-cassettes=all").went(passed=1)
    suite.environment(WORDS="hello bye")
    suite.run("--wsproxy-cassettes=all").went(passed=1)
    assert suite.cassettes() == [f"cassettes/test_chat/test_words/00{n}.msgpack" for n in (1, 2)]
    suite.run("--wsproxy-cassettes=all").went(passed=1)
    assert suite.cassettes() == [f"cassettes/test_chat/test_words/00{n}.msgpack" for n in (1, 2)]
    suite.environment(WORDS="bye")
    suite.run("--wsproxy-cassettes=all").went(passed=1)
    assert suite.cassettes() == ["cassettes/test_chat/test_words.msgpack"]
    assert len(server.heard) == 6
    assert os.listdir(suite.cassette("test_chat")) == ["test_words.msgpack"]


def test_new_plays_what_is_there_and_appends_what_is_not(suite: Inner, server: RealServer) -> None:
    suite.run("--wsproxy-cassettes=new").went(passed=1)
    old = suite.cassette("test_chat/test_words.msgpack").read_bytes()
    suite.environment(WORDS="bye hello")
    suite.run("--wsproxy-cassettes=new").went(passed=1)
    assert server.heard == ["WS /hello", "WS /bye"]
    assert suite.cassette("test_chat/test_words/001.msgpack").read_bytes() == old
    server.stop()
    suite.run("--wsproxy-cassettes=new").went(passed=1)
    suite.run("--wsproxy-cassettes=none").went(passed=1)


def test_new_decides_for_each_request_of_a_connection_that_is_kept_open(inner: Inner, server: RealServer) -> None:
    inner.write(
        "test_hooks.py",
        """
import http.client, json, os
from talk import *

def test_hooks(wsproxy_cassette):
    host = wsproxy_cassette(UPSTREAM).removeprefix("ws://")
    connection = http.client.HTTPConnection(host)
    for name in os.environ.get("NAMES", "a b").split():
        connection.request("POST", f"/hook/{name}", json.dumps({"text": name}), {"Content-Type": "application/json"})
        assert json.load(connection.getresponse())["answer"] == f"heard {name}"
    connection.close()
""",
    )
    inner.run().went(passed=1)
    inner.environment(NAMES="a new b newer")
    inner.run("--wsproxy-cassettes=new").went(passed=1)
    assert server.heard == [f"POST /hook/{name}" for name in ("a", "b", "new", "newer")]
    server.stop()
    inner.run("--wsproxy-cassettes=none").went(passed=1)


def test_option_environment_marker_and_ini_file_decide_in_this_order(inner: Inner) -> None:
    inner.write(
        "test_mode.py",
        """
import pytest

@pytest.mark.wsproxy_cassette(mode="all")
def test_marked(wsproxy_cassette):
    print("marked", wsproxy_cassette.mode)

def test_plain(wsproxy_cassette):
    print("plain", wsproxy_cassette.mode)
""",
    )
    inner.run().went(passed=2).says("marked all", "plain once")
    inner.write("pytest.ini", "[pytest]\nwsproxy_cassettes = new\n")
    inner.run().went(passed=2).says("marked all", "plain new")
    inner.environment(CI="1")
    inner.run().went(passed=2).says("marked all", "plain new")
    inner.environment(WSPROXY_CASSETTES="once")
    inner.run().went(passed=2).says("marked once", "plain once")
    inner.run("--wsproxy-cassettes=none").went(passed=2).says("marked none", "plain none")


def test_what_makes_no_sense_is_told_in_a_line(inner: Inner) -> None:
    inner.write(
        "test_bad.py",
        """
import pytest

@pytest.mark.wsproxy_cassette(mode="always")
def test_mode(wsproxy_cassette): ...

@pytest.mark.wsproxy_cassette(ignored=["id"])
def test_name(wsproxy_cassette): ...

@pytest.mark.wsproxy_cassette(ignore="id")
def test_type(wsproxy_cassette): ...

@pytest.mark.wsproxy_cassette("ws://one:1", "ws://two:2")
def test_two(wsproxy_cassette): ...

def test_no_upstream(wsproxy_cassette):
    wsproxy_cassette.url

@pytest.mark.parametrize("url", ["localhost:80", "ws://", "ftp://host", "ws://host:port", None])
def test_url(wsproxy_cassette, url):
    wsproxy_cassette(url)
""",
    )
    ran = inner.run("-m", "wsproxy_cassette or not wsproxy_cassette").went(errors=4, failed=6)
    ran.says("wsproxy_cassette(mode='always'): not one of once, none, all, new")
    ran.says("wsproxy_cassette(ignored=...): no such setting; there are upstream, name, mode,")
    ran.says("wsproxy_cassette(ignore='id'): not a list of JSON fields")
    ran.says("wsproxy_cassette takes one upstream")
    ran.says("wsproxy_cassette.url in test_bad.py::test_no_upstream needs an upstream: mark the test with")
    ran.says("wsproxy_cassette('localhost:80') in test_bad.py::test_url[localhost:80]: not a URL; write ws://HOST:PORT")
    ran.says("wsproxy_cassette('ws://') in *: no host")
    ran.says("wsproxy_cassette(None) in *: not a URL")
    inner.environment(WSPROXY_CASSETTES="sometimes")
    inner.run("-k", "test_no_upstream").went(errors=1).says("WSPROXY_CASSETTES=sometimes: not a mode of cassettes")


def test_new_gives_what_is_there_once_to_many_who_ask_at_once(inner: Inner, server: RealServer) -> None:
    inner.write("pytest.ini", "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    inner.write(
        "test_many.py",
        """
import asyncio, os
from talk import *

async def test_many(wsproxy_cassette):
    url = wsproxy_cassette(UPSTREAM)
    count = int(os.environ.get("COUNT", "5"))
    assert await asyncio.gather(*(ask_aiohttp(url, "hello") for _ in range(count))) == [["hello!"]] * count
""",
    )
    inner.run("-p", "pytest_asyncio.plugin").went(passed=1)
    inner.environment(COUNT="8")
    inner.run("-p", "pytest_asyncio.plugin", "--wsproxy-cassettes=new").went(passed=1)
    assert len(server.heard) == 8 and len(inner.cassettes()) == 8
    server.stop()
    inner.run("-p", "pytest_asyncio.plugin", "--wsproxy-cassettes=none").went(passed=1)


def test_new_says_so_when_nobody_is_there_for_what_it_does_not_have(suite: Inner, server: RealServer) -> None:
    suite.run().went(passed=1)
    server.stop()
    suite.environment(WORDS="hello bye")
    suite.run("--wsproxy-cassettes=new").went(failed=1).says("was not reached (connection refused)")
    assert suite.cassettes() == ["cassettes/test_chat/test_words.msgpack"]
