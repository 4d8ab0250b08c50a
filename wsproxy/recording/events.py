"""What a recording holds beside what the tap saw: its header, connections, markers, gaps, totals."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from ..wire.events import WireEvent

VERSION = (2, 0)  # of the format, `recordings/FORMAT.md`
DIGEST = "xxh64"  # what is recorded now has digests of this kind
DIGEST_OF_1 = "sha256"  # format 1 had these


class Header(NamedTuple):
    """The first map of a recording. `stream_id` is None in the recording of exchanges that carry none; `redacted`: its secrets are masked;
    `digest` names the function of the digests in it."""

    stream_id: str | None
    start_wall_ns: int
    start_mono_ns: int
    boot_id: str
    relay: str
    listen: str
    upstream: str
    version: tuple[int, int] = VERSION
    redacted: bool = False
    digest: str = DIGEST


class Open(NamedTuple):
    """A connection was accepted and the upstream answered, or did not (`error`)."""

    conn: int
    t: int
    client: str
    upstream: str
    error: str | None = None


class Marker(NamedTuple):
    """A stage marker from a hook."""

    t: int
    stage: str
    index: int | None  # type: ignore[assignment]  # shadows tuple.index, which nobody needs here
    data: Any
    source: str | None
    error_ns: int  # bound of the time's error; 0 on the same kernel


class Gap(NamedTuple):
    """What the recorder could not write: `events` and wire `bytes` of both directions from `t` to `until`, and why."""

    t: int
    until: int
    events: int
    bytes: int
    reason: str


class Late(NamedTuple):
    """The disk stalled: from `t` on events were written after they were forwarded.

    Without `until` it begins here. With it, it is over: `events` with times from `t` to `until` stand before this one, and were written up to
    `longest` nanoseconds after they were forwarded.
    """

    t: int
    until: int | None = None
    events: int = 0
    longest: int = 0


class DirTotals(NamedTuple):
    """What passed in one direction of one connection: wire bytes, frames, and the digest of the bytes in hex (the header names its function).

    Where `redacted` counts events, the digest is of the bytes that the events rebuild to as they stand here.
    """

    bytes: int
    frames: int
    digest: str
    redacted: int = 0


class Link(NamedTuple):
    """The way between the relay and a peer, as the relay's kernel knew it at the end.

    `rtt_us` is the least round trip in microseconds, `resent` counts segments that the relay's kernel had to send again.
    """

    rtt_us: int
    resent: int


class Totals(NamedTuple):
    """A connection is over, as far as this recording is concerned: what passed on it, and the ways to both peers where they are known."""

    conn: int
    t: int
    c2s: DirTotals
    s2c: DirTotals
    client: Link | None = None
    server: Link | None = None


class Trailer(NamedTuple):
    """The last map of a finished section: what the whole file should hold.

    `events` counts all events before it but header and trailers; `c2s` and `s2c` add up the `Totals` events, their `digest` is the
    digest of the hexadecimal digests of these, in their order.
    """

    t: int
    events: int
    markers: int
    gaps: int
    conns: int
    c2s: DirTotals
    s2c: DirTotals


class Unknown(NamedTuple):
    """An event of a kind that this version does not know."""

    kind: str
    fields: dict[str, Any]


Event: TypeAlias = WireEvent | Open | Totals | Marker | Gap | Late | Trailer | Unknown
