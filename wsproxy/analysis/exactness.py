"""Whether a recording is whole, and the proof that it is exact.

Strategy: one pass. The wire bytes of each direction of each connection are rebuilt from the events and hashed; the relay hashed the bytes
themselves as it read them. Where both agree, nothing was lost, changed or misread between the socket and the file. What cannot be proved (no totals
event because the relay was killed, bodies cut on request, a gap) is said, never assumed.

Where events are redacted nobody can prove what went by, so the digest of such a direction is of what the events rebuild to as they stand: it
proves that the recording is as it was when it was redacted. The wire bytes and frames that the redacted events stand for must add up all the
same.

Cost: the digest of the wire bytes; memory of one event and one small state per connection.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..recording.digest import new_digest
from ..recording.events import DIGEST, DirTotals, Event, Gap, Late, Marker, Open, Totals, Trailer, Unknown
from ..wire.events import (
    C2S,
    DECODED,
    MASKED,
    S2C,
    WITHHELD,
    Body,
    Dir,
    Frame,
    Redacted,
    Request,
    Superseding,
    WireEvent,
)
from ..wire.host import with_host


@dataclass(slots=True)
class Stretch:
    """One direction of one connection: what the events rebuild to, and what the relay counted (None if it never said).

    `redacted` events do not hold what went by; `bytes` counts what they stand for.
    """

    conn: int
    dir: Dir
    bytes: int
    frames: int
    digest: str
    relay: DirTotals | None
    omitted: int  # body bytes that were not kept, on request
    redacted: int = 0

    @property
    def exact(self) -> bool | None:
        """True if proved, False if disproved, None if it cannot be told."""
        if self.relay is None or self.omitted or (self.redacted and self.intact):
            return None
        return self.intact

    @property
    def intact(self) -> bool:
        """Whether the events are those that the totals were made of."""
        return (self.bytes, self.frames, self.digest, self.redacted) == self.relay


@dataclass(slots=True)
class Exactness:
    """The result for one recording; `problems` are sentences, empty when it is whole and exact as far as it was kept."""

    events: int = 0
    markers: int = 0
    gaps: list[Gap] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)  # stretches of events that were forwarded before they were written
    behind: int | None = None  # since when events may have been, where the recording ends before it says
    unknown: int = 0
    finished: bool = False
    redacted: dict[str, int] = field(default_factory=dict)  # how → events
    digest: str = DIGEST  # the function
    stretches: list[Stretch] = field(default_factory=list)
    rewritten: int = 0  # request heads that went to the upstream with another Host, on request
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


_LATE_SAID = 3
_HOW = {MASKED: "masked", DECODED: "stored decoded", WITHHELD: "withheld"}


class _Rebuilt:
    __slots__ = ("_note", "bytes", "digest", "frames", "omitted", "redacted", "wire")

    def __init__(self, digest: str) -> None:
        self.wire = Superseding()
        self.digest = new_digest(digest)
        self.bytes = self.frames = self.omitted = self.redacted = 0
        self._note: Redacted | None = None

    def feed(self, event: WireEvent) -> None:
        if isinstance(event, Redacted):
            self._note = event
            self.redacted += 1
            return
        note, self._note = self._note, None
        if isinstance(event, Body) and note is None:
            self.omitted += event.omitted
        self.frames += isinstance(event, Frame) if note is None else note.frames
        self.bytes += 0 if note is None else note.wire
        for part in self.wire.wire_bytes(event):
            self.add(part, counted=note is None)

    def add(self, part: bytes, *, counted: bool) -> None:
        self.digest.update(part)
        self.bytes += len(part) if counted else 0


def check(events: Iterable[Event], digest: str = DIGEST) -> Exactness:
    """Rebuild, hash and compare.

    Args:
        events: of a recording.
        digest: what its header says of its digests.
    """
    result = Exactness(digest=digest)
    open_: dict[tuple[int, Dir], _Rebuilt] = {}
    sums = {C2S: new_digest(digest), S2C: new_digest(digest)}
    conns = 0
    for event in events:
        result.finished = isinstance(event, Trailer)
        if isinstance(event, Trailer):
            result.behind = None
            _compare_trailer(result, event, conns, {dir: one.hexdigest() for dir, one in sums.items()})
            continue
        result.events += 1
        if isinstance(event, Marker):
            result.markers += 1
        elif isinstance(event, Gap):
            result.events -= 1  # counted by the trailer as a gap
            result.gaps.append(event)
            result.problems.append(
                f"the recorder lost {event.events:,} events ({event.bytes:,} wire bytes) "
                f"from {event.t / 1e9:.3f} s to {event.until / 1e9:.3f} s: {event.reason}"
            )
        elif isinstance(event, Late):
            result.behind = event.t if event.until is None else None
            result.late += [event] if event.until is not None else []
        elif isinstance(event, Unknown):
            result.unknown += 1
        elif isinstance(event, Totals):
            conns += 1
            for dir, totals in ((C2S, event.c2s), (S2C, event.s2c)):
                result.stretches.append(
                    _stretch(event.conn, dir, open_.pop((event.conn, dir), _Rebuilt(digest)), totals)
                )
                sums[dir].update(totals.digest.encode())
        elif not isinstance(event, Open):
            key = (event.conn, event.dir)
            rebuilt = open_.get(key)
            if rebuilt is None:
                rebuilt = open_[key] = _Rebuilt(digest)
            rebuilt.feed(event)
            if isinstance(event, Redacted):
                result.redacted[event.how] = result.redacted.get(event.how, 0) + 1
            elif isinstance(event, Request) and event.host is not None:
                _compare_head(result, event, event.host)
    for (conn, dir), rebuilt in open_.items():
        result.stretches.append(_stretch(conn, dir, rebuilt, None))
    _judge(result)
    return result


def _stretch(conn: int, dir: Dir, rebuilt: _Rebuilt, totals: DirTotals | None) -> Stretch:
    rebuilt.add(rebuilt.wire.rest(), counted=True)
    return Stretch(
        conn, dir, rebuilt.bytes, rebuilt.frames, rebuilt.digest.hexdigest(), totals, rebuilt.omitted, rebuilt.redacted
    )


def _compare_head(result: Exactness, request: Request, host: str) -> None:
    """The head that the upstream got is rebuilt from what the client sent and the Host that the relay put into it."""
    result.rewritten += 1
    if request.sent != hashlib.sha256(with_host(request.raw, host)).hexdigest():
        result.problems.append(
            f"connection {request.conn}, request {request.exchange}: rewritten to Host {host} its head is not the one that was forwarded"
        )


def _compare_trailer(result: Exactness, trailer: Trailer, conns: int, digests: dict[Dir, str]) -> None:
    lost = sum(gap.events for gap in result.gaps)
    counts = (trailer.events, trailer.markers, trailer.conns)
    if trailer.events != result.events + lost or (not lost and counts[1:] != (result.markers, conns)):
        result.problems.append(
            f"the trailer counts {trailer.events:,} events, {trailer.markers:,} markers and {trailer.conns:,} connections; "
            f"here are {result.events + lost:,}, {result.markers:,} and {conns:,}"
        )
    elif not lost and (trailer.c2s.digest, trailer.s2c.digest) != (digests[C2S], digests[S2C]):
        result.problems.append("the trailer's digests are not those of the connections: a totals event was changed")


def _judge(result: Exactness) -> None:
    for stretch in result.stretches:
        where = f"connection {stretch.conn} {stretch.dir}"
        if stretch.relay is None:
            if stretch.bytes:
                result.notes.append(f"{where}: {stretch.bytes:,} bytes, no digest to prove them by")
        elif stretch.omitted:
            result.notes.append(f"{where}: {stretch.omitted:,} body bytes were left out by --keep-body")
            if stretch.bytes + stretch.omitted != stretch.relay.bytes:
                result.problems.append(_differs(where, stretch))
        elif not stretch.intact:
            if result.gaps and stretch.bytes < stretch.relay.bytes:
                result.notes.append(
                    f"{where}: {stretch.relay.bytes - stretch.bytes:,} of {stretch.relay.bytes:,} bytes fell into gaps"
                )
            else:
                result.problems.append(_differs(where, stretch))
    if result.rewritten:
        result.notes.append(
            f"request heads forwarded with another Host (--host-header): {result.rewritten:,}; everything else as it came"
        )
    for late in result.late[:_LATE_SAID]:
        assert late.until is not None
        result.notes.append(
            f"{late.t / 1e9:.1f}–{late.until / 1e9:.1f} s: {late.events:,} events were written up to {late.longest / 1e9:.1f} s "
            "after they were forwarded (the disk stalled)"
        )
    if len(result.late) > _LATE_SAID:
        result.notes.append(f"and {len(result.late) - _LATE_SAID:,} more such stretches")
    if result.behind is not None:
        result.notes.append(
            f"from {result.behind / 1e9:.1f} s on events were forwarded before they were written (the disk stalled): the last may be missing"
        )
    if result.redacted:
        said = [f"{result.redacted[how]:,} {words}" for how, words in _HOW.items() if how in result.redacted]
        result.notes.append(
            f"redacted events: {', '.join(said)}: what went by there cannot be proved from here, all else can"
        )
    if result.unknown:
        result.notes.append(f"{result.unknown:,} events of kinds that this version does not know")


def _differs(where: str, stretch: Stretch) -> str:
    assert stretch.relay is not None
    if stretch.bytes != stretch.relay.bytes:
        return f"{where}: the events rebuild to {stretch.bytes:,} bytes, the relay saw {stretch.relay.bytes:,}"
    if stretch.redacted != stretch.relay.redacted:
        return f"{where}: {stretch.redacted:,} redacted events, there were {stretch.relay.redacted:,}"
    if stretch.redacted:
        return f"{where}: the redacted events were changed after they were written (the digest differs)"
    if stretch.frames != stretch.relay.frames:
        return f"{where}: {stretch.frames:,} frames, the relay counted {stretch.relay.frames:,}"
    return f"{where}: the bytes rebuilt from the events are not those that went by (the digest differs)"
