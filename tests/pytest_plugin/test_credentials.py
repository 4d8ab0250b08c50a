"""Cassettes are committed: no credentials in them."""

from __future__ import annotations

import pytest

from wsproxy.pytest_plugin.redaction import filled_head

from .inner import Inner
from .real_server import RealServer

pytest_plugins = ["pytester"]

SECRET = "sk-verysecretverysecret"


def test_the_fields_of_heads_are_filled_and_the_cassette_still_plays(inner: Inner, server: RealServer) -> None:
    inner.write(
        "test_keys.py",
        f"""
from talk import *

def test_both(wsproxy_cassette):
    from websockets.sync.client import connect

    headers = {{"Authorization": "Bearer {SECRET}", "X-Api-Key": "{SECRET}"}}
    assert hook(wsproxy_cassette(UPSTREAM.replace("ws:", "http:")), "a", "one", **headers) == "heard one"
    with connect(wsproxy_cassette(UPSTREAM), additional_headers=headers):
        pass
""",
    )
    inner.run().went(passed=1)
    server.stop()
    inner.run().went(passed=1)
    for name in inner.cassettes():
        data = (inner.folder / name).read_bytes()
        assert SECRET.encode() not in data and b"verysecret" not in data
        assert b"Authorization: Bearer xxxxxxxxxxxxxxxxxxxxxxx\r\n" in data


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (f'ask(wsproxy_cassette(UPSTREAM + "/?api_key={SECRET}"), "hello")', "the path of GET /?api_key="),
        (f'ask(wsproxy_cassette(UPSTREAM), "{SECRET}")', "a message of the client (event "),
        (f'hook(wsproxy_cassette(UPSTREAM.replace("ws:", "http:")), "a", "{SECRET}")', "the body of POST /hook/a"),
    ],
)
def test_a_credential_elsewhere_keeps_the_cassette_from_being_written(inner: Inner, call: str, where: str) -> None:
    test = f"from talk import *\n\ndef test_key(wsproxy_cassette):\n    assert {call}\n"
    inner.write("test_keys.py", test)
    inner.run().went(passed=1, errors=1).says(
        f"was not written: what looks like a credential stands in {where}", "redact=False"
    )
    assert inner.cassettes() == []
    inner.write("test_keys.py", f"import pytest\n\npytestmark = pytest.mark.wsproxy_cassette(redact=False)\n{test}")
    inner.run().went(passed=1)
    assert inner.cassettes() == ["cassettes/test_keys/test_key.msgpack"]


def test_a_filled_head_has_the_same_length_and_nothing_else_changed() -> None:
    head = (
        b"GET / HTTP/1.1\r\nHost: a\r\nauthorization:Basic dXNlcjpwYXNzd29yZA==\r\nCookie: session=abcdefghijkl;\r\n"
        b" more=secretsecret\r\nAccept: */*\r\n\r\n"
    )
    filled = filled_head(head)
    assert len(filled) == len(head)
    assert filled == (
        b"GET / HTTP/1.1\r\nHost: a\r\nauthorization:Basic xxxxxxxxxxxxxxxxxxxx\r\nCookie: xxxxxxxxxxxxxxxxxxxxx\r\n"
        b" xxxxxxxxxxxxxxxxx\r\nAccept: */*\r\n\r\n"
    )
