"""One upstream of one test: played from its cassette, recorded into it, or both.

Strategy: what there is decides at the beginning which it is. A tape says in words what is wrong, each thing once, and leaves it to the
fixture what becomes of the test. What was recorded is put on its shelf at the end, and only if the test was well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import SplitResult, urlunsplit

from ..errors import CannotStart, WsproxyError
from ..recording.events import Gap, Open
from ..recording.reader import Recording
from ..wire.events import Body, Opaque, Request
from . import words
from .player import Player
from .redaction import HoldsCredentials, copy, redacted_copy
from .relay import RelayChild
from .settings import Settings, fail
from .shelf import Shelf

_PLAIN = {"wss": "ws", "https": "http"}


class Tape:
    """Plays or records one upstream. Fails the test where it can do neither.

    Args:
        number: which of the test's upstreams it is, from 1.
        upstream: the real server's URL; its path is not looked at.
    """

    def __init__(self, settings: Settings, number: int, upstream: SplitResult) -> None:
        self._settings = settings
        self._upstream = urlunsplit((upstream.scheme, upstream.netloc.rpartition("@")[2], "", "", ""))
        self._shelf = Shelf(settings.folder, settings.name if number == 1 else f"{settings.name}+{number}")
        self._player: Player | None = None
        self._relay: RelayChild | None = None
        self._told = 0  # mismatches
        self._late: list[str] = []  # why what the cassette does not have could not be recorded
        self._unreachable: str | None = None
        try:
            self._kept = self._shelf.recordings()
        except OSError as error:
            fail(words.unusable(self._shelf.path, words.reason(error), settings))
        if settings.mode == "all" or not (self._kept or settings.mode == "none"):
            self._kept = []
            self._record()
        elif self._kept:
            self._play()
        else:
            fail(words.missing(self._shelf.path, self._upstream, settings))

    def url(self, real: SplitResult) -> str:
        """The URL to connect to in place of a real one."""
        source = self._player or self._relay
        assert source is not None
        credentials, at, _ = real.netloc.rpartition("@")
        netloc = f"{credentials}{at}127.0.0.1:{source.port}"
        return urlunsplit((_PLAIN.get(real.scheme, real.scheme), netloc, *real[2:]))

    def troubles(self) -> Iterator[str]:
        """What has gone wrong since the last call."""
        if self._player is not None:
            self._player.settle()
            new = self._player.mismatches[self._told :]
            self._told += len(new)
            if new:
                yield words.differs(self._shelf.path, new, self._settings)
        late, self._late = self._late, []
        yield from late
        yield from self.not_reached()

    def not_reached(self) -> Iterator[str]:
        """That the real server was not there, if that is new."""
        if self._relay is not None and self._unreachable is None:
            self._unreachable = _why_not_reached(self._relay.recordings())
            if self._unreachable is not None:
                yield words.unreachable(self._upstream, self._unreachable, self._shelf.path, self._settings)

    def notes(self) -> Iterator[str]:
        """What is worth knowing when the test has failed."""
        if self._player is not None:
            yield from self._player.notes
        if self._relay is not None and self._unreachable is None:
            yield words.not_kept(self._shelf.path, "the test did not pass", self._settings)

    def finish(self, *, passed: bool) -> Iterator[str]:
        """End everything, and keep what was recorded if all was well; what has gone wrong."""
        try:
            stopped = None
            if self._player is not None:
                self._player.close()
            if self._relay is not None:
                stopped = self._relay.stop()
            troubles = [*([stopped] if stopped else []), *self.troubles()]
            yield from troubles
            if passed and not troubles and not self._told and self._unreachable is None:
                yield from self._conclude()
        finally:
            if self._relay is not None:
                self._relay.discard()
                self._relay = None
                self._shelf.sweep()

    # --- playing -------------------------------------------------------------------------------------------------------

    def _play(self) -> None:
        for path in self._kept:
            why = _damage(path)
            if why is not None:
                fail(words.unusable(path, why, self._settings))
        otherwise = self._other_port if self._settings.mode == "new" else None
        try:
            self._player = Player(self._kept, self._settings, otherwise)
        except WsproxyError as error:
            fail(words.unusable(self._shelf.path, str(error), self._settings))

    async def _other_port(self) -> int:
        """The relay's port, for what the cassette does not have. In the player's thread. Raises OSError."""
        if self._relay is None:
            try:
                self._shelf.prepare()
                self._relay = await asyncio.to_thread(RelayChild, self._upstream)
            except OSError as error:
                self._late.append(words.not_writable(self._shelf.path, error, self._settings))
                raise
            except CannotStart as error:
                self._late.append(words.not_kept(self._shelf.path, str(error), self._settings))
                raise ConnectionAbortedError from None
        return self._relay.port

    # --- recording -----------------------------------------------------------------------------------------------------

    def _record(self) -> None:
        try:
            self._shelf.prepare()
        except OSError as error:
            fail(words.not_writable(self._shelf.path, error, self._settings))
        try:
            self._relay = RelayChild(self._upstream)
        except CannotStart as error:
            self._shelf.sweep()
            fail(words.not_kept(self._shelf.path, str(error), self._settings))

    def _conclude(self) -> Iterator[str]:
        """The test was well: keep what is new, and look at what was not played."""
        if self._relay is not None:
            yield from self._keep(self._relay.recordings())
        if self._settings.strict and self._player is not None and (rest := self._player.unplayed()):
            yield words.unplayed(self._shelf.path, rest, self._settings)

    def _keep(self, recorded: list[Path]) -> Iterator[str]:
        new = [path for path in recorded if any(isinstance(event, Request) for event in Recording(path).events())]
        if not new and not self._kept:
            yield words.not_kept(self._shelf.path, words.nothing_recorded(self._upstream), self._settings)
        for path in new:
            why = _loss(path)
            if why is not None:
                yield words.not_kept(self._shelf.path, why, self._settings)
                return
        if not new:
            return
        try:
            keep = redacted_copy if self._settings.redact else copy
            self._shelf.put([*((path, copy) for path in self._kept), *((path, keep) for path in new)])
        except HoldsCredentials as where:
            yield words.not_kept(self._shelf.path, words.holds_credentials(str(where)), self._settings)
        except OSError as error:
            yield words.not_writable(self._shelf.path, error, self._settings)


def _damage(path: Path) -> str | None:
    """Why a recording of a cassette is not to be played."""
    try:
        recording = Recording(path)
        for _ in recording.events():
            pass
    except WsproxyError as error:
        return str(error).removeprefix(f"{path}: ")
    ending = recording.ending
    if ending is None or ending.state == "finished":
        return None
    return f"{ending.state} at byte {ending.offset:,} ({ending.reason})"


def _loss(path: Path) -> str | None:
    """Why a new recording is not whole."""
    for event in Recording(path).events():
        if isinstance(event, Gap):
            return f"the recorder lost {event.events:,} events ({event.reason})"
        if isinstance(event, Body) and event.omitted:
            return f"{event.omitted:,} bytes of an HTTP body were not kept"
        if isinstance(event, Opaque):
            return f"what is neither HTTP nor WebSocket cannot be played ({event.reason or 'opaque bytes'})"
    return None if (why := _damage(path)) is None else f"the recording is {why}"


def _why_not_reached(paths: list[Path]) -> str | None:
    """Why the relay did not reach the real server, if it did not."""
    for path in paths:
        try:
            errors = (event.error for event in Recording(path).events() if isinstance(event, Open) and event.error)
            if (error := next(errors, None)) is not None:
                return error
        except WsproxyError:
            continue  # it has just been made, or just been discarded for another
    return None
