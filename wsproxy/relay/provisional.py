"""Events that are recorded before it is known where they belong, and bytes that nobody can judge."""

from __future__ import annotations

from ..recording.reader import Recording
from ..wire import http1
from ..wire.events import WITHHELD, Body, Opaque, Piece, Redacted, Request, Response, WireEvent


def events_of(path: str, exchange: int, base: int) -> list[WireEvent]:
    """What a provisional recording holds of one HTTP exchange, its times on the relay's clock.

    Args:
        base: what times in the file count from, in nanoseconds.

    Raises:
        RecordingError: it cannot be read.
    """
    found: list[WireEvent] = []
    note: list[WireEvent] = []  # what is redacted stands before what it is said of
    for event in Recording(path).events():
        if isinstance(event, Redacted):
            note = [event._replace(t=event.t + base)]
            continue
        if isinstance(event, Request | Response | Body | Piece) and event.exchange == exchange:
            found += [*note, event._replace(t=event.t + base)]
        note = []
    return found


def withheld(opaque: Opaque) -> list[WireEvent]:
    """Opaque bytes of which nothing may be kept."""
    conn, dir, t, raw, reason = opaque
    return [Redacted(conn, dir, t, WITHHELD, len(raw)), Opaque(conn, dir, t, b"", reason)]


def has_body(head: http1.Head) -> bool:
    """Whether a request announces a body that can be told from what follows."""
    try:
        return http1.request_body(head) is not None
    except http1.NotHttp:
        return False
