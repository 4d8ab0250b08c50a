"""Stream ids come from the network: whatever they hold, they name no file outside the folder and none twice."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from .raw import MASK, frame, request, response
from .relay_process import RelayProcess, assert_passed, assert_whole
from .test_markers import post
from .test_routing import JSON, exchange, goodbye


def test_hostile_ids_in_a_path_stay_in_the_folder_and_apart(relay: RelayProcess) -> None:
    targets = {
        "..%2f..%2fetc%2fx": "../../etc/x",
        "x" * 10_000: "x" * 10_000,
        "x" * 9_999: "x" * 9_999,
        "nul%00byte": "nul\0byte",
        "new%0aline": "new\nline",
        "Case": "Case",
        "case": "case",
        "CASE": "CASE",
        "%2e": ".",
        "..": "..",
        "a%20b": "a b",
        "a_b": "a_b",
        "%1b[2Jred": "\x1b[2Jred",
        "-rf": "-rf",
        "%E2%98%83": "\u2603",
        "CON": "CON",
        "%25s%25n": "%s%n",
    }
    lines = {}
    for target, stream_id in targets.items():
        client, server = lines[stream_id] = relay.open_websocket(f"/stream/{target}")
        client.send(frame(b"hello", mask=MASK))
        server.read(11)
        goodbye(client, server)
    relay.stop()
    names = relay.files()
    assert len({name.lower() for name in names}) == len(names) == len(targets)
    assert all(name.isascii() and name.isprintable() and len(name) < 150 for name in names)
    assert sorted(path.name for path in relay.out.parent.iterdir()) == ["out"]
    for stream_id, line in lines.items():
        assert_passed(relay.recording(stream_id), *line)


def test_empty_id_is_none(relay: RelayProcess) -> None:
    for target in ("/stream/", "/stream//", "/stream/?id"):
        client, server = relay.connect()
        exchange(client, server, request("GET", target, "X-LiteLLM-Call-Id: "))
        goodbye(client, server)
    relay.stop()
    assert_whole(relay.recording_of_rest())
    assert len(relay.files()) == 1


@pytest.mark.parametrize("target", ["%ff%fe", "ok%ed%a0%80"])
def test_id_that_is_no_utf_8_is_recorded_like_any_other(relay: RelayProcess, target: str) -> None:
    client, server = relay.open_websocket(f"/stream/{target}")
    client.send(frame(b"hello", mask=MASK))
    server.read(11)
    goodbye(client, server)
    relay.stop()
    assert relay.stderr == []
    rec = relay.only_recording()
    assert [one.payload for one in rec.frames()] == [b"hello"]
    assert_passed(rec, client, server)


@pytest.mark.parametrize("stream_id", ["\ud800", "lone \udc00 surrogate", "../../up", "\0", "x" * 100_000])
def test_hostile_id_in_a_body_is_recorded_like_any_other(relay: RelayProcess, stream_id: str) -> None:
    client, server = relay.connect()
    body = json.dumps({"data": {"litellm_call_id": stream_id}}).encode()
    exchange(client, server, request("POST", "/hook", JSON, body=body))
    goodbye(client, server)
    relay.stop()
    assert relay.stderr == []
    rec = relay.only_recording()
    assert_passed(rec, client, server)


def test_hostile_head_fields_are_recorded_like_any_other(relay: RelayProcess) -> None:
    client, server = relay.connect()
    asked = b"GET /\xff\xfe HTTP/1.1\r\nX-LiteLLM-Call-Id: \xff\xfe\r\nbroken line\r\n folded\r\n\r\n"
    exchange(client, server, asked, answer=response("200 \u00ff".encode("latin-1").decode("latin-1")))
    goodbye(client, server)
    relay.stop()
    assert relay.stderr == []
    assert_passed(relay.only_recording(), client, server)


@pytest.mark.parametrize("way", ["path", "header", "body", "marker"])
def test_hostile_ids_stay_in_the_folder_and_apart_whichever_way_they_come(relay: RelayProcess, way: str) -> None:
    ids = [
        "../../etc/x",
        "/etc/x",
        "..",
        "x" * 1_000,
        "x" * 999,
        "nul\0byte",
        "new\nline",
        "Case",
        "case",
        "CASE",
        "a/b",
        "a_b",
        "\u2603",
    ]
    if way == "header":  # whose values hold neither
        ids = [one for one in ids if one.isascii() and one.isprintable()]
    for stream_id in ids:
        if way == "marker":
            assert post(relay, {"stream_id": stream_id, "stage": "my.stage"})[0] == 202
            continue
        target = f"/stream/{quote(stream_id, safe='')}" if way == "path" else "/hook"
        fields = [JSON] if way == "body" else [f"X-LiteLLM-Call-Id: {stream_id}"] if way == "header" else []
        body = json.dumps({"litellm_call_id": stream_id}).encode() if way == "body" else b""
        client, server = relay.connect()
        exchange(client, server, request("POST", target, *fields, body=body))
        goodbye(client, server)
    relay.stop()
    assert sorted(rec.header.stream_id or "" for rec in relay.recordings()) == sorted(ids)
    assert len({name.lower() for name in relay.files()}) == len(ids)
    assert sorted(path.name for path in relay.out.parent.iterdir()) == ["out"]
    assert relay.stderr == []
