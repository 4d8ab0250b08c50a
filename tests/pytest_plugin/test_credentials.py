"""Cassettes are committed: no credentials in them."""

from __future__ import annotations

import pytest

from .inner import Inner
from .real_server import RealServer

pytest_plugins = ["pytester"]

SECRET = "sk-verysecretverysecret"


def test_the_fields_of_heads_are_masked_and_the_cassette_still_plays(inner: Inner, server: RealServer) -> None:
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
        assert b"Authorization: Bearer sk-v...masked\r\n" in data


@pytest.mark.parametrize(
    "call",
    [
        f'ask(wsproxy_cassette(UPSTREAM + "/?api_key={SECRET}"), "hello")',
        f'ask(wsproxy_cassette(UPSTREAM), "{SECRET}")',
        f'hook(wsproxy_cassette(UPSTREAM.replace("ws:", "http:")), "a?token={SECRET}", "{SECRET}")',
    ],
    ids=["path", "message", "body"],
)
def test_a_credential_elsewhere_is_masked_and_the_cassette_still_plays(
    inner: Inner, server: RealServer, call: str
) -> None:
    inner.write("test_keys.py", f"from talk import *\n\ndef test_key(wsproxy_cassette):\n    assert {call}\n")
    inner.run().went(passed=1)
    server.stop()
    inner.run().went(passed=1)
    [name] = inner.cassettes()
    assert b"verysecret" not in (inner.folder / name).read_bytes()
    assert b"masked" in (inner.folder / name).read_bytes()


def test_a_credential_can_be_kept_on_request(inner: Inner) -> None:
    test = (
        f'def test_key(wsproxy_cassette):\n    assert ask(wsproxy_cassette(UPSTREAM + "/?api_key={SECRET}"), "hello")\n'
    )
    marked = f"import pytest\nfrom talk import *\n\npytestmark = pytest.mark.wsproxy_cassette(redact=False)\n\n{test}"
    inner.write("test_keys.py", marked)
    inner.run().went(passed=1)
    [name] = inner.cassettes()
    assert SECRET.encode() in (inner.folder / name).read_bytes()
