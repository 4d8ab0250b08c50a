"""Conversations over one WebSocket, as recordings in memory: who said what when, and what a test changes in that."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wsproxy.recording.events import Event, Open
from wsproxy.wire.events import C2S, S2C, Dir, End, Frame, Request, Response

from ..stories import HEADER, Told

STREAM = "136f0c3b-2ded-46ee-bc6c-d3c925298c38"


@dataclass(frozen=True)
class Said:
    """A message: JSON, text or bytes, at so many milliseconds."""

    ms: float
    dir: Dir
    what: Any

    @property
    def payload(self) -> bytes:
        if isinstance(self.what, bytes):
            return self.what
        return self.what.encode() if isinstance(self.what, str) else json.dumps(self.what).encode()

    @property
    def opcode(self) -> int:
        return 2 if isinstance(self.what, bytes) else 1


def chunk(text: str, *, id: str = "chatcmpl-1a2b3c4d5e", created: int = 1_795_403_332, **more: Any) -> dict[str, Any]:
    """A CHUNK of the pipeline that says this."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    data = {"id": id, "created": created, "model": "demo", "object": "chat.completion.chunk", "choices": [choice]}
    return {"type": "CHUNK", "data": data | more}


def talk(count: int = 8, **identity: Any) -> list[Said]:
    """START, `count` chunks up, each answered 2 ms later with the same in capitals, END."""
    said = [Said(1, C2S, {"type": "START", "data": {"litellm_call_id": STREAM, "model": "demo"}})]
    for number in range(count):
        said.append(Said(10 + 10 * number, C2S, chunk(f"word-{number} ", **identity)))
        said.append(Said(12 + 10 * number, S2C, chunk(f"WORD-{number} ", **identity)))
    said.append(Said(20 + 10 * count, C2S, {"type": "END"}))
    return said


def told(
    said: Sequence[Said], *, code: int = 1000, closer: Dir = C2S, stream: str = STREAM, conn: int = 1, how: str = "fin",
    headers: Iterable[tuple[str, str]] = (), extra: Iterable[Event] = (),
) -> Told:  # fmt: skip
    """The recording of a conversation that ends with a close handshake, 5 ms after the last word."""
    head = f"GET /stream/{stream} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    events: list[Event] = [
        Open(conn, 0, "127.0.0.1:9", "ws://h:2"),
        Request(conn, C2S, 100_000, 1, "GET", f"/stream/{stream}", head.encode()),
        Response(conn, S2C, 500_000, 1, 101, "Switching Protocols", answer),
    ]
    events += [_frame(conn, one.ms, one.dir, one.opcode, one.payload) for one in said]
    last = max((one.ms for one in said), default=1) + 5
    other: Dir = S2C if closer == C2S else C2S
    events += [
        _frame(conn, last, closer, 8, code.to_bytes(2, "big")),
        _frame(conn, last + 1, other, 8, code.to_bytes(2, "big")),
    ]
    events += [End(conn, S2C, round((last + 2) * 1e6), how), End(conn, C2S, round((last + 3) * 1e6), how)]
    return Told(sorted([*events, *extra], key=lambda event: event.t), HEADER._replace(stream_id=stream))  # type: ignore[union-attr]


def _frame(conn: int, ms: float, dir: Dir, opcode: int, payload: bytes) -> Frame:
    form = 7 if len(payload) < 126 else 16 if len(payload) < 65536 else 64
    return Frame(
        conn, dir, round(ms * 1e6), 0x80 | opcode, b"\1\2\3\4" if dir == C2S else None, len(payload), form, payload
    )


def without(said: Sequence[Said], place: int) -> list[Said]:
    return [one for at, one in enumerate(said) if at != place]


def instead(said: Sequence[Said], place: int, *what: Any) -> list[Said]:
    """Another message, or several, in the place of one."""
    one = said[place]
    put = [replace(one, what=value, ms=one.ms + 0.1 * at) for at, value in enumerate(what)]
    return [*said[:place], *put, *said[place + 1 :]]


def delayed(said: Sequence[Said], place: int, ms: float) -> list[Said]:
    """This message and all after it come later."""
    return [one if at < place else replace(one, ms=one.ms + ms) for at, one in enumerate(said)]
