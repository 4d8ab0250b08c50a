"""Recordings that are made by hand: from events, or from a sample with something changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import wsproxy
from wsproxy.recording.events import Event, Header
from wsproxy.recording.format import pack_event, pack_header
from wsproxy.wire.events import C2S, S2C, Dir
from wsproxy.wire.tap import Tap

HEADER = Header("s1", 1_700_000_000_000_000_000, 0, "boot", "wsproxy", "127.0.0.1:1", "ws://h:2")
MS = 1_000_000


def write(path: Path, events: Iterable[Event], header: Header = HEADER) -> wsproxy.Recording:
    """A recording of these events."""
    path.write_bytes(pack_header(header._replace(start_mono_ns=0)) + b"".join(pack_event(event, 0) for event in events))
    return wsproxy.open(path)


def changed(path: Path, recording: wsproxy.Recording, change: Callable[[Event], Event | None]) -> wsproxy.Recording:
    """A copy of a recording with each event changed, or left out."""
    events = [after for event in recording.events() if (after := change(event)) is not None]
    return write(path, events, recording.header)


def spoken(
    path: Path, words: Iterable[tuple[Dir, bytes] | tuple[Dir, str]], header: Header = HEADER
) -> wsproxy.Recording:
    """A recording of what was said on one connection, a millisecond apart; a string is how a direction ended."""
    tap = Tap(1)
    events: list[Event] = []
    for n, (dir, what) in enumerate(words, 1):
        direction = tap.direction(dir)
        events += direction.feed(what, n * MS) if isinstance(what, bytes) else direction.finish(what, n * MS)
    return write(path, events, header)


CLIENT, SERVER = C2S, S2C
