"""Recordings from strangers: bombs cost what they weigh, versions are told apart, what is new is passed over."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import msgpack
import pytest

from wsproxy.errors import RecordingError
from wsproxy.recording.events import Unknown
from wsproxy.recording.format import FORMAT, Frame, pack_event, pack_header
from wsproxy.recording.reader import Recording
from wsproxy.wire.events import C2S

from .samples import HEADER

PLAIN = Frame(1, C2S, 1, 0x81, None, 2, 7, b"ok")
BOMBS = {
    "arrays 10,000 deep": b"\x91" * 10_000 + b"\xc0",
    "maps 10,000 deep": b"\x81\xa1a" * 10_000 + b"\xc0",
    "a bin of 4 GiB": b"\xc6\xff\xff\xff\xff" + b"x" * 50,
    "a bin of 1 GiB": b"\xc6\x40\x00\x00\x00",
    "a string of 4 GiB": b"\xdb\xff\xff\xff\xff" + b"x" * 50,
    "an array of 2^32": b"\xdd\xff\xff\xff\xff\xc0",
    "a map of 2^32": b"\xdf\xff\xff\xff\xff\xc0\xc0",
    "500 arrays of 100,000 in each other": b"\xdd\x00\x01\x86\xa0" * 500,
    "an extension": b"\xc7\x05\x10hello",
    "an extension of 4 GiB": b"\xc9\xff\xff\xff\xff\x10",
    "a timestamp": b"\xd6\xff\x00\x00\x00\x00",
    "a malformed timestamp": b"\xc7\x03\xffabc",
    "an impossible timestamp": b"\xd7\xff" + b"\xff" * 8,
    "maps as keys": b"\x81\x80\x01",
    "arrays as keys": b"\x81\x91\x01\x01",
    "numbers as keys": b"\x82\x01\x02\x03\x04",
    "nil": b"\xc0",
    "a number": b"\x07",
    "a kind that is no string": b"\x81\xa4kind\x07",
    "the byte that msgpack never uses": b"\xc1",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_the_recording_and_costs_little_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "r.msgpack"
    path.write_bytes(pack_header(HEADER) + pack_event(PLAIN, 0) + BOMBS[name] + pack_event(PLAIN, 0))
    tracemalloc.start()
    try:
        recording = Recording(path)
        events = list(recording.events())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert events == [PLAIN]
    assert recording.ending is not None and recording.ending.state in ("damaged", "torn")
    assert recording.ending.offset == len(pack_header(HEADER) + pack_event(PLAIN, 0))
    assert peak < 64 << 20


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_in_place_of_the_header_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "r.msgpack").write_bytes(BOMBS[name])
    with pytest.raises(RecordingError, match=r"r\.msgpack: "):
        Recording(tmp_path / "r.msgpack")


def header_map(**changes: Any) -> dict[str, Any]:
    return {"kind": "header", "format": FORMAT, **HEADER._asdict()} | changes


@pytest.mark.parametrize("version", [[3, 0], [4, 7], [2**63, 0]])
def test_a_newer_major_version_is_refused_and_the_message_says_what_to_do(tmp_path: Path, version: list[int]) -> None:
    (tmp_path / "r.msgpack").write_bytes(msgpack.packb(header_map(version=version)))
    with pytest.raises(RecordingError, match=rf"format version {version[0]}.{version[1]}.*upgrade"):
        Recording(tmp_path / "r.msgpack")


def test_a_newer_minor_version_with_new_kinds_and_keys_is_read(tmp_path: Path) -> None:
    frame = msgpack.unpackb(pack_event(PLAIN, 0)) | {"color": "red", "nested": {"a": [1]}}
    new = {"kind": "hologram", "t": 3, "depth": 4}
    raw = msgpack.packb(header_map(version=[2, 9], weather="fine")) + msgpack.packb(frame) + msgpack.packb(new)
    (tmp_path / "r.msgpack").write_bytes(raw)
    recording = Recording(tmp_path / "r.msgpack")
    assert list(recording.events()) == [PLAIN, Unknown("hologram", new)]
    assert recording.header.version == (2, 9)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": None},
        {"version": [1]},
        {"version": ["1", 0]},
        {"format": "other"},
        {"kind": "frame"},
        {"stream_id": 7},
        {"relay": b"x"},
        {"digest": 7},
        {"digest": "md5"},
    ],
)
def test_a_header_that_is_not_ours_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    (tmp_path / "r.msgpack").write_bytes(msgpack.packb(header_map(**changes)))
    with pytest.raises(RecordingError):
        Recording(tmp_path / "r.msgpack")


def test_a_header_without_a_field_is_refused(tmp_path: Path) -> None:
    m = header_map()
    del m["relay"]
    (tmp_path / "r.msgpack").write_bytes(msgpack.packb(m))
    with pytest.raises(RecordingError):
        Recording(tmp_path / "r.msgpack")


_WRITE_AND_READ = """
import resource, sys
from wsproxy.recording.events import Header
from wsproxy.recording.format import Frame, pack_header
from wsproxy.recording.frame_packer import FramePacker
from wsproxy.recording.reader import Recording
path, megabytes, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
if what == "write":
    with open(path, "wb") as file:
        file.write(pack_header(Header("s", 1, 0, "b", "r", "l", "u")))
        packer, out = FramePacker(1, "c2s", 0), []
        packer.pack([Frame(1, "c2s", n, 0x82, b"abcd", 2000, 16, bytes(2000)) for n in range(500)], out)
        million = b"".join(out)
        for _ in range(megabytes):
            file.write(million)
else:
    frames = size = 0
    for frame in Recording(path).frames():
        frames, size = frames + 1, size + len(frame.payload)
    assert (frames, size) == (500 * megabytes, megabytes * 1_000_000)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_reading_300_mb_needs_hardly_more_memory_than_reading_3_mb(tmp_path: Path) -> None:
    def peak(megabytes: int) -> int:
        arguments = [sys.executable, "-c", _WRITE_AND_READ, str(tmp_path / f"{megabytes}.msgpack"), str(megabytes)]
        subprocess.run([*arguments, "write"], check=True)
        return int(subprocess.run([*arguments, "read"], check=True, capture_output=True, text=True).stdout)

    try:
        assert peak(300) < 1.5 * peak(3)
    finally:
        (tmp_path / "300.msgpack").unlink(missing_ok=True)
