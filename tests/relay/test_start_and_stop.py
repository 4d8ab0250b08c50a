"""How a relay starts, refuses to start, and ends; and what a client gets while the upstream is not there."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from wsproxy.wire.events import End, Response

from .raw import DEADLINE, MASK, Peer, RawServer, frame, upgrade
from .relay_process import PROGRAM, RelayProcess, assert_passed, assert_recorded, assert_whole

StartRelay = Callable[..., RelayProcess]


def ask(relay: RelayProcess, data: bytes) -> Peer:
    """A client that sends something and reads the answer to its end, with no server behind."""
    client = Peer(socket.create_connection(("127.0.0.1", relay.port), DEADLINE))
    client.send(data)
    client.read_to_fin()
    client.close()
    return client


def test_absent_upstream_is_answered_with_502_and_recorded(relay: RelayProcess, upstream: RawServer) -> None:
    upstream.close()
    clients = [ask(relay, upgrade("/stream/early")) for _ in range(5)]
    for client in clients:
        head, body = bytes(client.received).split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 502 ")
        answer = json.loads(body)
        assert answer["upstream"] == f"ws://127.0.0.1:{upstream.port}"
        assert answer["reason"] == "connection refused"
    assert relay.health()[1]["upstream_error"] == "connection refused"
    back = RawServer(upstream.port)
    relay.upstream = back
    client, server = relay.open_websocket("/stream/early")
    client.close()
    server.read_to_fin()
    back.close()
    said = relay.said("is back")
    relay.stop()
    assert len(relay.stderr) == 2
    assert "connection refused" in relay.stderr[0]
    assert relay.stderr[1] == said
    rec = relay.only_recording()
    assert_whole(rec)
    answers = [event for event in rec.events() if isinstance(event, Response)]
    assert [(answer.status, answer.by) for answer in answers] == [(502, "relay")] * 5 + [(101, None)]
    assert b"".join(rec.wire("c2s", conn=1)) == clients[0].sent
    assert b"".join(rec.wire("s2c", conn=1)) == clients[0].received


def test_absent_upstream_answers_what_is_no_request_too(relay: RelayProcess, upstream: RawServer) -> None:
    upstream.close()
    assert ask(relay, b"\x16\x03\x01 a TLS hello").received.startswith(b"HTTP/1.1 502 ")
    relay.stop()
    assert_whole(relay.only_recording())


def test_sigterm_waits_for_open_connections(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/s")
    relay.signal(signal.SIGTERM)
    relay.wait_until_deaf()
    client.send(frame(b"still working", mask=MASK))
    server.read(len(client.sent) - len(server.received))
    client.close()
    server.read_to_fin()
    server.close()
    assert relay.wait() == 0
    (rec,) = (rec for rec in relay.recordings() if rec.header.stream_id == "s")
    assert_passed(rec, client, server)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("hurried", [True, False])
def test_signal_closes_what_outlasts_the_grace_and_finishes_its_recording(
    start_relay: StartRelay, number: int, hurried: bool
) -> None:
    """With a second signal the grace of an hour is over at once."""
    relay = start_relay("--grace", "3600" if hurried else "0.1")
    client, server = relay.open_websocket("/stream/s")
    server.send(frame(b"hello"))
    client.read(7)
    relay.signal(number)
    if hurried:
        relay.wait_until_deaf()
        relay.signal(number)
    server.read_to_fin()
    client.read_to_fin()
    assert relay.wait() == 0
    assert relay.stderr == []
    rec = relay.recording("s")
    assert_recorded(rec, client, server)
    assert {event.how for event in rec.events() if isinstance(event, End)} == {"stopped"}


@pytest.mark.parametrize("durability", ["every", "batch", "sync"])
def test_recording_is_whole_after_sigterm_whatever_the_durability(start_relay: StartRelay, durability: str) -> None:
    relay = start_relay("--durability", durability, "--grace", "0")
    lines = [relay.open_websocket(f"/stream/s{n}") for n in range(3)]
    for client, server in lines:
        for size in (0, 10, 70_000):
            client.send(frame(b"u" * size, mask=MASK))
            server.send(frame(b"d" * size))
            server.read(len(client.sent) - len(server.received))
            client.read(len(server.sent) - len(client.received))
    relay.stop()
    for n, line in enumerate(lines):
        assert_passed(relay.recording(f"s{n}"), *line)


def test_health_and_metrics_answer(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/s")
    client.send(frame(b"hello", mask=MASK))
    server.read(11)
    status, health = relay.health()
    assert (status, health["status"], health["connections"]) == (200, "ok", 1)
    client.close()
    server.read_to_fin()
    server.close()
    again, _ = relay.open_websocket("/stream/t")
    assert relay.metric("connections_total") == 2
    assert relay.metric("connections_open") == 1
    assert relay.metric('frames_total{dir="c2s"}') == 1
    assert relay.metric('bytes_total{dir="c2s"}') == len(client.sent)
    assert relay.metric("recordings_open") == 1
    assert relay.metric("recorder_faults_total") == 0
    assert relay.control("/nothing")[0] == 404
    again.close()


def refusal(*options: str) -> str:
    """The one line on standard error of a relay that does not start."""
    ended = subprocess.run([*PROGRAM, *options], capture_output=True, text=True, timeout=5)
    assert ended.returncode == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("wsproxy: ")
    return line


def test_trouble_at_the_start_is_one_line_that_says_what_to_do(tmp_path: Path, upstream: RawServer) -> None:
    a_file = tmp_path / "file"
    a_file.write_text("in the way")
    good = {
        "--upstream": "ws://127.0.0.1:9",
        "--listen": "127.0.0.1:0",
        "--control": "127.0.0.1:0",
        "--out": str(tmp_path / "out"),
    }
    taken = f"127.0.0.1:{upstream.port}"
    cases = [
        ("--listen", taken, ["address already in use", "--listen"]),
        ("--control", taken, ["address already in use", "--control"]),
        ("--listen", "127.0.0.1:99999", ["99999"]),
        ("--listen", "192.0.2.1:80", ["192.0.2.1", "--listen"]),
        ("--listen", "no-such-host.invalid:1", ["no-such-host.invalid"]),
        ("--out", str(a_file), ["exists", "--out"]),
        ("--out", str(a_file / "below"), ["not a directory", "--out"]),
        ("--out", "/proc/wsproxy", ["--out"]),
        ("--upstream", "ftp://x:1", ["ftp://x:1", "ws://"]),
        ("--upstream", "ws://x:port", ["port"]),
        ("--upstream", "ws://x:99999", ["port"]),
        ("--upstream", "ws://[::1", ["ws://[::1"]),
        ("--upstream", "", ["ws://HOST:PORT"]),
        ("--upstream", "ws://x:1/path", ["path"]),
        ("--stream-path", "(", ["--stream-path"]),
        ("--durability", "never", ["--durability"]),
    ]
    wrong = []
    for option, value, words in cases:
        options = [part for pair in (good | {option: value}).items() for part in pair]
        try:
            line = refusal(*options)
            assert all(word in line for word in words), line
        except (AssertionError, ValueError, subprocess.TimeoutExpired) as error:
            wrong.append(f"{option} {value!r}: {str(error).splitlines()[0] or 'not one line, or not status 2'}")
    assert wrong == []
