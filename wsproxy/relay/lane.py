"""One connection's share of one recording: its events packed, its wire bytes counted and digested.

Strategy: two ways of counting. While a direction carries HTTP, every event counts the bytes that it stands for; once it carries nothing but
frames, each read is counted whole, before it is cut, so that the digest does not depend on the parser that it is to prove.

What was redacted counts as what went by; the digest of such a direction is of what stands in the file, because with the wire's own a short
secret could be guessed.

Cost: on the hot path (`Lane.frames_recorder`) one digest update and one write per read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..recording.format import DirTotals, pack_event
from ..recording.frame_packer import FramePacker
from ..wire.events import C2S, S2C, Body, Dir, Frame, Part, Piece, Redacted, Superseding, WireEvent
from ..wire.frames import FrameStream
from .digest import LARGE, Digest

if TYPE_CHECKING:
    from .streams import Stream


class _Account:
    """What passed in one direction of a lane."""

    __slots__ = ("ahead", "bytes", "digest", "frames", "kept", "note", "redacted")

    def __init__(self) -> None:
        self.bytes = 0
        self.frames = 0
        self.digest = Digest()
        self.kept = 0  # bytes of the open HTTP body that were kept
        self.ahead = 0  # bytes that were counted as read and stand in the next event again
        self.note: Redacted | None = None  # said of the next event
        self.redacted = 0

    def count(self, event: WireEvent, wire: Iterable[bytes]) -> None:
        """Count the wire bytes of an event; a piece has none until something supersedes it."""
        if isinstance(event, Redacted):
            self.note = event
            self.redacted += 1
            return
        if self.note is not None:
            self.bytes += self.note.wire
            self.frames += self.note.frames
            self.note = None
            for part in wire:
                self.digest.add(part)
            return
        self.frames += isinstance(event, Frame)
        for part in wire:
            skip = min(self.ahead, len(part))
            self.ahead -= skip
            self.add(part[skip:] if skip else part)

    def add(self, data: bytes) -> None:
        self.bytes += len(data)
        self.digest.add(data)

    def totals(self) -> DirTotals:
        return DirTotals(self.bytes, self.frames, self.digest.hexdigest(), self.redacted)


class Lane:
    """One connection's share of one recording."""

    __slots__ = ("_rebuilding", "accounts", "conn", "packers", "stream")

    def __init__(self, stream: Stream, conn: int) -> None:
        base = stream.writer.header.start_mono_ns
        self.stream = stream
        self.conn = conn
        self.packers = {dir: FramePacker(conn, dir, base) for dir in (C2S, S2C)}
        self.accounts = {dir: _Account() for dir in (C2S, S2C)}
        self._rebuilding = {dir: Superseding() for dir in (C2S, S2C)}

    def add(self, events: list[WireEvent], t: int) -> None:
        """Record events of any kind."""
        stream = self.stream
        base = stream.writer.header.start_mono_ns
        out: list[bytes] = []
        wire = 0
        for event in events:
            account = self.accounts[event.dir]
            before = account.bytes
            kept = self._trim(account, event) if isinstance(event, Body) else event
            if not isinstance(event, Piece):
                # What passed is counted whole; of what is redacted, what stands in the file.
                counted = event if account.note is None else kept
                account.count(event, self._rebuilding[event.dir].wire_bytes(counted))
            wire += account.bytes - before
            if isinstance(event, Frame | Part | Piece):
                self.packers[event.dir].pack([event], out)
            else:
                out.append(pack_event(kept, base))
        stream.events += len(events)
        stream.writer.write(out, len(events), wire, t)

    def count_reads(self, dir: Dir, pending: bytes) -> None:
        """From here on a direction is counted as it is read (`frames_recorder`), not by its events (`add`).

        Args:
            pending: what was read before and has no event yet.
        """
        self.accounts[dir].add(pending)

    def count_events(self, dir: Dir, pending: bytes) -> None:
        """The opposite of `count_reads`: `pending` was counted, and stands in an event that is still to come."""
        self.accounts[dir].ahead = len(pending)

    def frames_recorder(
        self, dir: Dir, frames: FrameStream, failed: Callable[[bytes, int, Exception], None]
    ) -> Callable[[bytes, int], None]:
        """The hot path: a function that records what one read brought in a direction that carries nothing but frames.

        A closure over what it needs: attribute look-ups and one more call layer cost 0.3 µs per read.

        Args:
            frames: cuts what is no matter of course, and knows whether a frame is open.
        """
        account, stream, packer = self.accounts[dir], self.stream, self.packers[dir]
        digest, write, cut, pack, pack_whole = (
            account.digest,
            stream.writer.write,
            frames.feed,
            packer.pack,
            packer.pack_whole,
        )
        update = digest.update

        def record(data: bytes, t: int) -> None:
            try:
                size = len(data)
                out: list[bytes] = []
                if frames.between:
                    taken, count = pack_whole(data, t, out)
                    frames.frames += count
                else:
                    taken = count = 0
                if taken < size:
                    events = cut(data[taken:] if taken else data, t)
                    pack(events, out)
                    count += len(events)
                account.bytes += size
                if size >= LARGE or digest.lagging:
                    digest.add(data)
                else:
                    update(data)
                stream.events += count
                write(out, count, size, t)
            except Exception as error:
                failed(data, t, error)

        return record

    def _trim(self, account: _Account, body: Body) -> Body:
        """Keep a body up to the limit, count the rest."""
        room = self.stream.keep_body - account.kept
        account.kept = 0 if body.end else account.kept + len(body.raw)
        if len(body.raw) <= room:
            return body
        kept = body.raw[: max(room, 0)]
        return body._replace(raw=kept, omitted=len(body.raw) - len(kept))
