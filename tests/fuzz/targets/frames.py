"""The relay's hot path, in Python and in C: frames that are cut and packed in one go are the msgpack that the two steps make, whatever is read.

The input is a script: a byte says how long the next read is (and bit 0 that 40 times as much follows), up to the end.
"""

from __future__ import annotations

from wsproxy.recording.frame_packer import FramePacker
from wsproxy.recording.whole_frames import WholeFramePacker
from wsproxy.relay import quick
from wsproxy.wire.events import C2S, OP_CLOSE, Frame, Part, WireEvent
from wsproxy.wire.frames import FrameStream

TOKENS = [
    *(b"\x81\x85\x01\x02\x03\x04hello", b"\x81\x05hello", b"\x81\x7e\x00\x80", b"\x81\xfe\x00\x80\x01\x02\x03\x04"),
    *(b"\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00", b"\x88\x02\x03\xe8", b"\x88\x82\x00\x00\x00\x00\x03\xe8", b"\x89\x00"),
    *(b"\x8a\x80\x00\x00\x00\x00", b"\x01\x03abc", b"\x80\x03def", b"\xc1\x07abcdefg"),
]  # fmt: skip


def check(data: bytes) -> None:
    packer, cut = WholeFramePacker(1, C2S, 0), FrameStream(1, C2S)
    plain_packer, plain_cut = FramePacker(1, C2S, 0), FrameStream(1, C2S)
    c_cut = FrameStream(1, C2S)
    at = t = 0
    while at < len(data):
        head, at, t = data[at], at + 1, t + 1
        part = data[at : at + (head >> 1) + 1] * (40 if head & 1 else 1)
        at += (head >> 1) + 1
        if part:
            expected: list[bytes] = []
            before = plain_cut.pending
            events = plain_cut.feed(part, t)
            plain_packer.pack(events, expected)
            if quick.NATIVE:
                in_c = quick.native.pack(part, c_cut, packer._start, t)
                if not before and _are_ordinary(events):
                    assert in_c == (len(events), b"".join(expected))
                else:
                    assert in_c == (0, b""), "C takes ordinary frames and parts of them, and no others"
                    c_cut.feed(part, t)
                assert _state(c_cut) == _state(plain_cut)
            assert _packed(packer, cut, part, t) == b"".join(expected)
            assert _state(cut) == _state(plain_cut)
            assert packer.close == plain_packer.close


def _are_ordinary(events: list[WireEvent]) -> bool:
    """Whether these are frames and parts, and no frame is a close or written in more bytes than its length needs."""
    return all(
        type(event) is Part
        or (
            type(event) is Frame
            and event.opcode != OP_CLOSE
            and event.form == (7 if event.length < 126 else 16 if event.length < 65536 else 64)
        )
        for event in events
    )


def _state(cut: FrameStream) -> tuple[object, ...]:
    mask = cut._mask if cut._offset < cut._length else None
    return cut.frames, cut.between, cut.pending, cut._length, cut._offset, mask


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
