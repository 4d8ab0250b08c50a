"""Recordings that are being written: one per stream, one per relay run for exchanges of no stream, one per odd connection.

Strategy: `Streams` finds a `Stream` by its id and remembers the finished ones, so that what comes late still finds its file.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable

from ..recording.disk import Disk
from ..recording.events import Header
from ..recording.folder import file_name
from ..recording.marker_packer import Untimed
from ..recording.writer import Durability, RecordingWriter
from ..secrets.masking import Masker
from .marker_clock import boot_id
from .stream import Stream, exists

LINGER_NS = 1_000_000_000  # how long a recording that only markers use stays open
LINGERING_KEPT = 256  # such recordings: each holds a descriptor
CHECK_NS = 1_000_000_000  # between two looks whether files are still there
GIVEN_UP_KEPT = 100  # failed recordings that /healthz can name
FINISHED_KEPT = 4096  # finished streams that a late event still finds
DEFAULT_KEEP_BODY = 64 << 20  # bytes of an HTTP body
OWN_KEEP_BODY = 16 << 20  # more than is searched for an id


class Streams:
    """All recordings of one relay run.

    Args:
        folder: where they go; it must exist.
        masker: keeps secrets out of the recordings; None records what goes by.
        on_trouble: called with a sentence when recording fails and with None when it works again.
        disk: where they are written.
    """

    def __init__(
        self,
        folder: str,
        *,
        upstream: str,
        relay: str,
        durability: Durability = "every",
        keep_body: int = DEFAULT_KEEP_BODY,
        masker: Masker | None = None,
        on_trouble: Callable[[str | None], None] = lambda _: None,
        disk: Disk | None = None,
    ) -> None:
        self.masker = masker
        self.disk = disk if disk is not None else Disk()
        self.folder = folder
        self.run = os.urandom(3).hex()
        self.failing: dict[str, str] = {}  # path → why it cannot be written
        self._given_up: set[str] = set()  # those of them that have ended
        self.gaps = 0
        self.markers = 0
        self.finished = 0  # how often one was
        self._lingering: dict[Stream, int] = {}  # opened by markers alone; when the last one came
        self._keep_body = keep_body
        self._durability: Durability = durability
        self._on_trouble = on_trouble
        self._template = Header(None, 0, 0, boot_id(), relay, "", upstream, redacted=masker is not None)
        self._by_id: dict[str, Stream] = {}
        self._open: set[Stream] = set()
        self._finished: OrderedDict[str, Stream] = OrderedDict()
        self._rest: Stream | None = None
        self._checked = 0
        # Made once: a bound method is 64 bytes, and there is a stream per connection.
        self._calls = self._trouble, self._idle, self._written

    def listening(self, address: str) -> None:
        """Where the relay listens, for the headers of recordings."""
        self._template = self._template._replace(listen=address)

    def of(self, stream_id: str, since: int) -> Stream:
        """The recording of a stream; a new one, that starts at `since`, if it was not heard of."""
        stream = self._by_id.get(stream_id)
        if stream is None:
            stream = self._by_id[stream_id] = self._create(stream_id, since)
        elif stream not in self._open:
            self._finished.pop(stream_id, None)
            if stream.is_gone:
                stream = self._by_id[stream_id] = self._create(stream_id, since)
            else:
                self._open.add(stream)
        return stream

    def known(self, stream_id: str) -> Stream | None:
        """The recording of a stream, if it was heard of lately."""
        return self._by_id.get(stream_id)

    def forget(self, stream: Stream) -> None:
        """Remove a recording, and what is known of it."""
        self._lingering.pop(stream, None)
        stream.remove()
        self._finished.pop(stream.stream_id, None)
        self._by_id.pop(stream.stream_id, None)

    def writing(self, path: str) -> bool:
        """Whether this recording is open here. May be asked from another thread."""
        return any(stream.path == path for stream in tuple(self._open))

    def rest(self, since: int) -> Stream:
        """The recording of the exchanges that belong to no stream; open until the relay stops."""
        if self._rest is None:
            self._rest = self._create(f"http-{self.run}", since, stays_open=True)
        return self._rest

    def own(self, conn: int, since: int) -> Stream:
        """A recording for one connection alone; whatever is searched for an id is kept in it whole."""
        return self._create(f"conn-{conn}-{self.run}", since, keep_body=max(self._keep_body, OWN_KEEP_BODY))

    @property
    def open_count(self) -> int:
        return len(self._open)

    @property
    def durability(self) -> Durability:
        return self._durability

    def mark(self, stream_id: str, markers: list[Untimed], t: int) -> None:
        """Add stage markers to the recording of a stream, which may have ended, or not have begun."""
        self.markers += len(markers)
        stream = self.of(stream_id, min(markers)[0])
        stream.mark(markers, t)
        if stream.is_idle:
            self._lingering.pop(stream, None)
            self._lingering[stream] = t
            if len(self._lingering) > LINGERING_KEPT:
                oldest = next(iter(self._lingering))
                del self._lingering[oldest]
                if oldest.is_idle and oldest in self._open:
                    oldest.finish(t)

    def finish_idle(self, t: int) -> None:
        """Finish the recordings that markers have opened and nothing has used since."""
        for stream, since in list(self._lingering.items()):
            if not stream.is_idle or stream not in self._open:
                del self._lingering[stream]
            elif t - since > LINGER_NS:
                del self._lingering[stream]
                stream.finish(t)

    def check_files(self, t: int) -> None:
        """Find out which recordings were removed while they are written: once a second, 1 µs for each."""
        if t - self._checked >= CHECK_NS:
            self._checked = t
            for stream in list(self._open):
                stream.check_file(t)

    def flush(self, t: int) -> None:
        """Write what batches hold."""
        for stream in list(self._open):
            stream.writer.flush(t)

    def finish(self, t: int) -> None:
        """Finish every recording that is still open."""
        for stream in list(self._open):
            stream.finish(t)

    def _create(self, stream_id: str, since: int, *, keep_body: int | None = None, stays_open: bool = False) -> Stream:
        wall = time.time_ns() - (time.monotonic_ns() - since)
        name = file_name(stream_id, wall)
        path = os.path.join(self.folder, name)
        while exists(path, self.disk):
            wall += 1000
            path = os.path.join(self.folder, file_name(stream_id, wall))
        header = self._template._replace(stream_id=stream_id, start_wall_ns=wall, start_mono_ns=since)
        trouble, idle, written = self._calls
        stream = Stream(
            stream_id,
            RecordingWriter(path, header, self._durability, trouble, self.disk),
            self._keep_body if keep_body is None else keep_body,
            idle,
            written,
            stays_open=stays_open,
        )
        self._open.add(stream)
        return stream

    def _trouble(self, path: str, reason: str | None) -> None:
        """A recording cannot be written, or can again: the first and the last are told."""
        if reason is None:
            self.gaps += 1
            self.failing.pop(path, None)
            self._works_again()
            return
        told = bool(self.failing)
        if len(self._given_up) < GIVEN_UP_KEPT or not told:
            self.failing[path] = reason
        if not told:
            self._on_trouble(reason)

    def _works_again(self) -> None:
        """A recording could be written: those that ended in a gap are no sign of trouble any more."""
        for path in self._given_up:
            self.failing.pop(path, None)
        self._given_up.clear()
        if not self.failing:
            self._on_trouble(None)

    def probe(self) -> None:
        """Find out whether the folder can be written again, where no recording is left that would try."""
        if self._given_up and len(self._given_up) == len(self.failing):
            path = os.path.join(self.folder, f".probe-{self.run}")
            try:
                with self.disk.guarded():
                    with open(path, "wb") as file:
                        file.write(bytes(4096))
                    os.unlink(path)
            except OSError:
                return
            self._works_again()

    def _idle(self, stream: Stream) -> None:
        self._open.discard(stream)
        self.finished += 1
        if self._by_id.get(stream.stream_id) is not stream:
            return
        self._finished[stream.stream_id] = stream
        if len(self._finished) > FINISHED_KEPT:
            old, _ = self._finished.popitem(last=False)
            del self._by_id[old]

    def _written(self, stream: Stream) -> None:
        """The trailer of a recording stands in its file, or could not be written."""
        if stream.writer.failing:
            self._given_up.add(stream.path)
        elif self._given_up:
            self._works_again()
