"""Frames that are cut and packed in one go, against the two steps that they replace."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsproxy.recording.frame_packer import FramePacker
from wsproxy.recording.whole_frames import WholeFramePacker
from wsproxy.wire.events import C2S
from wsproxy.wire.frames import FrameStream
from wsproxy.wire.masking import apply_mask

from ..wire.strategies import frame_bytes

BASE = 1_000
MASK = b"\x01\x02\x03\x04"


def frame(b0: int, payload: bytes, *, masked: bool, form: int | None = None) -> bytes:
    """A frame as it stands on the wire; `form` is how many bits its length takes, by default as few as do."""
    size = len(payload)
    form = form or (7 if size < 126 else 16 if size < 0x10000 else 64)
    bit = 0x80 if masked else 0
    length = bytes((bit | size,)) if form == 7 else bytes((bit | (126 if form == 16 else 127),))
    if form > 7:
        length += size.to_bytes(form // 8, "big")
    return bytes((b0,)) + length + (MASK + apply_mask(payload, MASK) if masked else payload)


def in_two_steps(data: bytes, t: int) -> bytes:
    """The msgpack of these bytes by `FrameStream.feed` and `FramePacker.pack`."""
    out: list[bytes] = []
    FramePacker(7, C2S, BASE).pack(FrameStream(7, C2S).feed(data, t), out)
    return b"".join(out)


def whole(data: bytes, t: int = BASE) -> tuple[int, int, bytes]:
    """Bytes and frames that `pack_whole` took, and their msgpack."""
    out: list[bytes] = []
    return *WholeFramePacker(7, C2S, BASE).pack_whole(data, t, out), b"".join(out)


def one(data: bytes, t: int = BASE) -> bytes | None:
    """What `pack_one` makes of these bytes."""
    return WholeFramePacker(7, C2S, BASE).pack_one(data, t)


@settings(max_examples=300, deadline=None)
@given(frame_bytes, st.integers(0), st.integers(0, 2**62))
def test_one_frame_alone_is_packed_as_among_others_and_anything_else_is_not_taken(
    data: bytes, cut: int, t: int
) -> None:
    data = data[: cut % (len(data) + 1)] if cut % 3 else data  # whole ones are to come often
    if len(data) > 1:
        taken, frames, packed = whole(data, t)
        assert one(data, t) == (packed if (taken, frames) == (len(data), 1) else None)


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=2, max_size=300))
def test_any_bytes_at_all_are_one_frame_only_where_two_steps_say_so(data: bytes) -> None:
    taken, frames, packed = whole(data)
    assert one(data) == (packed if (taken, frames) == (len(data), 1) else None)


@settings(max_examples=300, deadline=None)
@given(frame_bytes, st.integers(0), st.integers(0, 2**62))
def test_what_it_takes_is_packed_as_in_two_steps_and_ends_between_frames(data: bytes, cut: int, t: int) -> None:
    data = data[: cut % (len(data) + 1)]
    taken, frames, packed = whole(data, t)
    assert packed == in_two_steps(data[:taken], t)
    stream = FrameStream(7, C2S)
    stream.feed(data[:taken], t)
    assert stream.frames == frames
    assert stream.between


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_taken_as_far_as_two_steps_agree(data: bytes) -> None:
    taken, _, packed = whole(data)
    assert packed == in_two_steps(data[:taken], BASE)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 255, 256, 65_535])
def test_ordinary_frames_of_every_length_are_taken_whole(size: int, masked: bool) -> None:
    data = frame(0x81, bytes(size), masked=masked) + frame(0x02, b"next", masked=masked)
    assert whole(data) == (len(data), 2, in_two_steps(data, BASE))
    alone = frame(0x81, bytes(size), masked=masked)
    assert one(alone) == in_two_steps(alone, BASE)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    "odd",
    [
        lambda masked: frame(0x88, b"\x03\xe8", masked=masked),
        lambda masked: frame(0x82, bytes(65_536), masked=masked),
        lambda masked: frame(0x82, bytes(3), masked=masked, form=16),
        lambda masked: frame(0x82, bytes(300), masked=masked, form=64),
        lambda masked: frame(0x82, bytes(300), masked=masked)[:-1],
        lambda masked: frame(0x82, bytes(3), masked=masked)[:-1],
        lambda masked: frame(0x82, bytes(300), masked=masked)[:3],
        lambda masked: frame(0x82, bytes(300), masked=masked)[:1],
    ],
    ids=[
        "close",
        "64 KiB",
        "16 bits for 3",
        "64 bits for 300",
        "not whole",
        "not whole, short",
        "half a length",
        "a byte",
    ],
)
def test_a_frame_that_is_no_matter_of_course_is_left(odd: object, masked: bool) -> None:
    first = frame(0x81, b"first", masked=masked)
    assert callable(odd)
    assert whole(first + odd(masked)) == (len(first), 1, in_two_steps(first, BASE))
    assert len(odd(masked)) < 2 or one(odd(masked)) is None
