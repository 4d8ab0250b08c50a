"""A recording copied without its secrets.

Strategy: two passes. The first proves the original as far as it can be and lets the masker see every secret, so that the second masks what was
found in one place in all places. The second writes the redacted events beside the goal and puts the file in its place when it is whole: nobody
ever sees half a copy. Times, order and what was counted on the wire stay. A direction in which nothing was redacted keeps the relay's digest and
its proof.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ..errors import WsproxyError
from ..recording.digest import new_digest
from ..recording.events import VERSION, DirTotals, Event, Header, Totals, Trailer
from ..recording.folder import file_name
from ..recording.format import LARGEST, pack_event, pack_header
from ..recording.reader import Ending, Recording
from ..wire.events import C2S, S2C, Dir, Redacted, Superseding
from .masking import Masker
from .redactor import Redactor


class CannotCopy(WsproxyError):
    """The copy cannot be written there; the message says why and what to do."""


@dataclass(slots=True)
class Copied:
    """What a copy is: where, how many events of it are redacted and how, and how the original ends."""

    path: Path
    ending: Ending
    redacted: dict[str, int] = field(default_factory=dict)


def copy_name(recording: Recording, masker: Masker) -> str:
    """The file name of a copy in a folder: the original's, unless a stream id in it is a secret."""
    stream_id = recording.header.stream_id
    if stream_id is None or masker.text(stream_id) == stream_id:
        return recording.path.name
    return file_name(masker.text(stream_id), recording.header.start_wall_ns)


def learn(recording: Recording, masker: Masker) -> Iterator[Event]:
    """The events of a recording, while the masker gets to know every secret in them."""
    redactor = Redactor(masker)
    for event in recording.events():
        redactor.feed(event)
        yield event
    redactor.finish()


def write_copy(
    recording: Recording, goal: Path, masker: Masker, *, wrong: Collection[tuple[int, Dir]] = (), force: bool = False
) -> Copied:
    """Write a redacted copy; its file is 0600, and there at once or not at all.

    Args:
        masker: that has learned what is secret.
        wrong: directions of connections whose events are not what went by: the copy must not look any better.
        force: replace what stands there.

    Raises:
        CannotCopy: it would replace something, or itself; or the system does not let it.
    """
    if goal.exists() and goal.samefile(recording.path):
        raise CannotCopy(f"{goal}: that is the recording itself; give another name with -o")
    if goal.exists() and not force:
        raise CannotCopy(f"{goal}: exists; replace it with --force")
    draft = goal.with_name(f".{goal.name[:200]}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            copied = _write(recording, goal, masker, wrong, file)
            file.flush()
            os.fsync(file.fileno())
        _put(draft, goal, force=force)
    except OSError as error:
        draft.unlink(missing_ok=True)
        why = (error.strerror or str(error)).lower()
        raise CannotCopy(f"cannot write {goal}: {why}; give another place with -o") from None
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return copied


def _put(draft: Path, goal: Path, *, force: bool) -> None:
    if not force:
        try:
            os.link(draft, goal)  # unlike a rename it replaces nothing
            os.unlink(draft)
            return
        except PermissionError:
            pass  # a file system without hard links
    os.replace(draft, goal)


def _write(
    recording: Recording, goal: Path, masker: Masker, wrong: Collection[tuple[int, Dir]], file: BinaryIO
) -> Copied:
    file.write(pack_header(_header(recording.header, masker)))
    redacted: dict[str, int] = {}
    for event in copied_events(recording, masker, wrong=wrong):
        file.write(pack_event(event, 0))
        if isinstance(event, Redacted):
            redacted[event.how] = redacted.get(event.how, 0) + 1
    assert recording.ending is not None
    return Copied(goal, recording.ending, redacted)


def copied_events(recording: Recording, masker: Masker, *, wrong: Collection[tuple[int, Dir]] = ()) -> Iterator[Event]:
    """The events of a copy, with totals and trailers that are true of it. Arguments as of `write_copy`."""
    redactor, sums = Redactor(masker), _Sums(wrong, recording.header.digest)
    for event in recording.events():
        sums.original(event)
        for kept in redactor.feed(event):
            yield sums.counted(kept)
    for kept in redactor.finish():
        yield sums.counted(kept)


def _header(header: Header, masker: Masker) -> Header:
    stream_id = None if header.stream_id is None else masker.text(header.stream_id)
    return header._replace(
        version=max(header.version, VERSION),
        stream_id=stream_id,
        upstream=masker.url(header.upstream),
        redacted=True,
    )


class _Sums:
    """The counts and digests of a copy, in place of those of the original."""

    def __init__(self, wrong: Collection[tuple[int, Dir]], digest: str) -> None:
        self._wrong = wrong
        self._digest = digest  # the name of the function
        self._wires: dict[tuple[int, Dir], tuple[Superseding, _Count]] = {}
        self._trailers = {C2S: new_digest(digest), S2C: new_digest(digest)}
        self._original_trailers = {C2S: new_digest(digest), S2C: new_digest(digest)}
        self._redacted = {C2S: 0, S2C: 0}
        self._more = 0  # events than the original has so far

    def original(self, event: Event) -> None:
        """The next event of the original."""
        self._more -= not isinstance(event, Trailer)
        if isinstance(event, Totals):
            self._original_trailers[C2S].update(event.c2s.digest.encode())
            self._original_trailers[S2C].update(event.s2c.digest.encode())

    def counted(self, event: Event) -> Event:
        """The event, counted; totals and trailers with what they are of the copy."""
        if isinstance(event, Trailer):
            return event._replace(
                events=min(event.events + self._more, LARGEST),
                c2s=self._in_trailer(C2S, event.c2s),
                s2c=self._in_trailer(S2C, event.s2c),
            )
        self._more += 1
        if isinstance(event, Totals):
            return event._replace(
                c2s=self._totals(event.conn, C2S, event.c2s), s2c=self._totals(event.conn, S2C, event.s2c)
            )
        dir: Dir | None = getattr(event, "dir", None)
        if dir is not None:
            conn: int = getattr(event, "conn", 0)
            wire, count = self._wires.setdefault((conn, dir), (Superseding(), _Count(self._digest)))
            count.redacted += isinstance(event, Redacted)
            for part in wire.wire_bytes(event):  # type: ignore[arg-type]
                count.digest.update(part)
        return event

    def _totals(self, conn: int, dir: Dir, before: DirTotals) -> DirTotals:
        wire, count = self._wires.pop((conn, dir), (Superseding(), _Count(self._digest)))
        count.digest.update(wire.rest())
        after = before
        if count.redacted:
            digest = "" if (conn, dir) in self._wrong else count.digest.hexdigest()
            after = before._replace(digest=digest, redacted=count.redacted)
        self._trailers[dir].update(after.digest.encode())
        self._redacted[dir] += count.redacted
        return after

    def _in_trailer(self, dir: Dir, before: DirTotals) -> DirTotals:
        if before.digest != self._original_trailers[dir].hexdigest():
            return before  # it was wrong in the original
        return before._replace(digest=self._trailers[dir].hexdigest(), redacted=self._redacted[dir])


class _Count:
    def __init__(self, digest: str) -> None:
        self.digest = new_digest(digest)
        self.redacted = 0
