"""One recording that is being written: its connections' shares, its counts, its trailer.

Strategy: a `Stream` is a recording with its counts; a `Lane` is one connection's share of it. A stream whose last lane is released gets its
trailer and its file is closed; a late marker or exchange opens it again, and another trailer follows.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from ..recording.digest import Digest, new_digest
from ..recording.disk import Disk
from ..recording.events import DirTotals, Event, Link, Open, Totals, Trailer
from ..recording.format import pack_event
from ..recording.marker_packer import Untimed, pack_timed
from ..recording.writer import RecordingWriter
from ..wire.events import C2S, S2C, Dir
from .lane import Lane

_FEW = 1024  # characters of digests, 16 each, that are kept as they are


class _Sum:
    """The trailer's view of one direction: `Totals` events added up.

    The digests of a stream's few connections are kept as they are. Streams are remembered for a while after they have ended, and two digests in
    progress for each stand in the C library's memory between the large blocks of the others: after 15,000 connections 20 MiB lay free among them.
    """

    __slots__ = ("_bytes", "_digests", "_frames", "_redacted", "_summed_up")

    def __init__(self) -> None:
        self._bytes = self._frames = self._redacted = 0
        self._digests = ""
        self._summed_up: Digest | None = None  # of the digests before

    def add(self, totals: DirTotals) -> None:
        self._bytes += totals.bytes
        self._frames += totals.frames
        self._redacted += totals.redacted
        self._digests += totals.digest
        if len(self._digests) > _FEW:
            self._summed_up = self._summed()
            self._digests = ""

    def totals(self) -> DirTotals:
        return DirTotals(self._bytes, self._frames, self._summed().hexdigest(), self._redacted)

    def _summed(self) -> Digest:
        digest = new_digest() if self._summed_up is None else self._summed_up.copy()
        digest.update(self._digests.encode())
        return digest


class Stream:
    """A recording that is being written, or was."""

    __slots__ = (
        "_conns",
        "_lanes",
        "_markers",
        "_on_idle",
        "_on_written",
        "_stays_open",
        "_sums",
        "events",
        "keep_body",
        "stream_id",
        "writer",
    )

    def __init__(
        self,
        stream_id: str,
        writer: RecordingWriter,
        keep_body: int,
        on_idle: Callable[[Stream], None],
        on_written: Callable[[Stream], None],
        *,
        stays_open: bool = False,
    ) -> None:
        self.stream_id = stream_id
        self.writer = writer
        self.keep_body = keep_body
        self._stays_open = stays_open
        self.events = 0
        self._markers = 0
        self._conns = 0
        self._lanes: tuple[Lane, ...] = ()  # mostly one: a list would cost 40 bytes more
        self._on_idle = on_idle
        self._on_written = on_written
        self._sums: dict[Dir, _Sum] | None = None

    @property
    def path(self) -> str:
        return self.writer.path

    def lane(self, conn: int, client: str, upstream: str, error: str | None, opened: int, t: int) -> Lane:
        """A new share of this recording for a connection. `opened` is when it was accepted, `t` is now."""
        lane = Lane(self, conn)
        self._lanes += (lane,)
        self._conns += 1
        self._write(Open(conn, opened, client, upstream, error), t)
        return lane

    def release(self, lane: Lane, t: int, client: Link | None, server: Link | None) -> None:
        """The connection has no more to say here; without another one the recording is finished."""
        if lane not in self._lanes:
            return
        self._lanes = tuple(other for other in self._lanes if other is not lane)
        close = Totals(lane.conn, t, lane.c2s.totals(), lane.s2c.totals(), client, server)
        for dir, totals in ((C2S, close.c2s), (S2C, close.s2c)):
            self._sum(dir).add(totals)
        self._write(close, t)
        if not self._lanes and not self._stays_open:
            self.finish(t)

    def mark(self, markers: list[Untimed], t: int) -> None:
        """Add stage markers, in one write."""
        self._markers += len(markers)
        self.events += len(markers)
        self.writer.write(pack_timed(markers, self.writer.header.start_mono_ns), len(markers), 0, t)

    @property
    def is_idle(self) -> bool:
        """Whether no connection has anything more to say here."""
        return not self._lanes and not self._stays_open

    @property
    def is_gone(self) -> bool:
        """Whether somebody removed the recording since it was finished."""
        writer = self.writer
        return not writer.failing and not writer.waits and not exists(self.path, writer.disk)

    def check_file(self, t: int) -> None:
        """Begin a new file where somebody has removed it."""
        if self.writer.vanished:
            wire = sum(lane.c2s.bytes + lane.s2c.bytes for lane in self._lanes)
            wire += sum(self._sum(dir).totals().bytes for dir in (C2S, S2C))
            self.writer.begin_again(self.events, wire, t)

    def finish(self, t: int) -> None:
        """Write the trailer and close the file; anything later opens it again."""
        self.check_file(t)
        c2s, s2c = self._sum(C2S).totals(), self._sum(S2C).totals()
        events, markers, conns = self.events, self._markers, self._conns
        base = self.writer.header.start_mono_ns

        def trailer(gaps: int, own: int) -> bytes:
            return pack_event(Trailer(t, events + own, markers, gaps, conns, c2s, s2c), base)

        self.writer.finish(trailer, t, lambda: self._on_written(self))
        self._on_idle(self)

    @property
    def is_markers_only(self) -> bool:
        """Whether no connection ever had a share of it."""
        return not self._conns

    def remove(self) -> None:
        """Remove the recording, finished or not."""
        self.discard()
        with contextlib.suppress(OSError), self.writer.disk.guarded():
            os.unlink(self.path)

    def discard(self) -> None:
        """Remove the recording: its events stand in another one."""
        self._lanes = ()
        self.writer.discard()
        self._on_idle(self)

    def _sum(self, dir: Dir) -> _Sum:
        if self._sums is None:
            self._sums = {C2S: _Sum(), S2C: _Sum()}
        return self._sums[dir]

    def _write(self, event: Event, t: int) -> None:
        self.events += 1
        self.writer.write([pack_event(event, self.writer.header.start_mono_ns)], 1, 0, t)


def exists(path: str, disk: Disk) -> bool:
    """Whether anything has this name."""
    with disk.guarded():
        return os.path.lexists(path)
