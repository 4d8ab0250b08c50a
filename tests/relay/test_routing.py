"""Which file an exchange goes into: the stream's if it names one, else the run's; nothing provisional is left over."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from wsproxy.wire.events import Body, Request, Response

from .raw import ACCEPTED, MASK, Peer, chunked, frame, request, response, upgrade
from .relay_process import RelayProcess, assert_passed, assert_recorded, assert_whole, kinds

JSON = "Content-Type: application/json"


def hook_body(stream_id: str, filler: int = 0) -> bytes:
    """What LiteLLM's generic callback posts, in essence."""
    return json.dumps({"event": "success", "filler": "x" * filler, "data": {"litellm_call_id": stream_id}}).encode()


def exchange(client: Peer, server: Peer, *parts: bytes, answer: bytes = b"") -> None:
    """A request in parts, each of which arrives by itself, and its answer."""
    for part in parts:
        with client.sending(part):
            server.read(len(part))
    answer = answer or response("200 OK", body=b"ok")
    server.send(answer)
    client.read(len(answer))


def goodbye(client: Peer, server: Peer) -> None:
    client.close()
    server.read_to_fin()
    server.close()


def post_hook(relay: RelayProcess, stream_id: str) -> tuple[Peer, Peer]:
    client, server = relay.connect()
    exchange(client, server, request("POST", "/hook", JSON, body=hook_body(stream_id)))
    goodbye(client, server)
    return client, server


def test_two_streams_make_two_files(relay: RelayProcess) -> None:
    lines = {name: relay.open_websocket(f"/stream/{name}?x=1") for name in ("one", "two")}
    for name, (client, server) in lines.items():
        client.send(frame(name.encode(), mask=MASK))
        server.read(len(client.sent) - len(server.received))
    for line in lines.values():
        goodbye(*line)
    relay.stop()
    assert len(relay.files()) == 2
    for name, line in lines.items():
        assert_passed(relay.recording(name), *line)


@pytest.mark.parametrize("together", [True, False])
def test_two_connections_of_one_id_make_one_file(relay: RelayProcess, together: bool) -> None:
    first = relay.open_websocket("/stream/s")
    if not together:
        goodbye(*first)
    second = relay.open_websocket("/stream/s")
    second[0].send(frame(b"second", mask=MASK))
    second[1].read(12)
    if together:
        goodbye(*first)
    goodbye(*second)
    relay.stop()
    rec = relay.only_recording()
    assert_passed(rec, *first, conn=1)
    assert_passed(rec, *second, conn=2)


def test_file_is_private_and_named_after_time_and_stream(relay: RelayProcess) -> None:
    goodbye(*relay.open_websocket("/stream/abc"))
    relay.stop()
    assert relay.out.stat().st_mode & 0o777 == 0o700
    (path,) = relay.out.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.name.endswith("Z-abc.msgpack")


def test_hooks_before_during_and_after_its_websocket_join_it(relay: RelayProcess) -> None:
    before = post_hook(relay, "s")
    client, server = relay.open_websocket("/stream/s")
    during = post_hook(relay, "s")
    client.send(frame(b"hello", mask=MASK))
    server.read(11)
    goodbye(client, server)
    after = post_hook(relay, "s")
    relay.stop()
    rec = relay.only_recording()
    assert rec.header.stream_id == "s"
    for conn, line in enumerate((before, (client, server), during, after), 1):
        assert_passed(rec, *line, conn=conn)


def hook_requests() -> dict[str, list[bytes]]:
    body = hook_body("s", filler=3000)
    plain = request("POST", "/hook", JSON, body=body)
    head_end = len(plain) - len(body)
    in_chunks = request("POST", "/hook", JSON, "Transfer-Encoding: chunked") + chunked(body[:50], body[50:])
    return {
        "in one segment": [plain],
        "head and body apart": [plain[:head_end], plain[head_end:]],
        "head in two, body in three": [
            plain[:9],
            plain[9:head_end],
            plain[head_end : head_end + 5],
            plain[head_end + 5 : -1],
            plain[-1:],
        ],
        "chunked": [in_chunks],
        "chunked, cut inside a chunk size": [in_chunks[: head_end + 45], in_chunks[head_end + 45 :]],
        "of 2 MB": [request("POST", "/hook", JSON, body=hook_body("s", filler=2_000_000))],
    }


@pytest.mark.parametrize("how", list(hook_requests()))
def test_hook_goes_into_its_streams_file(relay: RelayProcess, how: str) -> None:
    client, server = relay.connect()
    exchange(client, server, *hook_requests()[how])
    goodbye(client, server)
    relay.stop()
    rec = relay.only_recording()
    assert rec.header.stream_id == "s"
    assert_passed(rec, client, server)


def test_hook_answered_before_its_body_came_goes_into_its_streams_file(relay: RelayProcess) -> None:
    client, server = relay.connect()
    body = hook_body("s")
    head = request("POST", "/hook", JSON, "Expect: 100-continue", body=body)[: -len(body)]
    exchange(client, server, head, answer=b"HTTP/1.1 100 Continue\r\n\r\n")
    exchange(client, server, body)
    goodbye(client, server)
    relay.stop()
    rec = relay.only_recording()
    assert rec.header.stream_id == "s"
    assert_passed(rec, client, server)


