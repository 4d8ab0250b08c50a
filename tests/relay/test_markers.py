"""`POST /v1/markers`: what is taken, what is refused, and where it stands in the recordings."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from wsproxy.recording.events import Marker
from wsproxy.relay.marker_clock import boot_id
from wsproxy.wire.events import Frame

from .raw import DEADLINE, MASK, frame
from .relay_process import RelayProcess, assert_passed, assert_whole
from .test_routing import goodbye

GOOD: dict[str, Any] = {"stream_id": "abc", "stage": "policy.chunk_in"}


def post(
    relay: RelayProcess, body: Any, *, packed: bool = False, token: str = "", path: str = "/v1/markers", clock: str = ""
) -> tuple[int, dict[str, Any]]:
    """(status, answer) of a batch."""
    raw = body if isinstance(body, bytes) else msgpack.packb(body) if packed else json.dumps(body).encode()
    headers = {"Content-Type": "application/msgpack" if packed else "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if clock:
        headers["x-wsproxy-clock"] = clock
    ask = urllib.request.Request(f"http://127.0.0.1:{relay.control_port}{path}", raw, headers)
    try:
        with urllib.request.urlopen(ask, timeout=DEADLINE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def markers(relay: RelayProcess, stream_id: str) -> list[Marker]:
    return list(relay.recording(stream_id).markers())


@pytest.mark.parametrize("packed", [False, True])
def test_one_and_several_are_taken_as_json_and_as_msgpack(relay: RelayProcess, packed: bool) -> None:
    assert post(relay, GOOD | {"index": 3, "data": {"a": [1, "ü"]}, "source": "me"}, packed=packed) == (
        202,
        {"accepted": 1},
    )
    assert post(relay, [GOOD, GOOD | {"stage": "my.own_stage"}], packed=packed) == (202, {"accepted": 2})
    relay.stop()
    got = markers(relay, "abc")
    assert [(m.stage, m.index) for m in got] == [
        ("policy.chunk_in", 3),
        ("policy.chunk_in", None),
        ("my.own_stage", None),
    ]
    assert (got[0].data, got[0].source) == ({"a": [1, "ü"]}, "me")
    assert_whole(relay.recording("abc"))


BAD: list[tuple[Any, str]] = [
    ({}, "stream_id"),
    ({"stream_id": "abc"}, "stage"),
    (GOOD | {"stream_id": ""}, "stream_id"),
    (GOOD | {"stream_id": 7}, "stream_id"),
    (GOOD | {"stream_id": "x" * 2000}, "stream_id"),
    (GOOD | {"stage": "Not A Stage"}, "stage"),
    (GOOD | {"stage": "nodot"}, "stage"),
    (GOOD | {"stage": "a." + "b" * 80}, "stage"),
    (GOOD | {"index": -1}, "index"),
    (GOOD | {"index": True}, "index"),
    (GOOD | {"index": "1"}, "index"),
    (GOOD | {"source": ["x"]}, "source"),
    (GOOD | {"t_wall_ns": 5}, "t_wall_ns"),
    (GOOD | {"t_mono_ns": -5}, "t_mono_ns"),
    (GOOD | {"t_mono_ns": 1.5}, "t_mono_ns"),
    (GOOD | {"t_mono_ns": 1 << 62, "boot_id": boot_id()}, "t_mono_ns"),
    (GOOD | {"boot_id": 3}, "boot_id"),
    (GOOD | {"data": "x" * (3 << 19)}, "data"),
    ("a string", "marker"),
    (b"{", "body"),
    (b"", "body"),
    (b"[" * 100_000, "body"),
]


def test_what_is_wrong_is_named_and_nothing_of_its_batch_is_kept(relay: RelayProcess) -> None:
    for bad, field in BAD:
        status, answer = post(relay, bad)
        assert status == 400, bad
        assert answer["error"].startswith(f"{field}:"), answer
        if not isinstance(bad, bytes):
            status, answer = post(relay, [GOOD, bad])
            assert status == 400, bad
            assert answer["error"].startswith(f"markers[1].{field}:"), answer
    assert relay.metric("markers_total") == 0
    assert relay.files() == []


def test_a_batch_that_is_too_large_is_refused_and_the_relay_lives(relay: RelayProcess) -> None:
    assert post(relay, [GOOD] * 20_001)[0] == 400
    assert post(relay, b"x" * (9 << 20))[0] == 413
    assert post(relay, GOOD)[0] == 202


def test_the_relay_relays_and_records_after_all_of_that(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/stream/abc")
    for bad in [bad for bad, _ in BAD] + [b"x" * (9 << 20)]:
        assert post(relay, bad)[0] in (400, 413)
        assert post(relay, bad, packed=True)[0] in (400, 413)
    for _ in range(3):
        client.send(frame(b"hello", mask=MASK))
        server.read(len(client.sent) - len(server.received))
    assert post(relay, GOOD, packed=True)[0] == 202
    goodbye(client, server)
    relay.stop()
    recording = relay.recording("abc")
    assert_passed(recording, client, server)
    assert [m.stage for m in recording.markers()] == [GOOD["stage"]]


def test_markers_before_during_and_after_a_connection_stand_in_its_recording(relay: RelayProcess) -> None:
    def mark(stage: str) -> None:
        here = {"stage": stage, "t_mono_ns": time.monotonic_ns(), "boot_id": boot_id()}
        assert post(relay, GOOD | here)[0] == 202

    mark("test.before")
    client, server = relay.open_websocket("/stream/abc")
    mark("test.opened")
    client.send(frame(b"hello", mask=MASK))
    server.read(len(client.sent) - len(server.received))
    mark("test.framed")
    goodbye(client, server)
    deadline = time.monotonic() + DEADLINE
    while relay.metric("connections_open"):
        assert time.monotonic() < deadline
    mark("test.after")
    relay.stop()
    rec = relay.recording("abc")
    assert_whole(rec)
    timed = sorted(
        (
            (event.t, event.stage if isinstance(event, Marker) else "frame")
            for event in rec.events()
            if isinstance(event, Marker | Frame)
        ),
    )
    assert [what for _, what in timed] == ["test.before", "test.opened", "frame", "test.framed", "test.after"]
    assert all(t >= 0 for t, _ in timed)
    assert len(relay.files()) == 1


def test_markers_alone_make_a_recording_that_is_finished_without_a_stop(relay: RelayProcess) -> None:
    post(relay, GOOD)
    deadline = time.monotonic() + DEADLINE
    while True:
        rec = relay.recording("abc")
        list(rec.events())
        if rec.ending is not None and rec.ending.state == "finished":
            break
        assert time.monotonic() < deadline
    assert_whole(rec)


def test_times_of_another_kernel_keep_their_error_bound(relay: RelayProcess) -> None:
    other = {"boot_id": "another-kernel", "t_mono_ns": 12345}
    post(relay, GOOD | other | {"t_wall_ns": time.time_ns() - 50_000_000})
    now = time.monotonic_ns()
    # Our clock stands 12345 ns where the relay's stands at `now`; the round trip took 500 µs, of which the relay had none.
    trip = f"12345 {now} {now} {12345 + 500_000}"
    assert post(relay, GOOD | other, clock=f"1 {trip}")[0] == 202
    for bad in ("x y", "1 -1", "9" * 190, "1 5 2 3 4"):
        status, answer = post(relay, GOOD | other, clock=bad)
        assert status == 400
        assert answer["error"].startswith("x-wsproxy-clock:")
    relay.stop()
    by_wall, by_round_trip = markers(relay, "abc")
    assert by_wall.error_ns >= 50_000_000
    assert by_round_trip.error_ns == 250_000
    assert abs(relay.recording("abc").header.start_mono_ns + by_round_trip.t - now) <= 250_000


def test_a_token_is_asked_for_where_one_is_set(start_relay: Callable[..., RelayProcess]) -> None:
    relay = start_relay("--token", "secret-of-the-house")
    assert post(relay, GOOD)[0] == 401
    assert post(relay, GOOD, token="wrong")[0] == 401
    assert post(relay, GOOD, token="secret-of-the-house")[0] == 202
    assert relay.control("/metrics")[0] == 401
    assert relay.health()[0] == 200


def test_a_wrong_path_or_method_is_answered_in_json(relay: RelayProcess) -> None:
    assert post(relay, GOOD, path="/v2/markers")[0] == 404
    status, body = relay.control("/v1/markers")
    assert status == 405
    assert "error" in json.loads(body)
    status, body = relay.control("/v1/clock")
    assert status == 200
    assert json.loads(body)["boot_id"] == boot_id()
