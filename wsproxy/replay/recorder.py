"""A replay records itself: the same events and files as the relay's, from the bytes of its own connections.

Strategy: a connection's events are held until it is known whose they are (a request named its stream), then they go into that stream's
recording, and all that follow. One file per stream and replay; a connection's share of it is summed up when it has ended, and the last
one to end writes the trailer.

Nothing that is played depends on this: trouble on the disk is told once, and the replay goes on.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from .. import __version__
from ..recording.digest import new_digest
from ..recording.events import DirTotals, Event, Header, Open, Totals, Trailer
from ..recording.folder import file_name
from ..recording.format import pack_event
from ..recording.frame_packer import FramePacker
from ..recording.writer import RecordingWriter
from ..wire.events import C2S, S2C, Dir, Frame, Part, Piece, Superseding, WireEvent
from .problems import ReplayError


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()


class _Sum:
    """Bytes, frames and digest of one direction."""

    def __init__(self) -> None:
        self.bytes = self.frames = 0
        self.digest = new_digest()

    def totals(self) -> DirTotals:
        return DirTotals(self.bytes, self.frames, self.digest.hexdigest())


class _File:
    """One recording that is being written."""

    def __init__(self, writer: RecordingWriter) -> None:
        self.writer = writer
        self.base = writer.header.start_mono_ns
        self.events = self.conns = 0
        self.users = 0
        self.sums: dict[Dir, _Sum] = {C2S: _Sum(), S2C: _Sum()}

    def write(self, event: Event) -> None:
        self.events += 1
        self.writer.write([pack_event(event, self.base)], 1, 0, time.monotonic_ns())

    def release(self, totals: Totals) -> None:
        """A connection has ended; without another one the recording is finished."""
        for dir, one in ((C2S, totals.c2s), (S2C, totals.s2c)):
            self.sums[dir].bytes += one.bytes
            self.sums[dir].frames += one.frames
            self.sums[dir].digest.update(one.digest.encode())
        self.write(totals)
        self.users -= 1
        if not self.users:
            self.finish()

    def finish(self) -> None:
        now = time.monotonic_ns()
        c2s, s2c = self.sums[C2S].totals(), self.sums[S2C].totals()

        def trailer(gaps: int, _: int) -> bytes:
            return pack_event(Trailer(now, self.events, 0, gaps, self.conns, c2s, s2c), self.base)

        self.writer.finish(trailer, now)


class Recorder:
    """All recordings of one replay.

    Args:
        folder: where they go; created if it is not there.
        listen: the address that is served, or "".
        upstream: the URL that is played to, or what is served.
        on_trouble: called with a sentence when one cannot be written.

    Raises:
        ReplayError: the folder cannot be written.
    """

    def __init__(self, folder: Path, *, listen: str, upstream: str, on_trouble: Callable[[str], None]) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = folder / f".replay-{os.getpid()}-{os.urandom(4).hex()}"
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            probe.unlink()
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ReplayError(
                f"cannot write recordings into {folder}: {why}; name another folder with --record"
            ) from None
        self.folder = folder
        self.paths: list[str] = []
        self._listen = listen
        self._upstream = upstream
        self._boot_id = _boot_id()
        self._on_trouble = on_trouble
        self._files: dict[str, _File] = {}
        self._conns = 0

    def connection(self) -> Share:
        """A connection is opened."""
        self._conns += 1
        return Share(self, self._conns, self._upstream)

    def file(self, stream_id: str, since: int) -> _File:
        """The recording of a stream; a new one that starts at `since` (nanoseconds, monotonic) if there is none."""
        found = self._files.get(stream_id)
        if found is None:
            wall = time.time_ns() - (time.monotonic_ns() - since)
            path = self.folder / file_name(stream_id, wall)
            while os.path.lexists(path):
                wall += 1000
                path = self.folder / file_name(stream_id, wall)
            program = f"wsproxy {__version__} replay"
            header = Header(stream_id, wall, since, self._boot_id, program, self._listen, self._upstream)
            writer = RecordingWriter(str(path), header, "every", self._trouble)
            found = self._files[stream_id] = _File(writer)
            self.paths.append(str(path))
        return found

    def _trouble(self, path: str, reason: str | None) -> None:
        if reason is not None:
            self._on_trouble(reason)

    def close(self) -> None:
        """Finish what is still open."""
        for file in self._files.values():
            if file.users:
                file.finish()


class Share:
    """One connection's share of the recordings. `client` is the address of the client's end."""

    def __init__(self, recorder: Recorder, conn: int, upstream: str) -> None:
        self.conn = conn
        self.client = ""
        self._recorder = recorder
        self._upstream = upstream
        self._opened = time.monotonic_ns()
        self._held: list[WireEvent] = []
        self._file: _File | None = None
        self._sums: dict[_File, dict[Dir, _Sum]] = {}
        self._packers: dict[_File, dict[Dir, FramePacker]] = {}
        self._rebuilding = {C2S: Superseding(), S2C: Superseding()}

    def add(self, events: list[WireEvent]) -> None:
        """Record events, or hold them until they are claimed."""
        file = self._file
        if file is None:
            self._held += events
            return
        out: list[bytes] = []
        wire = 0
        sums, packers = self._sums[file], self._packers[file]
        for event in events:
            one = sums[event.dir]
            one.frames += isinstance(event, Frame)
            if not isinstance(event, Piece):
                for part in self._rebuilding[event.dir].wire_bytes(event):
                    one.bytes += len(part)
                    one.digest.update(part)
                    wire += len(part)
            if isinstance(event, Frame | Part | Piece):
                packers[event.dir].pack([event], out)
            else:
                out.append(pack_event(event, file.base))
        file.events += len(events)
        file.writer.write(out, len(events), wire, time.monotonic_ns())

    def claim(self, stream_id: str) -> None:
        """What is held, and what comes, belongs to this stream."""
        file = self._recorder.file(stream_id, self._opened)
        if file not in self._sums:
            self._sums[file] = {C2S: _Sum(), S2C: _Sum()}
            self._packers[file] = {dir: FramePacker(self.conn, dir, file.base) for dir in (C2S, S2C)}
            file.users += 1
            file.conns += 1
            file.write(Open(self.conn, self._opened, self.client, self._upstream))
        self._file = file
        held, self._held = self._held, []
        self.add(held)

    def hold(self) -> None:
        """Another request begins: nobody knows whose it is."""
        self._file = None

    def close(self, stream_id: str) -> None:
        """The connection is over; `stream_id` takes what nobody has claimed."""
        if self._held or not self._sums:
            self.claim(stream_id)
        now = time.monotonic_ns()
        for file, sums in self._sums.items():
            file.release(Totals(self.conn, now, sums[C2S].totals(), sums[S2C].totals()))
        self._sums = {}
