"""The writer on a disk that is full: nothing torn stays, what is lost is counted, and writing resumes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wsproxy.recording.events import Gap
from wsproxy.recording.reader import Recording
from wsproxy.wire.events import Opaque

# Runs in a process of its own, since the limit is the process's: writes until the kernel refuses (EFBIG), then lifts the limit.
_PROGRAM = """
import json, resource, sys
from wsproxy.recording.events import Header
from wsproxy.recording.format import pack_event
from wsproxy.recording.writer import RecordingWriter
from wsproxy.wire.events import Opaque
path, durability, size, limit, each = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
trouble = []
writer = RecordingWriter(path, Header("s", 1, 0, "b", "r", "l", "u"), durability, lambda _, sentence: trouble.append(sentence))
def add(first, t):
    events = [Opaque(1, "c2s", number, bytes([number % 256]) * size) for number in range(first, first + each)]
    writer.write([pack_event(event, 0) for event in events], each, size * each, t)
    if durability == "batch":
        writer.flush(t)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
for n in range(20):
    add(n * each, n)
full = open(path, "rb").read() if limit > 300 else b""
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
add(20 * each, 20)                  # too early to try again: lost too
add(21 * each, 10 ** 9)             # tried, and written
add(22 * each, 10 ** 9 + 1)
writer.close(10 ** 9 + 2)
print(json.dumps({"trouble": trouble, "gaps": writer.gaps, "full": len(full)}))
"""


def run(path: Path, durability: str, size: int, limit: int, each: int) -> dict[str, Any]:
    arguments = [str(path), durability, str(size), str(limit), str(each)]
    done = subprocess.run([sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("durability", ["every", "batch", "sync"])
@pytest.mark.parametrize(
    ("size", "limit", "each"),
    [(100, 1_000, 1), (100, 1_000, 3), (9_000, 50_000, 5), (100, 50, 1), (40_000, 100_000, 2)],
)
def test_a_full_disk_is_a_gap_that_counts_what_it_swallowed(
    tmp_path: Path, durability: str, size: int, limit: int, each: int
) -> None:
    said = run(tmp_path / "r.msgpack", durability, size, limit, each)
    recording = Recording(tmp_path / "r.msgpack")
    events = list(recording.events())
    assert recording.ending is not None and (recording.ending.state, recording.ending.left) == ("unfinished", 0)
    (gap,) = (event for event in events if isinstance(event, Gap))
    kept = [event for event in events if isinstance(event, Opaque)]
    assert [event.raw for event in kept] == [bytes([event.t % 256]) * size for event in kept]
    assert gap.events + len(kept) == 23 * each
    assert gap.bytes == gap.events * size
    assert gap.reason == ("file too large" if limit > 300 else "no space for the header")
    at = events.index(gap)
    assert [event.t for event in kept[:at]] == list(range(at))
    assert [event.t for event in kept[at:]] == list(range(at + gap.events, 23 * each))
    assert said["gaps"] == 1
    assert len(said["trouble"]) == 2 and said["trouble"][1] is None


def test_while_the_disk_is_full_the_file_ends_with_a_whole_event(tmp_path: Path) -> None:
    """Torn bytes are cut off at once, not when writing resumes."""
    said = run(tmp_path / "r.msgpack", "every", 100, 1_000, 1)
    raw = (tmp_path / "r.msgpack").read_bytes()[: said["full"]]
    (tmp_path / "then.msgpack").write_bytes(raw)
    recording = Recording(tmp_path / "then.msgpack")
    assert list(recording.events())
    assert recording.ending is not None and recording.ending.state == "unfinished"
