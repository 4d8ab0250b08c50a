"""The recorder of a connection, in one process: whatever the splits and the order, each recording is exact."""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

import wsproxy
from wsproxy.analysis.exactness import check
from wsproxy.relay.recorder import ConnectionRecorder
from wsproxy.relay.rules import StreamRule
from wsproxy.relay.streams import Streams

Side = Literal["c2s", "s2c"]
UPGRADE = b"GET /stream/abc HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
HOOK = b'{"data": {"litellm_call_id": "abc"}}'
POST = b"POST /api/hooks/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(HOOK),
    HOOK,
)
OTHER = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FRAMES = (
    b"\x81\x85\x01\x02\x03\x04igopn" + b"\x89\x80\x00\x00\x00\x00" + b"\x82\xfe\x01\x00\x05\x06\x07\x08" + b"z" * 256
)
DOWN = b"\x81\x05hello\x7e\x7e\x00\x80" + b"q" * 128 + b"\x88\x02\x03\xe8"

CONVERSATIONS: list[list[tuple[Side, bytes]]] = [
    [("c2s", UPGRADE), ("s2c", SWITCH + DOWN), ("c2s", FRAMES)],
    [("c2s", UPGRADE + FRAMES), ("s2c", SWITCH), ("s2c", DOWN)],
    [
        ("c2s", POST),
        ("s2c", OK),
        ("c2s", OTHER),
        ("s2c", OK),
        ("c2s", UPGRADE),
        ("s2c", SWITCH),
        ("c2s", FRAMES),
        ("s2c", DOWN),
    ],
    [("c2s", POST + POST + OTHER), ("s2c", OK + OK + OK)],
    [("c2s", UPGRADE), ("s2c", b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"), ("c2s", POST), ("s2c", OK)],
    [("s2c", b"220 a server that speaks first\r\n"), ("c2s", b"\x16\x03\x01garbage")],
    [("c2s", UPGRADE.replace(b"/stream/abc", b"/chat")), ("s2c", SWITCH), ("c2s", FRAMES), ("s2c", DOWN)],
    [("c2s", POST.replace(b"abc", b"\xff\xff")), ("s2c", OK)],
]


def _split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places) if b > a]


def _on_disk(folder: str) -> dict[Side, int]:
    """Wire bytes of each direction that the recordings hold (or left out on request), all together."""
    held: dict[Side, int] = {"c2s": 0, "s2c": 0}
    for path in Path(folder).iterdir():
        for stretch in check(wsproxy.open(path).events()).stretches:
            held[stretch.dir] += stretch.bytes + stretch.omitted
    return held


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(CONVERSATIONS),
    st.lists(st.integers(0, 2000), max_size=12),
    st.booleans(),
    st.integers(0, 40),
    st.sampled_from(["fin", "reset"]),
)
def test_every_recording_is_exact_and_every_byte_is_in_one_of_them(
    conversation: list[tuple[Side, bytes]], cuts: list[int], watched: bool, left_out: int, how: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        streams = Streams(folder, upstream="", relay="test", keep_body=10)
        faults: list[Exception] = []
        recorder = ConnectionRecorder(
            streams,
            StreamRule(),
            1,
            "client",
            "upstream",
            time.monotonic_ns(),
            watch=(lambda _: None) if watched else None,
            on_fault=faults.append,
        )
        sent: dict[Side, int] = {"c2s": 0, "s2c": 0}
        for number, (side, data) in enumerate(conversation):
            if number == len(conversation) - 1:
                data = data[: max(1, len(data) - left_out)]
            for part in _split(data, cuts):
                recorder.take(side, part, time.monotonic_ns())
                sent[side] += len(part)
                assert _on_disk(folder) == sent, "the relay would forward now: were it killed, bytes would be missing"
        recorder.end("c2s", how, time.monotonic_ns())
        recorder.end("s2c", "fin", time.monotonic_ns())
        recorder.close(time.monotonic_ns())
        streams.finish(time.monotonic_ns())
        assert faults == []
        assert _on_disk(folder) == sent
        for path in Path(folder).iterdir():
            recording = wsproxy.open(path)
            result = check(recording.events())
            assert result.problems == [], (path.name, result.problems)
            assert recording.ending is not None and recording.ending.state == "finished"
