"""Frames, against the sans-I/O frames of `websockets`, and the shapes that no library writes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import Frame as Oracle
from websockets.streams import StreamReader

from wsproxy.wire.events import C2S, Frame, Opaque, Part, Piece, WireEvent, rebuild
from wsproxy.wire.frames import FrameStream

from .conversation import Wire
from .strategies import cuts, serialized_frames

few = settings(max_examples=120, deadline=None)


def feed(data: list[bytes]) -> list[WireEvent]:
    """The events of these reads; after each of them they rebuild to all that was fed."""
    stream, wire = FrameStream(1, C2S), Wire()
    events: list[WireEvent] = []
    for t, part in enumerate(data):
        wire.fed += part
        new = stream.feed(part, t)
        wire.saw(new)
        wire.check()
        events += new
    return events


def joined(events: list[WireEvent]) -> list[Frame]:
    """Frames with their parts put back in place by their offsets."""
    out: list[Frame] = []
    for event in events:
        if isinstance(event, Frame):
            out.append(event)
        elif isinstance(event, Part):
            assert event.offset == len(out[-1].payload)
            out[-1] = out[-1]._replace(payload=out[-1].payload + event.payload)
    return out


def oracle(data: bytes, *, mask: bool) -> Oracle:
    """What `websockets` reads from the bytes of one frame."""
    reader = StreamReader()
    reader.feed_data(data)
    read_exact: Callable[[int], Generator[None, None, bytes]] = reader.read_exact
    parser = Oracle.parse(read_exact, mask=mask)
    try:
        next(parser)
    except StopIteration as result:
        found: Any = result.value
        return found
    raise AssertionError("the oracle wants more")


@few
@given(st.data())
def test_frames_agree_with_websockets_however_they_are_split(data: st.DataObject) -> None:
    mask = data.draw(st.booleans())
    written = data.draw(st.lists(serialized_frames(mask=mask), min_size=1, max_size=5))
    events = joined(feed(data.draw(cuts(b"".join(raw for _, raw, _ in written)))))
    assert len(events) == len(written)
    for event, (frame, raw, rsv) in zip(events, written, strict=True):
        read = oracle(
            bytes([raw[0] & 0x8F]) + raw[1:], mask=mask
        )  # it refuses reserved bits, which are no affair of ours
        assert (event.opcode, event.payload, event.fin) == (frame.opcode, frame.data, frame.fin)
        assert (event.opcode, event.payload, event.fin) == (read.opcode, bytes(read.data), read.fin)
        assert event.rsv == rsv
        assert (event.mask is not None) == mask


@few
@given(st.data())
def test_any_bytes_at_all_have_a_reading_as_frames(data: st.DataObject) -> None:
    raw = data.draw(st.binary(max_size=400))
    events = feed(data.draw(cuts(raw)))
    assert rebuild(events) == raw


@few
@given(st.binary(min_size=1, max_size=200))
def test_a_frame_stream_fed_byte_by_byte_says_the_same_as_at_once(raw: bytes) -> None:
    split, whole = feed([bytes([byte]) for byte in raw]), feed([raw])
    assert [frame._replace(t=0) for frame in joined(split)] == [frame._replace(t=0) for frame in joined(whole)]


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**63 - 1, 2**40])
@pytest.mark.parametrize("mask", [b"", b"abcd"])
def test_a_header_that_announces_exabytes_costs_its_own_bytes(length: int, mask: bytes) -> None:
    header = b"\x82" + (b"\xff" if mask else b"\x7f") + length.to_bytes(8, "big") + mask
    stream = FrameStream(1, C2S)
    tracemalloc.start()
    try:
        events = stream.feed(header + b"some payload", 0) + stream.feed(b"x" * 1000, 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [type(event) for event in events] == [Frame, Part]
    assert isinstance(events[0], Frame) and events[0].length == length
    assert rebuild(events) == header + b"some payload" + b"x" * 1000
    assert peak < 20_000


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535])
@pytest.mark.parametrize("form", [16, 64])
def test_a_length_in_a_longer_form_than_needed_is_kept_as_it_was(size: int, form: int) -> None:
    head = b"\x82\x7e" + size.to_bytes(2, "big") if form == 16 else b"\x82\x7f" + size.to_bytes(8, "big")
    events = feed([head + b"p" * size])
    assert isinstance(events[0], Frame)
    assert (events[0].form, events[0].length) == (form, size)
    assert rebuild(events) == head + b"p" * size


@pytest.mark.parametrize("b0", range(256))
def test_every_first_byte_is_recorded_with_its_reserved_bits_and_opcode(b0: int) -> None:
    (event,) = feed([bytes([b0, 1]) + b"!"])
    assert isinstance(event, Frame)
    assert (event.b0, event.payload) == (b0, b"!")
    assert (event.fin, event.rsv, event.opcode) == (b0 >= 128, b0 >> 4 & 7, b0 & 15)


@pytest.mark.parametrize("first", range(9))
@pytest.mark.parametrize("second", range(1, 6))
def test_a_masked_payload_in_parts_is_unmasked_at_every_offset(first: int, second: int) -> None:
    raw = Oracle(2, b"twenty-two bytes here.").serialize(mask=True)
    start = len(raw) - 22 + first
    events = feed([raw[:start], raw[start : start + second], raw[start + second :]])
    assert joined(events)[0].payload == b"twenty-two bytes here."


@pytest.mark.parametrize("cut", range(1, 14))
def test_half_a_header_is_a_piece_and_at_the_end_it_is_opaque(cut: int) -> None:
    header = b"\x82\xff" + (300_000).to_bytes(8, "big") + b"mask"
    stream = FrameStream(1, C2S)
    events = stream.feed(header[:cut], 0)
    assert [type(event) for event in events] == [Piece]
    left = stream.finish(1)
    assert [type(event) for event in left] == [Opaque]
    assert rebuild(events + left) == header[:cut]
