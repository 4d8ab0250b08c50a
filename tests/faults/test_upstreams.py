"""Upstreams that restart, flap, never answer, or never say a thing: what each side saw stands in the recording, and `diagnose` names it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
from websockets.exceptions import ConnectionClosed

import wsproxy
from tests.relay.raw import ACCEPTED, MASK, RawServer, close_frame, frame, upgrade
from tests.relay.relay_process import RelayProcess, assert_passed, assert_whole
from wsproxy.analysis.diagnose import Diagnosis
from wsproxy.wire.events import End

from .talk import CHUNKS, ROOT, START, ControlPlane, Talk, refused, whole


@pytest.fixture
def control_plane() -> Iterator[ControlPlane]:
    plane = ControlPlane()
    yield plane
    plane.close()


@pytest.fixture
def relay(control_plane: ControlPlane, tmp_path: Path) -> Iterator[RelayProcess]:
    with RelayProcess(cast(RawServer, control_plane), tmp_path / "out") as relay:
        yield relay


def told(relay: RelayProcess, stream: str) -> Diagnosis:
    """The diagnosis of a stream whose recording is whole."""
    recording = relay.recording(stream)
    assert_whole(recording)
    return wsproxy.diagnose(recording)


def diagnosed(relay: RelayProcess, *options: str) -> tuple[int, str]:
    """(status, output) of the command, of all that the relay has recorded."""
    command = [sys.executable, "-m", "wsproxy", "diagnose", *map(str, sorted(relay.out.glob("*.msgpack"))), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_upstream_that_restarts_in_the_middle_of_streams_is_told_with_the_time(
    control_plane: ControlPlane, relay: RelayProcess, how: signal.Signals
) -> None:
    talks = [Talk(relay.port, f"cut-{n}") for n in range(3)]
    for talk in talks:
        talk.ask(CHUNKS[0])
    control_plane.end(how)
    for talk in talks:
        with pytest.raises(ConnectionClosed) as closed:
            talk.socket.recv(20)
        assert (closed.value.rcvd is None) == (how == signal.SIGKILL)
        talk.socket.close()
    refused(relay.port, "while-away")
    control_plane.start()
    whole(relay.port, "after")
    relay.stop()
    for n in range(3):
        diagnosis = told(relay, f"cut-{n}")
        assert diagnosis.main is not None
        if how == signal.SIGKILL:
            assert diagnosis.main.code == "abnormal-close"
            assert re.search(r"the control plane hung up at \d+\.\d{4} s without a close frame", diagnosis.answer)
        else:
            assert diagnosis.main.code == "closed-by-server"
            assert re.search(r"the control plane closed with 1001 .*at \d+\.\d{4} s", diagnosis.answer)
    away = told(relay, "while-away")
    assert away.main is not None and away.main.code == "connection-refused"
    assert told(relay, "after").verdict == "fine"
    status, text = diagnosed(relay)
    assert status == 1
    assert re.search(
        rf"away  ws://127\.0\.0\.1:{control_plane.port} was away at .* UTC: 3 streams broke, 1 connection refused "
        r"\(connection refused\), then it took one, .* after the first",
        text,
    )


def test_an_upstream_that_flaps_is_seen_across_recordings(control_plane: ControlPlane, relay: RelayProcess) -> None:
    for round_ in range(3):
        whole(relay.port, f"good-{round_}")
        control_plane.end(signal.SIGTERM)
        for n in range(round_ + 1):
            refused(relay.port, f"bad-{round_}-{n}")
        control_plane.start()
    whole(relay.port, "good-3")
    relay.stop()
    status, text = diagnosed(relay)
    assert status == 1
    assert "     6  connection-refused: the relay could not reach the control plane" in text
    away = [line for line in text.splitlines() if line.startswith("  away  ")]
    assert [re.search(r"(\d) connections? refused", line)[1] for line in away] == ["1", "2", "3"]  # type: ignore[index]
    assert all("then it took one" in line for line in away)
    _, lines = diagnosed(relay, "--json")
    outages = [found for found in map(json.loads, lines.splitlines()) if found["kind"] == "outage"]
    assert [(found["refused"], found["broken"]) for found in outages] == [(1, 0), (2, 0), (3, 0)]
    assert all(one["back"] <= other["begin"] for one, other in pairwise(outages))


def test_a_client_that_tries_again_with_the_same_stream_is_told_in_its_one_recording(
    control_plane: ControlPlane, relay: RelayProcess
) -> None:
    control_plane.end(signal.SIGKILL)
    for _ in range(3):
        refused(relay.port, "again")
    control_plane.start()
    whole(relay.port, "again")
    relay.stop()
    diagnosis = told(relay, "again")
    assert [[one.code for one in attempt.findings] for attempt in diagnosis.attempts[:3]] == [
        ["connection-refused"]
    ] * 3
    assert diagnosis.attempts[3].findings == () or diagnosis.attempts[3].findings[0].severity == "note"
    assert re.search(
        r"was away at .*: 3 connections refused within .* \(connection refused\), then it took one",
        " ".join(str(diagnosis).split()),
    )


# --- an upstream that is there, and says nothing -----------------------------------------------------------------------


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[tuple[RelayProcess, RawServer]]:
    with ExitStack() as stack:
        server = RawServer()
        stack.callback(server.close)
        yield stack.enter_context(RelayProcess(server, tmp_path / "out")), server


@pytest.mark.parametrize("end", ["hung up", "reset the connection"])
def test_a_handshake_that_is_never_answered_is_told_with_who_gave_up_when(
    mute: tuple[RelayProcess, RawServer], end: str
) -> None:
    relay, _ = mute
    client, server = relay.connect()
    client.send(upgrade("/stream/unheard"))
    server.read_head()
    if end == "hung up":
        client.close()
        server.read_to_fin()
    else:
        client.reset()
        server.read_to_reset()
    server.close()
    relay.stop()
    assert_passed(relay.recording("unheard"), client, server)
    diagnosis = told(relay, "unheard")
    assert diagnosis.main is not None and diagnosis.main.code == "handshake-unanswered"
    assert re.fullmatch(
        r"LOST: the stream was never opened: the control plane took the connection, and the handshake \(0\.\d{4} s\) was never "
        rf"answered: the client {end} at \d+\.\d{{4}} s, .* later\.",
        diagnosis.answer,
    )


def test_an_upstream_that_accepts_and_never_says_a_thing_is_told(mute: tuple[RelayProcess, RawServer]) -> None:
    relay, _ = mute
    client, server = relay.open_websocket("/stream/mute")
    for message in (START, *({"type": "CHUNK", "data": chunk} for chunk in CHUNKS)):
        client.send(frame(json.dumps(message).encode(), mask=MASK))
    client.send(close_frame(1000, mask=MASK))
    client.finish()
    server.read_to_fin()
    client.sock.settimeout(2.2)  # the silence is what is to be recorded
    with pytest.raises(TimeoutError):
        client.sock.recv(1)
    server.close()
    client.sock.settimeout(20)
    client.read_to_fin()
    client.close()
    relay.stop()
    assert_passed(relay.recording("mute"), client, server)
    hows = {(e.dir, e.how) for e in relay.recording("mute").events() if isinstance(e, End)}
    assert hows == {("c2s", "fin"), ("s2c", "fin")}
    assert server.sent == ACCEPTED
    diagnosis = told(relay, "mute")
    assert diagnosis.main is not None and diagnosis.main.code == "server-silent", str(diagnosis)
