"""A cell of the matrix: a client, a server and a relay process between them; and the proof that all three tell the same.

Strategy: each end reports what it got as (type, size, SHA-256) of each message. That must be what the other sent, and the messages in the
recording must be just that, in both directions, with every ping answered, the close frames as they were sent, and the recording exact.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wsproxy
from tests.relay.raw import DEADLINE
from tests.relay.relay_process import RelayProcess, assert_whole
from wsproxy.recording.messages import Message
from wsproxy.wire.events import Dir, Response

from .processes import Browser, Client, Report, Server
from .programs.conversation import PING, entry
from .scripts import messages

Close = tuple[int | None, str]


@dataclass(frozen=True)
class Route:
    """A server and the relay before it."""

    name: str
    server: Server
    relay: RelayProcess

    def recording(self, stream_id: str) -> wsproxy.Recording:
        """The recording of a stream, when the relay has finished it."""
        (path,) = self.relay.out.glob(f"*Z-{stream_id}.msgpack")
        return finished(path)

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.relay.port}"


def finished(path: Path) -> wsproxy.Recording:
    """The recording in this file, when the relay has finished it."""
    recording = wsproxy.open(path)
    deadline = time.monotonic() + DEADLINE
    while recording.is_open():
        assert time.monotonic() < deadline, f"{path.name} is still being written"
    return recording


@dataclass(frozen=True)
class Cell:
    """One conversation, and all that is known of it.

    Attributes:
        stream_id: names the recording, so it is unlike any other.
        query: of the target: what the server is set to.
    """

    client: Client | Browser
    route: Route
    stream_id: str
    script: str = "short"
    close: Close = (1000, "")
    closes: str = "client"
    query: str = ""
    place: str = "stream"

    @property
    def target(self) -> str:
        return self._at(self.place)

    def _at(self, place: str) -> str:
        return f"/{place}/{self.stream_id}{self.query and '?'}{self.query}"

    def ask(self, **wishes: Any) -> Report:
        """Have the conversation. `wishes`: deflate, subprotocols, headers, cookie."""
        job = {
            "url": f"ws://127.0.0.1:{self.route.relay.port}{self.target}",
            "script": self.script,
            "deflate": "default",
            "subprotocols": [],
            "headers": {},
            "close": self.close,
            "closes": self.closes,
        }
        report = self.client.ask(job | wishes)
        relay = self.route.relay
        assert "error" not in report, (report, relay.process.poll(), relay.stderr[-30:])
        return report

    def hold(self, **wishes: Any) -> tuple[Report, wsproxy.Recording]:
        """Have the conversation and prove it."""
        report = self.ask(**wishes)
        assert "refused" not in report, report
        return report, self.prove(report)

    def prove(self, report: Report) -> wsproxy.Recording:
        """Both ends got what the other sent, and the recording holds it."""
        said = messages(self.script)
        assert report["server"]["got"] == [entry(data) for data in said], "the server got"
        assert report["got"] == [entry(data) for data in said], "the client got"
        recording = self.route.recording(self.stream_id)
        assert_whole(recording)
        heard = list(recording.messages())
        assert [message.error for message in heard if message.error] == []
        orders = ["@ping", "@report"]
        if self.closes == "server":
            orders.append(f"@close {self.close[0]} {self.close[1]}")
        assert _data(heard, "c2s") == [*said, *orders]
        *echoes, facts = _data(heard, "s2c")
        assert echoes == said
        assert isinstance(facts, str) and json.loads(facts) == report["server"]
        assert_pings_answered(heard)
        self._assert_closed(report, heard)
        assert_compressed_as_agreed(recording, heard)
        return recording

    def _assert_closed(self, report: Report, heard: list[Message]) -> None:
        code, reason = self.close
        wanted = (1005 if code is None else code, reason)
        dirs: tuple[Dir, Dir] = ("c2s", "s2c") if self.closes == "client" else ("s2c", "c2s")
        first, second = ([m for m in heard if m.opcode == 8 and m.dir == dir] for dir in dirs)
        assert [(m.close_code, m.close_reason) for m in first] == [wanted]
        answer = [(m.close_code, m.close_reason) for m in second]
        assert len(answer) == 1
        if self.closes == "client":
            assert_same_close(self.route.server.close_frame(self._at("stream")), wanted)
            assert_same_close(report["close"], answer[0])
        else:
            assert_same_close(report["close"], wanted)
            assert_same_close(self.route.server.close_frame(self._at("stream")), answer[0])


def assert_same_close(told: Any, sent: tuple[int | None, str]) -> None:
    """What a peer tells of a close frame, as far as its library tells it."""
    code, reason = told
    assert code is None or code == sent[0]
    assert reason is None or reason == sent[1]


def assert_pings_answered(heard: list[Message]) -> None:
    """Each ping has its pong from the other side, and no pong comes by itself."""
    dirs: tuple[Dir, Dir] = ("c2s", "s2c")
    for dir in dirs:
        pings = [m.data for m in heard if m.opcode == 9 and m.dir == dir]
        pongs = [m.data for m in heard if m.opcode == 10 and m.dir != dir]
        assert pings == pongs


def assert_compressed_as_agreed(recording: wsproxy.Recording, heard: list[Message]) -> None:
    """Messages are compressed only where permessage-deflate was agreed on, and then some are."""
    agreed = b"permessage-deflate" in handshake(recording).lower()
    assert any(m.compressed for m in heard) == agreed


def handshake(recording: wsproxy.Recording) -> bytes:
    """The head of the answer that opened the WebSocket."""
    return next(event.raw for event in recording.events() if isinstance(event, Response) and event.status == 101)


def _data(heard: list[Message], dir: Dir) -> list[str | bytes]:
    return [m.text if m.opcode == 1 else m.data for m in heard if m.dir == dir and m.opcode in (1, 2)]


__all__ = ["PING", "Cell", "Route", "finished", "handshake"]
