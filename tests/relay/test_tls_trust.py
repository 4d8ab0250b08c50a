"""Whom the relay trusts, who trusts it, and what is said when that fails: one line for the operator, a 502 for the client, both recorded."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from wsproxy.recording.events import Open
from wsproxy.wire.events import Opaque, Response

from .certificates import Authority
from .raw import DEADLINE, MASK, Peer, RawServer, frame, request, upgrade
from .relay_process import RelayProcess, assert_passed, assert_whole
from .test_start_and_stop import refusal
from .tls_peers import TlsServer, tls_client

Start = Callable[..., RelayProcess]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(upstream: RawServer, *options: str) -> RelayProcess:
            stack.callback(upstream.close)
            return stack.enter_context(RelayProcess(upstream, tmp_path / "out", *options))

        yield start


class Refused(TlsServer):
    """A TLS server whose handshakes fail; each is tried on a thread, since nobody accepts."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context)
        import threading

        self._thread = threading.Thread(target=self._try, daemon=True)
        self._thread.start()

    def _try(self) -> None:
        try:
            while True:
                try:
                    self.accept()
                except (ssl.SSLError, ConnectionError):
                    pass
        except OSError:
            pass  # closed: the test is over


def answer_to(relay: RelayProcess, data: bytes) -> tuple[int, dict[str, str]]:
    """What a client gets from the relay itself: status and body."""
    client = relay.dial(relay.port)
    client.send(data)
    client.read_to_fin()
    client.close()
    head, body = bytes(client.received).split(b"\r\n\r\n", 1)
    return int(head.split()[1]), json.loads(body)


