"""What a recording comes to, in one pass: how much, how long, how it ended.

Strategy: counts from the events, the end from what was said last on the WebSocket: a close code and whose, a reset, a refused handshake.
Of a long recording both ends suffice where its trailer has the counts, both close frames are in the last block, and everything but one WebSocket
(hooks that came before or after) is in them to the last byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..recording.ends import Ends
from ..recording.events import Event, Gap, Marker, Open, Totals, Trailer
from ..wire.events import C2S, OP_CLOSE, S2C, Body, Dir, End, Frame, Opaque, Piece, Redacted, Request, Response


@dataclass(slots=True)
class Outcome:
    """The figures of one recording. `seconds` is from its first to its last event."""

    frames: dict[Dir, int] = field(default_factory=lambda: {C2S: 0, S2C: 0})
    exchanges: int = 0
    markers: int = 0
    gaps: int = 0
    connections: int = 0
    seconds: float = 0.0
    close_code: int | None = None
    closed_by: str = ""
    reset_by: str = ""
    status: int = 0  # of the last final response
    error: str = ""
    opaque: bool = False
    upgraded: bool = False

    @property
    def words(self) -> str:
        """How it ended, for a person."""
        if self.error:
            return f"upstream: {self.error}"
        if self.close_code is not None:
            return f"{self.close_code} by {self.closed_by}"
        if self.reset_by:
            return f"reset by {self.reset_by}"
        if self.upgraded:
            return "no close frame"
        if self.status:
            return f"HTTP {self.status}"
        return "not HTTP" if self.opaque else ""


def outcome(events: Iterable[Event]) -> Outcome:
    """Read the figures of a recording."""
    result = Outcome()
    first: int | None = None
    last = 0
    for event in events:
        if isinstance(event, Frame):
            result.frames[event.dir] += 1
            if event.opcode == OP_CLOSE and result.close_code is None:
                result.close_code = int.from_bytes(event.payload[:2], "big") if len(event.payload) >= 2 else 1005
                result.closed_by = "client" if event.dir == C2S else "server"
        elif isinstance(event, Trailer | Totals | Piece):
            continue
        elif isinstance(event, Redacted):
            result.frames[event.dir] += max(event.frames - 1, 0)  # the one that it is stored in counts itself
        elif isinstance(event, Marker):
            result.markers += 1
        elif isinstance(event, Gap):
            result.gaps += 1
        elif isinstance(event, Open):
            result.connections += 1
            result.error = event.error or result.error
        elif isinstance(event, Request):
            result.exchanges += 1
        elif isinstance(event, Response):
            result.status = event.status
            result.upgraded |= event.status == 101
        elif isinstance(event, Opaque):
            result.opaque = True
        elif isinstance(event, End) and event.how == "reset":
            result.reset_by = "client" if event.dir == C2S else "server"
        t = getattr(event, "t", last)
        first = t if first is None else min(first, t)
        last = max(last, t)
    result.seconds = (last - (first or 0)) / 1e9
    return result


def outcome_of_ends(ends: Ends) -> Outcome | None:
    """The figures from both ends of a recording; None where only all of it would tell."""
    result = outcome((*ends.first, *ends.last))
    closes = {event.dir for event in ends.last if isinstance(event, Frame) and event.opcode == OP_CLOSE}
    if len(closes) < 2 or not _shows_all_http(ends):
        return None
    result.frames = {C2S: ends.trailer.c2s.frames, S2C: ends.trailer.s2c.frames}
    result.markers, result.gaps = ends.trailer.markers, ends.trailer.gaps
    return result


def _shows_all_http(ends: Ends) -> bool:
    """Whether all connections but one WebSocket are in the ends as long as their totals say; so no exchange is in between."""
    events = (*ends.first, *ends.last)
    opened = {event.conn for event in events if isinstance(event, Open)}
    upgraded = {event.conn for event in events if isinstance(event, Response) and event.status == 101}
    if len(opened) != ends.trailer.conns or len(upgraded) != 1:
        return False
    seen, told = Counter[int](), Counter[int]()
    for event in events:
        if isinstance(event, Request | Body) and event.dir == C2S:
            seen[event.conn] += len(event.raw)
        elif isinstance(event, Totals):
            told[event.conn] += event.c2s.bytes
    return all(0 < seen[conn] == told[conn] for conn in opened - upgraded)
