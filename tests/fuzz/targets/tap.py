"""The tap: any two byte streams, cut anyhow, rebuild exactly from their events, also after these were written and read again.

The input is a script: a byte says direction (bit 0) and whether 1,000 times as much follows (bit 1), the rest of it how many bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgpack

from wsproxy.recording.format import pack_event, read_event
from wsproxy.wire.events import C2S, S2C, Dir, rebuild
from wsproxy.wire.tap import Tap

TOKENS = [
    *(b"GET / HTTP/1.1\r\n", b"HTTP/1.1 101 x\r\n", b"HTTP/1.1 200 OK\r\n", b"HEAD / HTTP/1.1\r\n", b"CONNECT a:1 HTTP/1.1\r\n"),
    *(b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n\r\n", b"0\r\n\r\n"),
    *(b"Content-Length: 99999999999999999999\r\n", b"Transfer-Encoding: gzip\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 304 x\r\n\r\n"),
    *(b"\x81\x85\x01\x02\x03\x04", b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", b"\xff\xfe\x00\x05", b"\x88\x02\x03\xe8", b"ffffffffffffffff\r\n"),
]  # fmt: skip


def check(data: bytes) -> None:
    tap = Tap(1)
    sent: dict[Dir, bytes] = {C2S: b"", S2C: b""}
    events = []
    for dir, part in _script(data):
        sent[dir] += part
        events += tap.direction(dir).feed(part, len(events))
    for dir in (C2S, S2C):
        of_dir = [event for event in events if event.dir == dir]
        assert rebuild(of_dir) == sent[dir], "while it lasts"
    for dir in (C2S, S2C):
        events += tap.direction(dir).finish("fin", len(events))
        of_dir = [event for event in events if event.dir == dir]
        assert rebuild(of_dir) == sent[dir], "at its end"
    again = [read_event(msgpack.unpackb(pack_event(event, 0), unicode_errors="backslashreplace")) for event in events]
    assert again == events


def _script(data: bytes) -> Iterator[tuple[Dir, bytes]]:
    at = 0
    while at < len(data):
        head, at = data[at], at + 1
        size = (head >> 2) + 1
        part = data[at : at + size]
        at += size
        if part:
            yield S2C if head & 1 else C2S, part * 1_000 if head & 2 else part
