"""The relay's hot path, in Python and in C: frames that are cut and packed in one go are the msgpack that the two steps make, whatever is read.

The input is a script: a byte says how long the next read is (and bit 0 that 40 times as much follows), up to the end.
"""

from __future__ import annotations

from wsproxy.recording.frame_packer import FramePacker
from wsproxy.recording.whole_frames import WholeFramePacker
from wsproxy.relay import quick
from wsproxy.wire.events import C2S
from wsproxy.wire.frames import FrameStream

TOKENS = [
    *(b"\x81\x85\x01\x02\x03\x04hello", b"\x81\x05hello", b"\x81\x7e\x00\x80", b"\x81\xfe\x00\x80\x01\x02\x03\x04"),
    *(b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00", b"\x88\x02\x03\xe8", b"\x88\x82\x00\x00\x00\x00\x03\xe8", b"\x89\x00"),
    *(b"\x8a\x80\x00\x00\x00\x00", b"\x01\x03abc", b"\x80\x03def", b"\xc1\x07abcdefg"),
]  # fmt: skip


def check(data: bytes) -> None:
    packer, cut = WholeFramePacker(1, C2S, 0), FrameStream(1, C2S)
    plain_packer, plain_cut = FramePacker(1, C2S, 0), FrameStream(1, C2S)
    at = t = 0
    while at < len(data):
        head, at, t = data[at], at + 1, t + 1
        part = data[at : at + (head >> 1) + 1] * (40 if head & 1 else 1)
        at += (head >> 1) + 1
        if part:
            expected: list[bytes] = []
            was_between, frames = plain_cut.between, plain_cut.frames
            plain_packer.pack(plain_cut.feed(part, t), expected)
            if quick.NATIVE and was_between:
                in_c = quick.native.pack(part, packer._start, t)
                ordinary = (plain_cut.frames - frames, b"".join(expected))
                assert in_c == (ordinary if _is_ordinary(part) else (0, b"")), (
                    "C takes whole, ordinary frames, and no others"
                )
            assert _packed(packer, cut, part, t) == b"".join(expected)
            assert (cut.frames, cut.between, cut.pending) == (plain_cut.frames, plain_cut.between, plain_cut.pending)
            assert packer.close == plain_packer.close


def _is_ordinary(data: bytes) -> bool:
    """Whether this is whole frames, and none is a close, long, or written in more bytes than its length needs."""
    return WholeFramePacker(1, C2S, 0).pack_whole(data, 0, [])[0] == len(data)


def _packed(packer: WholeFramePacker, cut: FrameStream, data: bytes, t: int) -> bytes:
    """What `Track.feed` hands to the writer."""
    one = packer.pack_one(data, t) if cut.between and len(data) > 1 else None
    if one is not None:
        cut.frames += 1
        return one
    out: list[bytes] = []
    taken = 0
    if cut.between:
        taken, count = packer.pack_whole(data, t, out)
        cut.frames += count
    if taken < len(data):
        packer.pack(cut.feed(data[taken:], t), out)
    return b"".join(out)
