"""The first run records the real server, the next one plays it when nobody is there."""

from __future__ import annotations

import pytest

import wsproxy
from tests.relay.relay_process import kinds

from .inner import Inner
from .real_server import RealServer

pytest_plugins = ["pytester"]


def assert_plays_offline(inner: Inner, server: RealServer, tests: int, *options: str) -> None:
    """Record, stop the server, play."""
    inner.run(*options).went(passed=tests)
    server.stop()
    heard = list(server.heard)
    inner.run(*options).went(passed=tests)
    assert server.heard == heard


def test_the_first_run_records_and_the_second_plays_without_a_server(inner: Inner, server: RealServer) -> None:
    inner.write(
        "test_chat.py",
        """
from talk import *

def test_greeting(wsproxy_cassette):
    assert ask(wsproxy_cassette(UPSTREAM), "hello", "bye") == ["hello!", "bye!"]
""",
    )
    assert_plays_offline(inner, server, 1)
    assert inner.cassettes() == ["cassettes/test_chat/test_greeting.msgpack"]
    recording = wsproxy.open(inner.cassette("test_chat/test_greeting.msgpack"))
    assert [m.json["text"] for m in recording.messages() if m.dir == "s2c" and m.opcode == 1] == ["hello!", "bye!"]
    assert kinds(recording.events())[-1] == "Trailer"


def test_every_client_and_every_loop_scope_takes_the_url(inner: Inner, server: RealServer) -> None:
    pytest.importorskip("pytest_asyncio")
    inner.write("pytest.ini", "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    inner.write(
        "test_clients.py",
        """
import pytest
import pytest_asyncio
from talk import *

@pytest.mark.parametrize("client", [ask_websockets, ask_aiohttp])
async def test_in_a_loop_of_its_own(wsproxy_cassette, client):
    assert await client(wsproxy_cassette(UPSTREAM), "hello") == ["hello!"]

@pytest.mark.asyncio(loop_scope="session")
async def test_in_the_loop_of_the_session(wsproxy_cassette):
    assert await ask_aiohttp(wsproxy_cassette(UPSTREAM), "hello") == ["hello!"]

@pytest.mark.asyncio(loop_scope="module")
async def test_blocking_the_loop_of_the_module(wsproxy_cassette):
    assert ask(wsproxy_cassette(UPSTREAM), "hello") == ["hello!"]

@pytest_asyncio.fixture
async def socket(wsproxy_cassette):
    from websockets.asyncio.client import connect
    async with connect(wsproxy_cassette(UPSTREAM)) as socket:
        yield socket

async def test_whose_connection_is_a_fixture(socket):
    await socket.send(json.dumps({"type": "ASK", "text": "hello"}))
    assert json.loads(await socket.recv())["text"] == "hello!"
""",
    )
    assert_plays_offline(inner, server, 5, "-p", "pytest_asyncio.plugin")


def test_hooks_over_http_share_the_port_and_the_cassette(inner: Inner, server: RealServer) -> None:
    inner.write(
        "test_hooks.py",
        """
from talk import *

def test_both(wsproxy_cassette):
    url = wsproxy_cassette(UPSTREAM.replace("ws://", "http://"))
    assert url.startswith("http://127.0.0.1:")
    assert hook(url, "before", "one", **{"x-litellm-call-id": "stream-7f3a"}) == "heard one"
    assert ask(wsproxy_cassette(UPSTREAM + "/stream/stream-7f3a"), "hello") == ["hello!"]
    assert hook(url, "after", "two", **{"x-litellm-call-id": "stream-7f3a"}) == "heard two"
""",
    )
    assert_plays_offline(inner, server, 1)
    assert inner.cassettes() == ["cassettes/test_hooks/test_both.msgpack"]


def test_several_streams_make_a_folder_and_each_is_found_by_an_id_of_its_own(inner: Inner, server: RealServer) -> None:
    inner.write(
        "test_streams.py",
        """
import uuid
from talk import *

def test_three(wsproxy_cassette):
    for word in ("one", "two", "three"):
        assert ask(wsproxy_cassette(f"{UPSTREAM}/stream/{uuid.uuid4()}"), word) == [word + "!"]
""",
    )
    assert_plays_offline(inner, server, 1)
    assert inner.cassettes() == [f"cassettes/test_streams/test_three/00{n}.msgpack" for n in (1, 2, 3)]