def test_hooks_of_many_streams_on_one_kept_connection_are_told_apart(relay: RelayProcess) -> None:
    client, server = relay.connect()
    for n in range(30):
        sent = request("POST", f"/hook/{n}", JSON, body=hook_body(f"s{n % 3}"))
        exchange(client, server, sent[:70], sent[70:])
        exchange(client, server, request("GET", f"/other/{n}"))
    goodbye(client, server)
    relay.stop()
    assert len(relay.files()) == 4
    for n in range(3):
        rec = relay.recording(f"s{n}")
        assert_whole(rec)
        asked = [event.target for event in rec.events() if isinstance(event, Request)]
        assert asked == [f"/hook/{k}" for k in range(n, 30, 3)]
        assert kinds(rec.events()).count("Response") == 10
    rest = relay.recording_of_rest()
    assert_whole(rest)
    assert len([event for event in rest.events() if isinstance(event, Request)]) == 30


@pytest.mark.parametrize(
    "asked",
    [
        request("GET", "/health"),
        request("POST", "/x", JSON, body=b'{"no": "id"}'),
        request("POST", "/x", JSON, body=b"[" * 100_000),
        request("POST", "/x", JSON, body=b"this is no JSON"),
        request("POST", "/x", JSON, body=b'"' + b"x" * (9 << 20) + b'"'),
        request("POST", "/x", JSON, "Content-Length: 0"),
        request("GET", "/x", JSON),
    ],
    ids=["get", "no id", "deep", "not JSON", "9 MB", "empty JSON", "GET that says JSON"],
)
def test_exchange_without_an_id_goes_into_the_runs_recording(relay: RelayProcess, asked: bytes) -> None:
    client, server = relay.connect()
    exchange(client, server, asked[:30], asked[30:])
    goodbye(client, server)
    relay.stop()
    rec = relay.recording_of_rest()
    assert [type(event).__name__ for event in rec.events() if isinstance(event, Request | Response)] == [
        "Request",
        "Response",
    ]
    assert_passed(rec, client, server)
    assert len(relay.files()) == 1


def test_hook_that_breaks_off_is_in_no_provisional_file(relay: RelayProcess) -> None:
    client, server = relay.connect()
    half = request("POST", "/hook", JSON, body=hook_body("s"))[:-10]
    client.send(half)
    server.read(len(half))
    goodbye(client, server)
    client, server = relay.connect()
    exchange(client, server, request("GET", "/"))
    client.send(b"GET /half a head")
    server.read(16)
    goodbye(client, server)
    relay.stop()
    for rec in relay.recordings():
        assert_whole(rec)
    assert [name for name in relay.files() if "Z-conn-" in name] == []


def test_stream_id_in_a_header_is_found(relay: RelayProcess) -> None:
    client, server = relay.open_websocket("/ws", "X-LiteLLM-Call-Id: from-header")
    goodbye(client, server)
    relay.stop()
    assert_passed(relay.recording("from-header"), client, server)


def test_websocket_without_an_id_has_a_file_of_its_own(relay: RelayProcess) -> None:
    client, server = relay.connect()
    exchange(client, server, request("GET", "/first"))
    exchange(client, server, upgrade("/ws"), answer=ACCEPTED)
    client.send(frame(b"mine", mask=MASK))
    server.read(10)
    goodbye(client, server)
    relay.stop()
    (own,) = (rec for rec in relay.recordings() if list(rec.frames()))
    assert_whole(own)
    assert_whole(relay.recording_of_rest())
    assert len(relay.files()) == 2


def test_options_say_where_the_stream_id_is(start_relay: Callable[..., RelayProcess]) -> None:
    relay = start_relay(
        "--stream-path",
        r"^/v1/calls/([0-9]+)",
        "--stream-header",
        "X-Call",
        "--stream-body",
        "call.id",
        "--stream-body",
        "id",
    )
    lines = {
        "17": relay.open_websocket("/v1/calls/17/ws"),
        "in-header": relay.open_websocket("/stream/no", "x-call: in-header"),
    }
    for name, body in (("in-body", {"call": {"id": "in-body"}}), ("at-top", {"id": "at-top"})):
        client, server = lines[name] = relay.connect()
        exchange(client, server, request("POST", "/hook", JSON, body=json.dumps(body).encode()))
    client, server = relay.connect()
    exchange(client, server, request("POST", "/hook", JSON, body=hook_body("not-asked-for")))
    goodbye(client, server)
    for line in lines.values():
        goodbye(*line)
    relay.stop()
    assert len(relay.files()) == 5
    for name, line in lines.items():
        assert_passed(relay.recording(name), *line)


@pytest.mark.parametrize("body_size", [100, 101, 5000])
def test_keep_body_limits_what_is_kept_and_counts_the_rest(
    start_relay: Callable[..., RelayProcess], body_size: int
) -> None:
    relay = start_relay("--keep-body", "100")
    client, server = relay.connect()
    upload = request("POST", "/upload", body=b"u" * body_size)
    exchange(client, server, upload[:-60], upload[-60:], answer=response("200 OK", body=b"d" * body_size))
    exchange(client, server, request("POST", "/again", body=b"u" * 40))
    goodbye(client, server)
    relay.stop()
    rec = relay.only_recording()
    result = assert_whole(rec)
    bodies = [event for event in rec.events() if isinstance(event, Body)]
    assert sum(len(body.raw) for body in bodies) == 2 * 100 + 40 + 2
    assert sum(body.omitted for body in bodies) == 2 * (body_size - 100)
    assert len(result.notes) == (2 if body_size > 100 else 0)
    if body_size == 100:
        assert_recorded(rec, client, server)
