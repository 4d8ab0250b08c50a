"""The reader: any bytes are a recording or none; what ends one is told, never raised."""

from __future__ import annotations

from wsproxy.analysis import exactness
from wsproxy.analysis.outcome import outcome
from wsproxy.errors import RecordingError
from wsproxy.recording.format import pack_event
from wsproxy.recording.reader import Recording
from wsproxy.render.exactness import verdict_lines
from wsproxy.render.listing import listing_line
from wsproxy.secrets.copy import copied_events
from wsproxy.secrets.masking import Masker
from wsproxy.wire.events import C2S, S2C

from .files import TOKENS, MemoryFile, assert_plain

__all__ = ["TOKENS", "check"]
_file = MemoryFile()


def check(data: bytes) -> None:
    try:
        recording = Recording(_file.filled(data))
    except RecordingError:
        return
    events = list(recording.events())
    ending = recording.ending
    assert ending is not None
    assert ending.offset + ending.left == len(data)
    assert (ending.left == 0) == (ending.state in ("finished", "unfinished"))
    for event in events:
        pack_event(event, 0)
    for event in copied_events(recording, Masker(numbered=True)):
        pack_event(event, 0)
    for _ in recording.frames():
        pass
    for dir in (C2S, S2C):
        for _ in recording.wire(dir):
            pass
    list(recording.markers())
    list(recording.messages(limit=1 << 20))
    assert_plain(verdict_lines("r", exactness.check(events), ending))
    assert_plain(
        [listing_line(recording.header.stream_id or "", recording.header.start_wall_ns, outcome(events), ending, 80)]
    )
