"""A conversation with a tap: client and server say things, and after every word the promise is checked.

The promise of durability: whatever was fed, the events so far rebuild exactly to it. A `Conversation` raises AssertionError in the very
feed that breaks it.
"""

from __future__ import annotations

from collections.abc import Iterable

from wsproxy.wire.events import C2S, S2C, Body, Dir, Opaque, Piece, Superseding, WireEvent, rebuild
from wsproxy.wire.tap import Tap

UPGRADE = (
    b"GET /stream/s1 HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Wire:
    """What was fed into one direction, and the check that its events rebuild to it, at a cost of the new bytes only."""

    def __init__(self) -> None:
        self.fed = bytearray()
        self._settled = 0
        self._superseding = Superseding()

    def saw(self, events: Iterable[WireEvent]) -> None:
        for event in events:
            for settled in self._superseding.wire_bytes(event):
                assert self.fed[self._settled : self._settled + len(settled)] == settled, event
                self._settled += len(settled)

    def check(self) -> None:
        assert self.fed[self._settled :] == self._superseding.rest(), "the events do not rebuild to what was fed"


class Conversation:
    """A tap between a client and a server.

    `events` holds everything that it said, in order.
    """

    def __init__(self) -> None:
        self.tap = Tap(1)
        self.events: list[WireEvent] = []
        self.wires: dict[Dir, Wire] = {C2S: Wire(), S2C: Wire()}
        self._t = 0

    def says(self, dir: Dir, data: bytes, *, in_steps_of: int = 0) -> list[WireEvent]:
        """Feed data (in steps of so many bytes, else at once); returns the events of all of it."""
        step = in_steps_of or max(len(data), 1)
        new: list[WireEvent] = []
        for at in range(0, len(data), step):
            self._t += 1
            self.wires[dir].fed += data[at : at + step]
            events = self.tap.direction(dir).feed(data[at : at + step], self._t)
            self._take(events)
            new += events
        return new

    def client(self, data: bytes, *, in_steps_of: int = 0) -> list[WireEvent]:
        return self.says(C2S, data, in_steps_of=in_steps_of)

    def server(self, data: bytes, *, in_steps_of: int = 0) -> list[WireEvent]:
        return self.says(S2C, data, in_steps_of=in_steps_of)

    def ends(self, dir: Dir, how: str = "fin") -> list[WireEvent]:
        self._t += 1
        events = self.tap.direction(dir).finish(how, self._t)
        self._take(events)
        return events

    def _take(self, events: list[WireEvent]) -> None:
        self.events += events
        for dir, wire in self.wires.items():
            wire.saw(event for event in events if event.dir == dir)
            wire.check()

    def of(self, dir: Dir) -> list[WireEvent]:
        return [event for event in self.events if event.dir == dir]

    def rebuilt(self, dir: Dir) -> bytes:
        return rebuild(self.of(dir))


def kinds(events: Iterable[WireEvent]) -> list[str]:
    """The names of event types, in order, as a conversation is told."""
    return [type(event).__name__ for event in events]


def settled(events: Iterable[WireEvent]) -> list[tuple[object, ...]]:
    """Events without times, pieces, the seams of bodies and opaque runs, and the reasons of the latter (which reader was the
    first to see that these bytes are no HTTP): what must not depend on how bytes were split."""
    out: list[tuple[object, ...]] = []
    for event in events:
        if isinstance(event, Piece):
            continue
        if isinstance(event, Body | Opaque) and event.raw == b"":
            continue
        row: tuple[object, ...] = (type(event).__name__, event.dir, *event[3:])
        if out and isinstance(event, Body) and out[-1][0] == "Body" and out[-1][2] == event.exchange:
            row = (*row[:3], bytes(out.pop()[3]) + event.raw, *row[4:])  # type: ignore[call-overload]
        elif isinstance(event, Opaque):
            before = out.pop()[2] if out and out[-1][0] == "Opaque" else b""
            row = (*row[:2], bytes(before) + event.raw)  # type: ignore[call-overload]
        out.append(row)
    return out
