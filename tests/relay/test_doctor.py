"""`wsproxy doctor` beside a real relay: well, and with one thing wrong at a time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ..cli.command import wsproxy
from .raw import DEADLINE, RawServer
from .relay_process import RelayProcess

StartRelay = Callable[..., RelayProcess]
CHECKS = ["relay", "upstream", "litellm", "liveliness", "hooks", "marker", "clock", "disk", "folder"]


def doctor(relay: RelayProcess, *options: str, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Its exit status, and the findings by check. Our own environment names no relay."""
    clean = {"CONTROL_PLANE_URL": "", "WSPROXY_MARKERS": "", "WSPROXY_TOKEN": ""}
    control = f"127.0.0.1:{relay.control_port}"
    done = wsproxy("doctor", "--json", "--control", control, *options, **(clean | environment))
    assert done.err == ""
    return done.status, {one["check"]: one for one in done.objects}


def wrong(found: dict[str, dict[str, Any]]) -> list[str]:
    return [check for check, one in found.items() if one["state"] == "wrong"]


@contextmanager
def answering(status: str) -> Iterator[str]:
    """A server that answers one request with this status."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(10_000)
                sock.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(DEADLINE)


def test_a_well_relay_is_well_and_nothing_is_left_behind(relay: RelayProcess) -> None:
    with answering("200 OK") as litellm:
        status, found = doctor(
            relay,
            "--litellm",
            litellm,
            CONTROL_PLANE_URL=f"http://localhost:{relay.port}",
            WSPROXY_MARKERS=f"http://127.0.0.1:{relay.control_port}",
        )
    roomy = found.pop("disk")
    assert roomy["state"] == "fine" or "free" in roomy["words"]  # a matter of the machine
    assert (status, wrong(found)) == (int(roomy["state"] == "wrong"), [])
    assert [*found, "disk"] == [check for check in CHECKS if check != "disk"] + ["disk"]
    assert {one["state"] for one in found.values()} == {"fine"}
    assert relay.files() == []
    assert relay.metric("markers_total") == 1
    relay.stop()
    assert relay.files() == []
    assert relay.stderr == []


def test_what_is_not_set_or_asked_is_no_finding(relay: RelayProcess) -> None:
    _, found = doctor(relay)
    assert list(found) == CHECKS
    assert [check for check, one in found.items() if one["state"] == "unknown"] == ["litellm", "liveliness", "hooks"]
    assert f"export CONTROL_PLANE_URL=http://127.0.0.1:{relay.port}" in found["litellm"]["advice"]
    assert f"export WSPROXY_MARKERS=http://127.0.0.1:{relay.control_port}" in found["hooks"]["advice"]


def test_an_absent_upstream_is_found_before_any_client_does(relay: RelayProcess, upstream: RawServer) -> None:
    upstream.close()
    status, found = doctor(relay)
    assert status == 1
    assert "connection refused" in found["upstream"]["words"]
    assert "start it" in found["upstream"]["advice"]
    assert found["marker"]["state"] == "fine"


def test_a_url_that_leads_past_the_relay_is_found(relay: RelayProcess, upstream: RawServer) -> None:
    status, found = doctor(
        relay, CONTROL_PLANE_URL=f"http://127.0.0.1:{upstream.port}", WSPROXY_MARKERS="http://127.0.0.1:9"
    )
    assert status == 1
    assert {"litellm", "hooks"} <= set(wrong(found))
    assert "past the relay" in found["litellm"]["words"]
    assert found["hooks"]["advice"].endswith(f"WSPROXY_MARKERS=http://127.0.0.1:{relay.control_port}")


def test_a_litellm_that_is_not_there_or_not_well_is_found(relay: RelayProcess) -> None:
    with answering("503 Service Unavailable") as litellm:
        assert "503" in doctor(relay, "--litellm", litellm)[1]["liveliness"]["words"]
    assert "connection refused" in doctor(relay, "--litellm", "127.0.0.1:9")[1]["liveliness"]["words"]


def test_a_folder_that_others_can_read_is_found(relay: RelayProcess) -> None:
    relay.out.chmod(0o755)
    _, found = doctor(relay)
    assert found["folder"]["state"] == "wrong"
    assert found["folder"]["advice"] == f"chmod 700 {relay.out}"


def test_a_folder_that_is_gone_is_found(relay: RelayProcess) -> None:
    relay.out.rmdir()
    _, found = doctor(relay)
    assert "no such file" in found["folder"]["words"]
    assert relay.health()[0] == 200


def test_a_relay_with_a_token_is_examined_with_it(start_relay: StartRelay) -> None:
    relay = start_relay("--token", "a-long-secret")
    status, found = doctor(relay)
    assert status == 2
    assert "token" in found["relay"]["words"]
    assert doctor(relay, WSPROXY_TOKEN="a-long-secret")[1]["marker"]["state"] == "fine"


def test_where_no_relay_answers_the_exit_status_is_2(relay: RelayProcess) -> None:
    relay.stop()
    status, found = doctor(relay)
    assert status == 2
    assert list(found) == ["relay", "litellm", "liveliness"]
    assert "wsproxy record" in found["relay"]["advice"]


def test_another_server_on_the_control_port_is_no_relay(upstream: RawServer) -> None:
    with answering("200 OK") as other:
        done = wsproxy("doctor", "--control", other)
    assert done.status == 2
    assert "is no wsproxy" in done.out


def test_a_terminal_gets_a_line_per_check(relay: RelayProcess) -> None:
    done = wsproxy("doctor", "--control", f"127.0.0.1:{relay.control_port}", CONTROL_PLANE_URL="", WSPROXY_MARKERS="")
    lines = done.out.splitlines()
    assert [line.split()[1] for line in lines if line[0] in "✓✗–"] == CHECKS
    assert all(line.startswith("             → ") for line in lines if line[0] not in "✓✗–")


@pytest.mark.parametrize("library", ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"])
def test_a_stepped_wall_clock_is_found(upstream: RawServer, tmp_path: Path, library: str) -> None:
    if not os.path.exists(library):
        pytest.skip("libfaketime is not installed")
    offset = tmp_path / "offset"
    offset.write_text("+0")
    ready, ready_end = os.pipe()
    command = [sys.executable, "-m", "wsproxy", "record", "--quiet", "--upstream", f"ws://127.0.0.1:{upstream.port}"]
    command += ["--out", str(tmp_path / "out"), "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]
    environment = {
        **os.environ,
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    process = subprocess.Popen([*command, "--ready-fd", str(ready_end)], pass_fds=[ready_end], env=environment)
    os.close(ready_end)
    try:
        with os.fdopen(ready) as pipe:
            port = json.loads(pipe.readline())["control_port"]
        offset.write_text("+3600")
        (clock,) = (
            one
            for one in wsproxy("doctor", "--json", "--control", str(f"127.0.0.1:{port}")).objects
            if one["check"] == "clock"
        )
        assert clock["state"] == "wrong"
        assert "stepped by +3600.0 s" in clock["words"]
    finally:
        process.terminate()
        assert process.wait(DEADLINE) == 0


def delete(relay: RelayProcess, stream_id: str) -> int:
    request = urllib.request.Request(f"http://127.0.0.1:{relay.control_port}/v1/streams/{stream_id}", method="DELETE")
    try:
        return int(urllib.request.urlopen(request, timeout=DEADLINE).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_nothing_but_the_recording_of_a_check_can_be_removed_through_the_control_port(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/s")
    real, behind = relay.open_websocket("/stream/doctor-who")
    assert delete(relay, "s") == 403
    assert delete(relay, "doctor-who") == 404
    assert delete(relay, "doctor-nobody") == 404
    assert delete(relay, "..%2F..%2Fetc%2Fpasswd") == 403
    for peer in (client, server, real, behind):
        peer.close()
    relay.stop()
    assert {rec.header.stream_id for rec in relay.recordings()} == {"s", "doctor-who"}