CASES = {
    "expired": (("localhost",), 3, True, "its certificate has expired"),
    "other name": (("other.example",), None, True, "its certificate is not for localhost"),
    "unknown authority": (("localhost",), None, False, "unknown authority: give that with --ca-file"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_certificate_that_proves_nothing_is_one_line_and_an_honest_502(
    start: Start, authority: Authority, case: str
) -> None:
    names, ended, trusted, words = CASES[case]
    upstream = Refused(authority.server_context(*names, ended_days_ago=ended))
    relay = start(upstream, *(("--ca-file", str(authority.file)) if trusted else ()))
    for _ in range(2):
        status, body = answer_to(relay, upgrade("/stream/s"))
        assert status == 502
        assert body["error"] == "upstream is not trusted"
        assert words in body["reason"] and "--ca-file" in body["hint"]
    assert words in str(relay.health()[1]["upstream_error"])
    relay.stop()
    (line,) = relay.stderr
    assert f"upstream wss://localhost:{upstream.port} is not trusted: " in line and words in line
    rec = relay.only_recording()
    assert_whole(rec)
    assert [event.by for event in rec.events() if isinstance(event, Response)] == ["relay"] * 2
    assert all(words in str(event.error) for event in rec.events() if isinstance(event, Open))


def test_insecure_trusts_anybody_and_says_so_once(start: Start, authority: Authority) -> None:
    relay = start(TlsServer(authority.server_context("other.example", ended_days_ago=3)), "--insecure")
    for n in range(2):
        client, server = relay.open_websocket(f"/stream/{n}")
        client.close()
        server.read_to_fin()
    relay.stop()
    (line,) = relay.stderr
    assert "--insecure" in line


def test_upstream_hears_its_own_name_and_http_1_1(start: Start, authority: Authority) -> None:
    heard: list[str | None] = []
    context = authority.server_context("localhost")
    context.sni_callback = lambda _, name, __: heard.append(name)  # type: ignore[assignment]
    context.set_alpn_protocols(["h2", "http/1.1"])
    relay = start(TlsServer(context), "--ca-file", str(authority.file))
    client, server = relay.connect()
    assert heard == ["localhost"]
    assert server.sock.session.selected_alpn_protocol() == "http/1.1"  # type: ignore[attr-defined]
    client.close()


def test_client_certificate_is_shown_to_an_upstream_that_asks(start: Start, authority: Authority) -> None:
    context = authority.server_context("localhost")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    mine = authority.issue("relay.example")
    relay = start(TlsServer(context), "--ca-file", str(authority.file), "--client-cert", str(mine))
    client, server = relay.open_websocket("/stream/s")
    shown = server.sock.session.getpeercert()  # type: ignore[attr-defined]
    assert ("DNS", "relay.example") in shown["subjectAltName"]
    client.close()
    server.read_to_fin()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_upstream_that_asks_for_a_client_certificate_in_vain_is_answered_for(
    start: Start, authority: Authority, version: ssl.TLSVersion
) -> None:
    """In TLS 1.3 the refusal comes after the handshake, instead of the first answer."""
    context = authority.server_context("localhost")
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    relay = start(Refused(context), "--ca-file", str(authority.file))
    status, body = answer_to(relay, upgrade("/stream/s"))
    assert status == 502
    assert "client" in body["hint"]
    if version == ssl.TLSVersion.TLSv1_3:
        assert body["reason"] == "it asks for a client certificate: give --client-cert and --client-key"
    relay.stop()
    assert len(relay.stderr) == 1, relay.stderr
    assert_whole(relay.only_recording())


def test_upstream_that_does_not_speak_tls_is_told_from_one_that_is_absent(start: Start, authority: Authority) -> None:
    class Plain(RawServer):
        scheme = "wss"

    upstream = Plain()
    relay = start(upstream, "--ca-file", str(authority.file))
    client = relay.dial(relay.port)
    client.send(upgrade("/stream/s"))
    server = upstream.accept()
    server.sock.recv(5)
    server.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    client.read_to_fin()
    assert b"502" in client.received and b"it does not speak TLS" in client.received
    assert "fails the TLS handshake: it does not speak TLS" in relay.said("handshake")


# --- clients ---------------------------------------------------------------------------------------------------------


def start_tls(start: Start, authority: Authority, upstream: RawServer, *options: str) -> RelayProcess:
    relay = start(upstream, "--tls-cert", str(authority.issue("localhost")), *options)
    relay.dial = partial(tls_client, context=authority.client_context())
    return relay


def test_plain_client_on_a_tls_port_is_told_so_and_recorded(start: Start, authority: Authority) -> None:
    relay = start(RawServer(), "--tls-cert", str(authority.issue("localhost")))
    for _ in range(2):
        status, body = answer_to(relay, request("GET", "/stream/s"))
        assert status == 400
        assert body["hint"] == "this port speaks TLS: use https:// or wss://"
    relay.stop()
    (line,) = relay.stderr
    assert "no TLS with the client: it does not speak TLS: this is plain HTTP" in line
    rec = relay.only_recording()
    assert_whole(rec)
    assert b"".join(rec.wire("c2s", conn=1)) == request("GET", "/stream/s")


def test_garbage_on_a_tls_port_is_recorded_as_opaque(start: Start, authority: Authority) -> None:
    relay = start(RawServer(), "--tls-cert", str(authority.issue("localhost")))
    client = relay.dial(relay.port)
    client.send(b"\x00\x01\x02garbage that is neither")
    client.read_to_fin()
    client.close()
    relay.stop()
    (rec,) = relay.recordings()
    assert_whole(rec)
    assert b"".join(event.raw for event in rec.events() if isinstance(event, Opaque)) == client.sent


def test_tls_client_on_a_plain_port_passes_as_opaque(start: Start) -> None:
    relay = start(RawServer())
    client, server = relay.connect()
    hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"
    client.send(hello)
    server.read(len(hello))
    server.send(b"\x15\x03\x01\x00\x02\x02\x28")
    server.close()
    client.read_to_fin()
    client.close()
    relay.stop()
    assert_passed(relay.only_recording(), client, server)
    assert relay.stderr == []


def test_client_that_does_not_trust_us_is_told_to_the_operator(
    start: Start, authority: Authority, tmp_path: Path
) -> None:
    relay = start_tls(start, authority, RawServer())
    stranger = Authority(tmp_path / "stranger", "stranger")
    for _ in range(2):
        with pytest.raises(ssl.SSLCertVerificationError):
            tls_client(relay.port, stranger.client_context())
    assert "it does not trust our certificate" in relay.said("no TLS with the client")
    relay.stop()
    assert len(relay.stderr) == 1
    for rec in relay.recordings():
        assert_whole(rec)


def test_client_that_looks_whether_anybody_is_there_is_no_news(start: Start, authority: Authority) -> None:
    relay = start_tls(start, authority, RawServer())
    for _ in range(3):
        socket.create_connection(("127.0.0.1", relay.port), DEADLINE).close()
    client, server = relay.open_websocket("/stream/s")
    client.send(frame(b"hello", mask=MASK))
    server.read(11)
    client.close()
    server.read_to_fin()
    relay.stop()
    assert relay.stderr == []


def test_client_that_stops_inside_the_handshake_holds_nothing_up(start: Start, authority: Authority) -> None:
    relay = start_tls(start, authority, RawServer(), "--grace", "0")
    silent = Peer(socket.create_connection(("127.0.0.1", relay.port), DEADLINE))
    silent.send(b"\x16\x03\x01")
    client, _ = relay.open_websocket("/stream/s")
    client.close()
    relay.stop()
    silent.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_request_on_the_heels_of_the_handshake_is_not_left_lying(
    start: Start, authority: Authority, version: ssl.TLSVersion
) -> None:
    """It is decrypted already when the splice begins: the kernel will not tell of it."""
    relay = start_tls(start, authority, RawServer())
    context = authority.client_context()
    context.maximum_version = version
    asked = upgrade("/stream/s")
    client = tls_client(relay.port, context, early=asked)
    server = relay.upstream.accept()
    server.read(len(asked))
    client.close()


def test_trouble_with_files_is_one_line_that_names_the_option(authority: Authority, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("not PEM")
    cert, other = str(authority.issue("localhost")), str(authority.issue("localhost"))
    cases = [
        (["--tls-cert", "absent.pem"], ["--tls-cert", "absent.pem", "no such file"]),
        (["--tls-cert", str(junk)], ["--tls-cert", "PEM"]),
        (["--tls-cert", cert, "--tls-key", other], ["--tls-key", "is not the key of"]),
        (["--tls-key", cert], ["--tls-key", "--tls-cert"]),
        (["--ca-file", str(junk)], ["--ca-file", "no certificate"]),
        (["--client-key", cert], ["--client-key", "--client-cert"]),
        (["--host-header", "a b"], ["--host-header"]),
        (["--listen", "https://127.0.0.1:0"], ["--tls-cert"]),
    ]
    for options, words in cases:
        line = refusal("--upstream", "wss://localhost:9", "--out", str(tmp_path / "out"), "--check", *options)
        assert all(word in line for word in words), line
    line = refusal("--upstream", "ws://localhost:9", "--insecure")
    assert "--insecure is for wss:// and https:// upstreams" in line
