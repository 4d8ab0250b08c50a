"""Files that a relay did not finish, or that lack their beginning: `trace` and `diagnose` handle each, and say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsproxy.analysis.diagnose import diagnose
from wsproxy.analysis.trace import trace
from wsproxy.recording.reader import Recording
from wsproxy.wire.events import C2S

from .stories import Story, no_marker, on_disk, words
from .test_causes import begun, passing, text


def torn(path: Path) -> Recording:
    """A relay killed in the middle of a write, in the middle of a stream."""
    recording = on_disk(path, passing(begun(), words(9)[:4]).events(no_marker, trailer=False))
    path.write_bytes(path.read_bytes()[:-7])
    return recording


def damaged(path: Path) -> Recording:
    """Something else stands at its end."""
    recording = on_disk(path, passing(begun(), words(9)[:4]).events(no_marker, trailer=False))
    path.write_bytes(path.read_bytes() + b"\xc1" * 40)
    return recording


def without_trailer(path: Path) -> Recording:
    """A relay killed after the stream was over."""
    return on_disk(path, text().events(trailer=False))


def without_start(path: Path) -> Recording:
    """A client that begins with a chunk."""
    story = Story().opens(0)
    for n, chunk in enumerate(words(4)):
        story.says(10 + n, C2S, {"type": "CHUNK", "data": chunk})
    return on_disk(path, story.client_closes(40).events(no_marker))


def nothing_said(path: Path) -> Recording:
    """A client that opens, says nothing and goes."""
    return on_disk(path, Story().opens(0).close(500, C2S).ends(501, C2S).events(no_marker))


def two_connections(path: Path) -> Recording:
    """A first try that the control plane refused, and a second that went well."""
    second = text()
    first = Story(conn=1).opens(-50, status=503)
    second.told = [*first.told, *second.told]
    return on_disk(path, second.events(no_marker))


CASES = {
    torn: ("unsure", "it is torn", "the recording is torn"),
    damaged: ("unsure", "the recording is damaged: its end cannot be read", "the recording is damaged"),
    without_trailer: ("fine", "the relay was killed while it recorded", "the recording is unfinished"),
    without_start: ("lost", "START", "chunks"),
    nothing_said: ("lost", "START", ""),
    two_connections: ("lost", "attempt 1 of 2", "attempt 2 of 2"),
}


@pytest.mark.parametrize("written", CASES, ids=lambda written: written.__name__)
def test_diagnose_and_trace_say_what_a_recording_lacks(written, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    verdict, diagnosed, traced = CASES[written]
    recording = written(tmp_path / "r.msgpack")
    result = diagnose(recording)
    assert (result.verdict, diagnosed in str(result)) == (verdict, True), str(result)
    picture = str(trace(recording))
    assert traced in picture, picture
