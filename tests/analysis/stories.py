"""Streams as they could have been: the real LiteLLM's messages, sent at realistic times, with the markers that hooks on both sides would make.

A story is a list of what happened; its telling leaves out what the reader is not to see (all frames, all markers, one stage).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from wsproxy.recording.events import DirTotals, Event, Gap, Header, Late, Marker, Open, Totals, Trailer
from wsproxy.recording.format import pack_event, pack_header
from wsproxy.recording.reader import Recording
from wsproxy.wire.events import C2S, S2C, Dir, End, Frame, Request, Response

SAMPLES = Path(__file__).parents[2] / "recordings" / "samples"
HEADER = Header("story", 1_700_000_000_000_000_000, 5_000, "boot", "wsproxy", "127.0.0.1:1", "ws://h:2")

UP = ("callback.backend_chunk", "ws.sent", "wire", "endpoint.chunk_in", "policy.chunk_in")
DOWN = (
    "policy.chunk_out", "endpoint.chunk_out", "wire", "ws.received",
    "client.control_in", "client.normalized", "client.to_client", "callback.yielded",
)  # fmt: skip
_UP_MS = dict(zip(UP, (-0.3, -0.1, 0.0, 0.3, 0.4), strict=True))
_DOWN_MS = dict(zip(DOWN, (0.0, 0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9), strict=True))


@cache
def real(name: str, dir: Dir) -> list[dict[str, Any]]:
    """The chunks of one direction of a real recording."""
    messages = [m.json for m in Recording(SAMPLES / f"{name}.msgpack").messages() if m.opcode == 1 and m.dir == dir]
    return [m["data"] for m in messages if m["type"] == "CHUNK"]


def tool_call() -> list[dict[str, Any]]:
    """A tool call in five fragments, its finish, and the usage chunk of LiteLLM 1.106."""
    return real("blocked-lost", C2S)


def words(count: int) -> list[dict[str, Any]]:
    """The start of a long text, its finish and its usage."""
    chunks = real("long-compressed", C2S)
    return [*chunks[: count - 2], *chunks[-2:]]


def block() -> dict[str, Any]:
    return real("blocked-delivered", S2C)[0]


class Story:
    """What happened, in milliseconds. `conn` is the WebSocket's."""

    def __init__(self, conn: int = 2) -> None:
        self.conn = conn
        self.told: list[tuple[float, Event]] = []
        self._numbers: dict[str, int] = {}
        self._closed: set[Dir] = set()

    # --- the wire ---

    def add(self, ms: float, event: Event) -> None:
        self.told.append((ms, event._replace(t=round(ms * 1e6))))  # type: ignore[union-attr]

    def opens(self, ms: float = 0.0, *, status: int = 101, error: str | None = None, answered: bool = True) -> Story:
        """The handshake; START is another matter."""
        self.add(ms, Open(self.conn, 0, "127.0.0.1:9", "ws://h:2", error))
        head = b"GET /stream/story HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        self.add(ms + 0.1, Request(self.conn, C2S, 0, 1, "GET", "/stream/story", head))
        if answered:
            raw = f"HTTP/1.1 {status} X\r\n{'Upgrade: websocket' if status == 101 else 'Content-Length: 0'}\r\n\r\n".encode()
            by = "relay" if error else None
            self.add(ms + 0.5, Response(self.conn, S2C, 0, 1, status, "X", raw, by))
        return self

    def frame(self, ms: float, dir: Dir, payload: bytes, opcode: int = 1) -> None:
        form = 7 if len(payload) < 126 else 16 if len(payload) < 65536 else 64
        mask = b"\1\2\3\4" if dir == C2S else None
        self.add(ms, Frame(self.conn, dir, 0, 0x80 | opcode, mask, len(payload), form, payload))

    def says(self, ms: float, dir: Dir, message: Any) -> Story:
        self.frame(ms, dir, json.dumps(message).encode())
        return self

    def close(self, ms: float, dir: Dir, code: int = 1000, reason: str = "") -> Story:
        self.frame(ms, dir, code.to_bytes(2, "big") + reason.encode(), 8)
        return self

    def ends(self, ms: float, dir: Dir, how: str = "fin", undelivered: int = 0) -> Story:
        self.add(ms, End(self.conn, dir, 0, how, undelivered))
        return self

    def gap(self, ms: float, until: float) -> Story:
        self.told.append((ms, Gap(round(ms * 1e6), round(until * 1e6), 4, 900, "no space left on device")))
        return self

    def falls_behind(self, ms: float) -> Story:
        self.add(ms, Late(0))
        return self

    # --- the hooks ---

    def mark(self, ms: float, stage: str, data: Any = None, index: int | None = None, error_ns: int = 0) -> Story:
        self.add(ms, Marker(0, stage, index, data, "test", error_ns))
        return self

    def starts(self, ms: float = 1.0) -> Story:
        """START, and what the hooks say of it."""
        self.mark(ms - 2, "callback.invoked", {"function": "async_post_call_streaming_iterator_hook"})
        start = {"type": "START", "data": {"model": "demo", "litellm_call_id": "story", "messages": []}}
        self.says(ms, C2S, start)
        self.mark(ms - 0.1, "ws.sent", {"type": "START", "model": "demo"})
        self.mark(ms + 0.3, "endpoint.start", {"model": "demo"}).mark(ms + 0.4, "endpoint.policy", {"policy": "Judge"})
        return self.mark(ms + 0.5, "policy.start", {"policy": "Judge"})

    def up(self, ms: float, chunk: Any, *, until: str = "policy.chunk_in", without: Iterable[str] = ()) -> Story:
        """A backend chunk passes the stages up to `until`."""
        return self._passes(UP, _UP_MS, C2S, ms, chunk, UP[0], until, without)

    def down(
        self, ms: float, chunk: Any, *, since: str = DOWN[0], until: str = DOWN[-1], without: Iterable[str] = ()
    ) -> Story:
        """An output passes the stages from `since` to `until`."""
        return self._passes(DOWN, _DOWN_MS, S2C, ms, chunk, since, until, without)

    def _passes(
        self, stages: tuple[str, ...], offsets: dict[str, float], dir: Dir, ms: float, chunk: Any,
        since: str, until: str, without: Iterable[str],
    ) -> Story:  # fmt: skip
        for stage in stages[stages.index(since) : stages.index(until) + 1]:
            if stage in without:
                continue
            if stage == "wire":
                self.says(ms + offsets[stage], dir, {"type": "CHUNK", "data": chunk})
                continue
            index = self._numbers.get(stage, 0)
            self._numbers[stage] = index + 1
            message = stage in ("ws.sent", "ws.received", "client.control_in")
            self.mark(ms + offsets[stage], stage, {"type": "CHUNK", "data": chunk} if message else chunk, index)
        return self

    def client_closes(self, ms: float, *, end: bool = True, reply: float | None = 0.4) -> Story:
        """END and close 1000 by the client, the callback's return, and the control plane's close in reply."""
        if end:
            self.says(ms - 0.05, C2S, {"type": "END"})
            self.mark(ms - 0.1, "ws.sent", {"type": "END"})
        self.close(ms, C2S)
        if reply is not None:
            self.close(ms + reply, S2C).ends(ms + reply + 0.3, S2C).ends(ms + reply + 0.5, C2S)
        return self.returns(ms + 1)

    def server_closes(self, ms: float, *, end: bool = True, code: int = 1000) -> Story:
        """END and a close by the control plane, and the client's close in reply."""
        if end:
            self.says(ms, S2C, {"type": "END"}).mark(ms - 0.1, "endpoint.end")
        self.close(ms + 0.05, S2C, code).close(ms + 0.4, C2S, code).ends(ms + 0.6, S2C).ends(ms + 0.8, C2S)
        return self.returns(ms + 1)

    def returns(self, ms: float, **data: Any) -> Story:
        """The callback's generator is over."""
        counts = {"backend_chunks": self._numbers.get(UP[0], 0), "yielded": self._numbers.get("callback.yielded", 0)}
        return self.mark(ms, "callback.completed", counts | data)

    def policy_ends(self, ms: float, **data: Any) -> Story:
        return self.mark(ms, "policy.end", {"policy": "Judge", "total_chunks": self._numbers.get(DOWN[0], 0)} | data)

    # --- telling ---

    def events(self, keep: Callable[[Event], bool] = lambda event: True, *, trailer: bool = True) -> list[Event]:
        """The events as a relay records them: frames in order of time, markers in batches behind what they belong to."""
        chosen = sorted(((ms, event) for ms, event in self.told if keep(event)), key=lambda pair: pair[0])
        late = [(ms + 40 if isinstance(event, Marker) else ms, event) for ms, event in chosen]
        events = [event for _, event in sorted(late, key=lambda pair: pair[0])]
        if trailer:
            none = DirTotals(0, 0, "0")
            t = max((event.t for event in events), default=0)  # type: ignore[union-attr]
            if any(isinstance(event, Frame) for event in events):
                events.append(Totals(self.conn, t, none, none))
            events.append(Trailer(t, len(events), 0, 0, 1, none, none))
        return events


def is_marker(event: Event) -> bool:
    return isinstance(event, Marker)


def no_marker(event: Event) -> bool:
    return not isinstance(event, Marker)


def anything(event: Event) -> bool:
    return True


def without(*families: str) -> Callable[[Event], bool]:
    """All but the markers of these families."""
    return lambda event: not (isinstance(event, Marker) and event.stage.split(".")[0] in families)


class Told:
    """A recording of these events, in memory, through the format."""

    def __init__(self, events: Iterable[Event], header: Header = HEADER, path: Path | None = None) -> None:
        self.header = header
        self._events = list(events)
        self.ending = None

    def events(self) -> Iterator[Event]:
        return iter(self._events)


def on_disk(path: Path, events: Iterable[Event], header: Header = HEADER) -> Recording:
    """The same as a file."""
    path.write_bytes(pack_header(header) + b"".join(pack_event(event, 0) for event in events))
    return Recording(path)
