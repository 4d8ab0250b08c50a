"""`wsproxy record --check`: what would be done, said in lines; nothing is bound, nothing is written."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.relay.certificates import Authority

from .command import assert_trouble, wsproxy


def test_it_says_where_each_listener_leads_and_does_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = wsproxy(
            *("record", "--check", "--upstream", "ws://control-plane:8081", "--listen", address),
            *("--listen", "127.0.0.1:9092=wss://api.example.com", "--route", "/v1=https://b.example:8443"),
            cwd=tmp_path,
        )
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == f"listen http://{address}"
    assert lines[1].startswith("  /v1 → https://b.example:8443  verified by the system's authorities")
    assert "Host b.example:8443; stream id from path /stream/" in lines[2]
    assert lines[3] == "  /   → ws://control-plane:8081"
    assert "Host as the client says" in lines[4]
    assert lines[5] == "listen http://127.0.0.1:9092"
    assert lines[6].startswith("  / → wss://api.example.com:443  verified")
    assert "Host api.example.com;" in lines[7]
    assert lines[8].startswith("record into recordings, durability every, bodies kept up to ")
    assert lines[9] == "control http://127.0.0.1:9091, without a token"
    assert list(tmp_path.iterdir()) == []


def test_a_file_says_it_all(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    cert = authority.issue("localhost")
    (tmp_path / "pyproject.toml").write_text(
        f"""
        [tool.wsproxy.record]
        upstream = "ws://a:1"
        tls-cert = "{cert}"
        ca-file = "{authority.file}"
        token = "secret"
        listen = ["127.0.0.1:1", "http://127.0.0.1:2=ws://c:3"]
        [[tool.wsproxy.record.route]]
        prefix = "/v1/realtime"
        upstream = "wss://b"
        host-header = "other.example"
        stream-header = "x-session"
        stream-body = ["session.id"]
        """
    )
    done = wsproxy("record", "--check", cwd=tmp_path)
    assert (done.status, done.err) == (0, "")
    for words in (
        f"listen https://127.0.0.1:1  certificate {cert}",
        f"/v1/realtime → wss://b:443  verified by the system's authorities and {authority.file}",
        "Host other.example; stream id from path /stream/(?P<id>[^/?#]+), header x-session, body session.id",
        "→ ws://a:1",
        "listen http://127.0.0.1:2\n  / → ws://c:3",
        "with a token",
    ):
        assert words in done.out, done.out
    assert "secret" not in done.out.replace("certificate", "")
    assert "→ ws://z:9" in wsproxy("record", "--check", "--upstream", "ws://z:9", cwd=tmp_path).out


WRONG = {
    "no upstream": ("", ["leads nowhere", "--upstream"]),
    "no URL": ('upstream = "ftp://x"', ["ftp://x", "ws://"]),
    "two of a prefix": ('upstream = "ws://a"\nroute = ["/b=ws://b", "/b=ws://c"]', ["/b", "two"]),
    "a route /": ('upstream = "ws://a"\nroute = "/=ws://b"', ["--upstream is the route /"]),
    "a prefix that is no path": ('upstream = "ws://a"\nroute = "b=ws://b"', ["starts with /"]),
    "a route without URL": ('upstream = "ws://a"\nroute = "/b"', ["/PREFIX=URL"]),
    "an unknown key": (
        'upstream = "ws://a"\n[[record.route]]\nprefix = "/b"\nupstrem = "ws://b"',
        ["upstrem", "route"],
    ),
    "a missing key": ('upstream = "ws://a"\n[[record.route]]\nprefix = "/b"', ["upstream is missing"]),
    "a number": ('upstream = "ws://a"\n[[record.route]]\nprefix = 1\nupstream = "ws://b"', ["prefix must be a text"]),
    "a bad pattern": (
        'upstream = "ws://a"\n[[record.route]]\nprefix = "/b"\nupstream = "ws://b"\nstream-path = "("',
        ["stream-path", "regular expression"],
    ),
    "a rule without upstream": (
        'upstream = "ws://a"\n[[record.listen]]\naddress = "1"\nstream-path = "x"',
        ["rules of the routes"],
    ),
    "a bad address": ('upstream = "ws://a"\nlisten = "ftp://127.0.0.1:1"', ["ftp://127.0.0.1:1"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line_and_status_2(tmp_path: Path, case: str) -> None:
    text, words = WRONG[case]
    (tmp_path / "wsproxy.toml").write_text("[record]\n" + text)
    assert_trouble(wsproxy("record", "--check", cwd=tmp_path), *words)
