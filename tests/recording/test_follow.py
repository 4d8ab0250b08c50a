"""Reading a recording while a real process writes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from wsproxy.recording.format import pack_event
from wsproxy.recording.reader import Recording
from wsproxy.recording.writer import RecordingWriter
from wsproxy.wire.events import Opaque

from .samples import HEADER

_WRITER = """
import sys
from wsproxy.recording.events import DirTotals, Header, Trailer
from wsproxy.recording.format import pack_event
from wsproxy.recording.writer import RecordingWriter
from wsproxy.wire.events import Opaque
writer = RecordingWriter(sys.argv[1], Header("s", 1, 0, "b", "r", "l", "u"), "every", lambda *_: None)
number = 0
for line in sys.stdin:                       # one word: how many events to write now, "end" or "die"
    if line.startswith("end"):
        total = DirTotals(0, 0, "")
        writer.write([pack_event(Trailer(number, number, 0, 0, 0, total, total), 0)], 1, 0, number)
        writer.close(number)
        break
    for _ in range(int(line)):
        number += 1
        writer.write([pack_event(Opaque(1, "c2s", number, b"x" * (number % 5000)), 0)], 1, 1, number)
    print(number, flush=True)
"""


class Scribe:
    """A process that writes a recording on demand."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        if word.isdigit():
            self._process.stdout.readline()

    def wait(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def kill(self) -> None:
        self._process.kill()
        self.wait()


def test_a_growing_recording_is_followed_to_its_trailer(tmp_path: Path) -> None:
    path = tmp_path / "r.msgpack"
    scribe = Scribe(path)
    scribe.tell("1")
    recording = Recording(path)
    seen: list[int] = []
    for event in recording.events(follow=lambda: True):
        if isinstance(event, Opaque):
            seen.append(event.t)
            if event.t in (1, 100):
                scribe.tell("99" if event.t == 1 else "900")
            elif event.t == 1_000:
                scribe.tell("end")
    scribe.wait()
    assert seen == list(range(1, 1_001))
    assert recording.ending is not None and recording.ending.state == "finished"


def test_following_stops_when_it_is_told_to_and_says_that_a_relay_is_writing(tmp_path: Path) -> None:
    path = tmp_path / "r.msgpack"
    scribe = Scribe(path)
    scribe.tell("3")
    recording = Recording(path)
    try:
        assert recording.is_open()
        assert len(list(recording.events(follow=lambda: False))) == 3
        assert recording.ending is not None and recording.ending.state == "open"
    finally:
        scribe.kill()


def test_following_ends_when_the_writer_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "r.msgpack"
    scribe = Scribe(path)
    scribe.tell("3")
    recording = Recording(path)
    for number, _ in enumerate(recording.events(follow=lambda: True), 1):
        if number == 3:
            scribe.kill()
    assert recording.ending is not None and recording.ending.state == "unfinished"
    assert not recording.is_open()


def test_what_is_written_while_the_end_is_waited_at_is_read(tmp_path: Path) -> None:
    writer = RecordingWriter(str(tmp_path / "r.msgpack"), HEADER, "every", lambda *_: None)
    to_come = [2, 3]

    def add(t: int) -> None:
        writer.write([pack_event(Opaque(1, "c2s", t, b"x"), 0)], 1, 1, t)

    def follow() -> bool:
        """Asked at the end of what there is."""
        if to_come:
            add(to_come.pop(0))
            return True
        return False

    add(1)
    recording = Recording(tmp_path / "r.msgpack")
    assert [event.t for event in recording.events(follow=follow) if isinstance(event, Opaque)] == [1, 2, 3]
    assert recording.ending is not None and recording.ending.state == "open"
    writer.close(4)