def test_two_upstreams_of_a_test_are_two_cassettes(inner: Inner, server: RealServer) -> None:
    inner.write(
        "test_two.py",
        """
import os
from talk import *

def test_both(wsproxy_cassette):
    first, second = wsproxy_cassette(UPSTREAM), wsproxy_cassette(os.environ["OTHER"])
    assert first != second and first == wsproxy_cassette(UPSTREAM)
    assert ask(first, "first") == ["first!"]
    assert ask(second, "second") == ["second!"]
""",
    )
    with RealServer() as other:
        inner.environment(OTHER=other.url)
        inner.run().went(passed=1)
        assert len(server.heard) == len(other.heard) == 1
    server.stop()
    inner.environment(UPSTREAM="ws://first.invalid", OTHER="wss://second.invalid:8443")
    inner.run().went(passed=1)
    assert inner.cassettes() == ["cassettes/test_two/test_both+2.msgpack", "cassettes/test_two/test_both.msgpack"]


def test_markers_give_defaults_and_the_closest_wins(inner: Inner, server: RealServer) -> None:
    inner.write(
        "test_marked.py",
        """
import pytest
from talk import *

pytestmark = pytest.mark.wsproxy_cassette("ws://nobody.invalid:1", match="strict", mode="once")

@pytest.mark.wsproxy_cassette(upstream=UPSTREAM + "/v1/realtime?model=m", name="greeting")
class TestChat:
    def test_hello(self, wsproxy_cassette):
        assert wsproxy_cassette.mode == "once"
        assert wsproxy_cassette.url.endswith("/v1/realtime?model=m")
        assert ask(wsproxy_cassette.url, "hello") == ["hello!"]
""",
    )
    assert_plays_offline(inner, server, 1)
    assert server.heard == ["WS /v1/realtime"]
    assert inner.cassettes() == ["cassettes/test_marked/greeting.msgpack"]


def test_names_of_cassettes_come_from_the_test_and_are_safe(inner: Inner, server: RealServer) -> None:
    inner.write(
        "test_names.py",
        """
import pytest
from talk import *

@pytest.mark.parametrize("word", ["a", "A", "../../etc", "a b", "x" * 200, "\\u00fc"])
def test_word(wsproxy_cassette, word):
    assert ask(wsproxy_cassette(UPSTREAM), word) == [word + "!"]

class TestThings:
    def test_thing(self, wsproxy_cassette):
        assert ask(wsproxy_cassette(UPSTREAM), "thing") == ["thing!"]
""",
    )
    assert_plays_offline(inner, server, 7)
    names = [name.removeprefix("cassettes/test_names/").removesuffix(".msgpack") for name in inner.cassettes()]
    assert "TestThings.test_thing" in names and "test_word-a" in names
    assert len(set(map(str.lower, names))) == 7
    assert all("/" not in name and len(name) < 120 for name in names)


def test_the_recorded_pauses_are_left_out_unless_they_are_asked_for(inner: Inner, server: RealServer) -> None:
    inner.write(
        "test_pace.py",
        """
import os, time
import pytest
from talk import *

PACE = os.environ.get("PACE", "max")

@pytest.mark.wsproxy_cassette(UPSTREAM, pace=PACE, mode=os.environ.get("MODE", "none"))
def test_slow(wsproxy_cassette):
    began = time.monotonic()
    assert ask(wsproxy_cassette.url, "hello") == ["hello!"]
    if "MODE" not in os.environ:
        assert (time.monotonic() - began >= 0.5) == (PACE == "recorded")
""",
    )
    server.pause = 0.5
    inner.environment(MODE="once")
    inner.run().went(passed=1)
    inner.forget("MODE")
    inner.run().went(passed=1)
    inner.environment(PACE="recorded")
    inner.run().went(passed=1)
