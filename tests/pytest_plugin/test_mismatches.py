"""A client that does not say what it said when the cassette was recorded."""

from __future__ import annotations

import pytest

from .inner import Inner
from .real_server import RealServer

pytest_plugins = ["pytester"]

ONE = """
import os
import pytest
from talk import *

FIELDS = json.loads(os.environ.get("FIELDS", "{}"))

@pytest.mark.wsproxy_cassette(UPSTREAM, timeout=1, **json.loads(os.environ.get("SETTINGS", "{}")))
def test_words(wsproxy_cassette):
    assert ask(wsproxy_cassette.url, *os.environ.get("WORDS", "hello").split(), **FIELDS)
"""


@pytest.fixture
def suite(inner: Inner, server: RealServer) -> Inner:
    """A suite whose cassette is recorded, and whose server is gone."""
    inner.write("test_chat.py", ONE)
    inner.run().went(passed=1)
    server.stop()
    return inner


def test_a_test_that_would_pass_fails_and_names_message_and_field(suite: Inner) -> None:
    suite.environment(FIELDS='{"type": "SHOUT"}')
    suite.run().went(failed=1).says(
        "message 1, type: expected ASK, got SHOUT (event ",
        "in the cassette cassettes/test_chat/test_words.msgpack of test_chat.py::test_words, match=shape.",
        "If the change is meant, record it anew: pytest test_chat.py::test_words --wsproxy-cassettes=all",
        "Captured log call",
        "WARNING  wsproxy.cassette:*message 1, type: expected ASK, got SHOUT",
    )


def test_volatile_and_ignored_fields_may_differ_and_strict_finds_the_rest(suite: Inner) -> None:
    suite.environment(SETTINGS='{"match": "strict"}')
    suite.run().went(passed=1)
    suite.environment(FIELDS='{"colour": "red"}')
    suite.run().went(failed=1).says('message 1, colour: expected nothing, got "red"')
    suite.environment(SETTINGS='{"match": "strict", "ignore": ["colour"]}')
    suite.run().went(passed=1)
    suite.environment(SETTINGS='{"match": "none"}', FIELDS='{"type": "SHOUT"}')
    suite.run().went(passed=1)


def test_a_test_that_fails_by_itself_shows_the_mismatch_beside_its_own_words(suite: Inner) -> None:
    suite.environment(WORDS="hello again")
    suite.run().went(failed=1).says(
        "ConnectionClosed", "- wsproxy -", "message 2, type: expected END, got ASK", "record it anew:"
    )


def test_a_client_that_waits_for_what_never_comes_is_let_go(suite: Inner) -> None:
    suite.write(
        "test_chat.py",
        """
import pytest
from talk import *

@pytest.mark.wsproxy_cassette(UPSTREAM, timeout=0.2)
def test_words(wsproxy_cassette):
    from websockets.sync.client import connect
    with connect(wsproxy_cassette.url) as socket:
        socket.recv()
""",
    )
    suite.run().went(failed=1).says("ConnectionClosed", "- wsproxy -", "message 1, type: expected ASK, got nothing for")


def test_a_path_that_is_not_in_the_cassette_is_refused_at_once(suite: Inner) -> None:
    suite.write(
        "test_chat.py",
        """
import pytest
from talk import *

@pytest.mark.wsproxy_cassette(UPSTREAM)
def test_words(wsproxy_cassette):
    assert ask(wsproxy_cassette.url + "/elsewhere", "hello")
""",
    )
    suite.run().went(failed=1).says(
        "InvalidStatus", "- wsproxy -", "GET /elsewhere, path: expected /, got no such path"
    )


def test_what_a_fixture_says_after_the_test_is_judged_too(suite: Inner) -> None:
    suite.write(
        "test_chat.py",
        """
import pytest
from talk import *

@pytest.fixture
def socket(wsproxy_cassette):
    from websockets.sync.client import connect
    with connect(wsproxy_cassette(UPSTREAM)) as socket:
        yield socket
        socket.send(json.dumps({"type": "SHOUT"}))

def test_words(socket):
    socket.send(json.dumps({"type": "ASK", "text": "hello"}))
    assert json.loads(socket.recv())["text"] == "hello!"
""",
    )
    suite.run().went(passed=1, errors=1).says("message 2, type: expected END, got SHOUT")


def test_what_is_left_unplayed_is_a_failure_only_if_that_is_asked_for(suite: Inner, server: RealServer) -> None:
    suite.write(
        "test_chat.py",
        """
import os
import pytest
from talk import *

@pytest.mark.wsproxy_cassette(UPSTREAM, strict="STRICT" in os.environ)
def test_words(wsproxy_cassette):
    wsproxy_cassette.url
""",
    )
    suite.run().went(passed=1)
    suite.environment(STRICT="1")
    suite.run().went(passed=1, errors=1).says("not played: WebSocket /", "strict.")
