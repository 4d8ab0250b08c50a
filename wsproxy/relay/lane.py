"""One connection's share of one recording: its events packed, its wire bytes counted and digested.

Strategy: a `Track` for each direction, with two ways of counting. While a direction carries HTTP, every event counts the bytes that it stands for
(`Lane.add`); once it carries nothing but frames, each read is counted whole, before it is cut (`Track.feed`), so that the digest does not depend on
the parser that it is to prove.

What was redacted counts as what went by; the digest of such a direction is of what stands in the file, because with the wire's own a short
secret could be guessed.

Cost: on the hot path (`Track.feed`) one digest update and one write per read. Memory: a track is a slotted object and takes what was read itself: a
closure that saves it 0.1 µs of look-ups was 1 KiB for each direction, a bound method in a place of its own 110 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ..recording.digest import new_digest
from ..recording.events import DirTotals
from ..recording.file import JOIN_BELOW
from ..recording.format import pack_event
from ..recording.whole_frames import WholeFramePacker
from ..wire.events import C2S, S2C, Body, Dir, Frame, Part, Piece, Redacted, Superseding, WireEvent
from ..wire.frames import FrameStream

if TYPE_CHECKING:
    from .stream import Stream


class Recorder(Protocol):
    """Who feeds a track."""

    def failed(self, dir: Dir, data: bytes, t: int, error: Exception) -> None:
        """Recording what was read has failed."""


class _Counts:
    """What only a track has that counts events.

    Attributes:
        ahead: bytes that were counted as read and stand in the next event again.
        kept: bytes of the open HTTP body that were kept.
        note: said of the next event.
    """

    __slots__ = ("ahead", "frames", "kept", "note", "rebuilding")

    def __init__(self, frames: int = 0, ahead: int = 0) -> None:
        self.frames = frames
        self.ahead = ahead
        self.kept = 0
        self.note: Redacted | None = None
        self.rebuilding = Superseding()


class Track:
    """What passes in one direction of a lane.

    Attributes:
        bytes: that passed.
        redacted: events that do not hold what passed.
        packer: of its frames.
    """

    __slots__ = (
        "_counts",
        "_cut",
        "_dir",
        "_recorder",
        "_stream",
        "_writer",
        "bytes",
        "digest",
        "packer",
        "redacted",
    )

    def __init__(self, stream: Stream, conn: int, dir: Dir) -> None:
        self._stream = stream
        self._writer = stream.writer
        self._dir: Dir = dir
        self.packer = WholeFramePacker(conn, dir, stream.writer.header.start_mono_ns)
        self.bytes = 0
        self.redacted = 0
        self.digest = new_digest()
        self._counts: _Counts | None = _Counts()  # while events are counted
        self._cut: FrameStream  # what cuts reads, while these are
        self._recorder: Recorder

    @property
    def frames(self) -> int:
        """That began here."""
        return self._cut.frames if self._counts is None else self._counts.frames

    def totals(self) -> DirTotals:
        return DirTotals(self.bytes, self.frames, self.digest.hexdigest(), self.redacted)

    # --- as it is read -----------------------------------------------------------------------------------------------

    def count_reads(self, cut: FrameStream, recorder: Recorder) -> None:
        """From here on everything is a frame, and goes through `feed`.

        Args:
            cut: the frames of this direction; what is pending there has no event yet.
            recorder: told of what `feed` could not take.
        """
        self.add(cut.pending)
        self._counts = None
        self._cut = cut
        self._recorder = recorder

    def count_events(self) -> FrameStream | None:
        """The opposite: from here on events go through `Lane.add`. What is pending was counted, and stands in one that is still to come.

        Returns:
            What `count_reads` was given, if it was called.
        """
        if self._counts is not None:
            return None
        self._counts = _Counts(self._cut.frames, len(self._cut.pending))
        return self._cut

    def feed(self, data: bytes, t: int) -> None:
        """The hot path: record what one read brought. Never raises."""
        try:
            cut = self._cut
            size = len(data)
            one = self.packer.pack_one(data, t) if cut.between and 1 < size < JOIN_BELOW else None
            count = 1
            if one is not None:
                cut.frames += 1
            else:
                out, count = self._cut_up(cut, data, t)
            self.bytes += size
            self.digest.update(data)
            stream = self._stream
            stream.events += count
            if one is not None:
                self._writer.append(one, 1, size, t)
            else:
                stream.writer.write(out, count, size, t)
        except Exception as error:
            self.cannot(data, t, error)

    def cannot(self, data: bytes, t: int, error: Exception) -> None:
        """Recording a read has failed."""
        self._recorder.failed(self._dir, data, t, error)

    def _cut_up(self, cut: FrameStream, data: bytes, t: int) -> tuple[list[bytes], int]:
        """The msgpack of a read that is anything, and how many events that is."""
        out: list[bytes] = []
        taken = count = 0
        if cut.between:
            taken, count = self.packer.pack_whole(data, t, out)
            cut.frames += count
        if taken < len(data):
            events = cut.feed(data[taken:] if taken else data, t)
            self.packer.pack(events, out)
            count += len(events)
        return out, count

    # --- as events ---------------------------------------------------------------------------------------------------

    def count(self, event: WireEvent) -> WireEvent:
        """Count an event, whole; returns what of it goes into the file."""
        counts = self._counts
        assert counts is not None
        kept = self._trim(counts, event) if isinstance(event, Body) else event
        if isinstance(event, Piece):
            pass  # it has none until something supersedes it
        elif isinstance(event, Redacted):
            counts.note = event
            self.redacted += 1
        elif counts.note is not None:  # of what is redacted, the digest is of what stands in the file
            self.bytes += counts.note.wire
            counts.frames += counts.note.frames
            counts.note = None
            for part in counts.rebuilding.wire_bytes(kept):
                self.digest.update(part)
        else:
            counts.frames += isinstance(event, Frame)
            for part in counts.rebuilding.wire_bytes(event):
                skip = min(counts.ahead, len(part))
                counts.ahead -= skip
                self.add(part[skip:] if skip else part)
        return kept

    def add(self, data: bytes) -> None:
        """Count bytes."""
        self.bytes += len(data)
        self.digest.update(data)

    def _trim(self, counts: _Counts, body: Body) -> Body:
        """Keep a body up to the limit, count the rest."""
        room = self._stream.keep_body - counts.kept
        counts.kept = 0 if body.end else counts.kept + len(body.raw)
        if len(body.raw) <= room:
            return body
        kept = body.raw[: max(room, 0)]
        return body._replace(raw=kept, omitted=len(body.raw) - len(kept))


class Lane:
    """One connection's share of one recording."""

    __slots__ = ("c2s", "conn", "s2c", "stream")

    def __init__(self, stream: Stream, conn: int) -> None:
        self.stream = stream
        self.conn = conn
        self.c2s = Track(stream, conn, C2S)
        self.s2c = Track(stream, conn, S2C)

    def track(self, dir: Dir) -> Track:
        return self.c2s if dir == C2S else self.s2c

    def add(self, events: list[WireEvent], t: int) -> None:
        """Record events of any kind."""
        stream = self.stream
        base = stream.writer.header.start_mono_ns
        out: list[bytes] = []
        wire = 0
        for event in events:
            track = self.track(event.dir)
            before = track.bytes
            kept = track.count(event)
            wire += track.bytes - before
            if isinstance(event, Frame | Part | Piece):
                track.packer.pack([event], out)
            else:
                out.append(pack_event(kept, base))
        stream.events += len(events)
        stream.writer.write(out, len(events), wire, t)
