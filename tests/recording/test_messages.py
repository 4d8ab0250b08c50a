"""Frames to messages: fragments, control frames between them, gaps, lost contexts, limits; and the view of a person."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame as Oracle
from websockets.frames import Opcode

from wsproxy.recording.events import Event, Gap
from wsproxy.recording.messages import Assembler, Message
from wsproxy.recording.view import WINDOW_BYTES, HttpBody, Item, in_time_order, items
from wsproxy.wire.events import C2S, S2C, Body, End, Frame, Opaque, Part, Piece, Redacted, Request, Response
from wsproxy.wire.frames import FrameStream

from .samples import NAMES, capture

DEFLATE = b"HTTP/1.1 101 S\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"


def frame(b0: int, payload: bytes, t: int = 0) -> Frame:
    return Frame(1, C2S, t, b0, None, len(payload), 7, payload)


def assemble(events: list[Event], limit: int = 1 << 20) -> list[Message]:
    assembler = Assembler(limit)
    return [m for n, event in enumerate(events, 1) for m in assembler.feed(n, event)] + assembler.finish()


def test_fragments_are_joined_and_a_ping_between_them_comes_first() -> None:
    ping, text = assemble([frame(0x01, b"Hel", 1), frame(0x89, b"?", 2), frame(0x00, b"l", 3), frame(0x80, b"o", 4)])
    assert (ping.opcode, ping.data, ping.number) == (9, b"?", 2)
    assert (text.opcode, text.data, text.frames, text.t, text.t_end, text.number) == (1, b"Hello", 3, 1, 4, 1)
    assert text.error is None


def test_parts_of_a_frame_are_joined() -> None:
    events: list[Event] = [
        Frame(1, C2S, 1, 0x82, b"mask", 6, 7, b"ab"),
        Part(1, C2S, 2, 2, b"cd"),
        Part(1, C2S, 3, 4, b"ef"),
    ]
    assert [(m.data, m.error) for m in assemble(events)] == [(b"abcdef", None)]


@pytest.mark.parametrize(
    ("events", "error"),
    [
        ([frame(0x01, b"a")], "the recording ends inside it"),
        ([frame(0x01, b"a"), End(1, C2S, 1, "reset")], "the connection ended inside it"),
        ([frame(0x01, b"a"), frame(0x81, b"b")], "a new message started before its last frame"),
        ([frame(0x01, b"a"), Gap(1, 2, 3, 40, "full"), frame(0x81, b"b")], "the recorder lost its end"),
        ([frame(0x80, b"a")], "a continuation of nothing"),
    ],
)
def test_what_is_incomplete_is_a_message_with_an_error(events: list[Event], error: str) -> None:
    assert error in str(assemble(events)[0].error)


def test_a_message_over_the_limit_is_cut_and_says_so() -> None:
    (message,) = assemble([frame(0x02, b"x" * 60), frame(0x80, b"y" * 60)], limit=100)
    assert (len(message.data), message.wire) == (100, 120)
    assert "longer than 100 bytes" in str(message.error)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=200), st.integers(1, 3)), min_size=1, max_size=5), st.integers(1, 50))
def test_whatever_websockets_fragments_and_deflates_is_read_again(said: list[tuple[bytes, int]], step: int) -> None:
    extension = PerMessageDeflate(False, False, 15, 15)
    raw = b""
    for data, count in said:
        size = len(data) // count + 1
        for n in range(count):
            opcode = Opcode.CONT if n else Opcode.BINARY
            piece = Oracle(opcode, data[n * size : (n + 1) * size], fin=n == count - 1)
            raw += piece.serialize(mask=True, extensions=[extension])
    stream = FrameStream(1, C2S)
    events: list[Event] = [Response(1, S2C, 0, 1, 101, "S", DEFLATE)]
    for at in range(0, len(raw), step):
        events += stream.feed(raw[at : at + step], at)
    assert [(m.data, m.compressed, m.frames, m.error) for m in assemble(events)] == [
        (d, True, n, None) for d, n in said
    ]


def test_after_a_gap_a_kept_window_is_lost_and_says_why() -> None:
    extension = PerMessageDeflate(False, False, 15, 15)
    one, two = (bytes(extension.encode(Oracle(Opcode.TEXT, b"same same")).data) for _ in range(2))
    events: list[Event] = [
        Response(1, S2C, 0, 1, 101, "S", DEFLATE),
        frame(0xC1, one),
        Gap(1, 2, 1, 9, "full"),
        frame(0xC1, two),
    ]
    first, second = assemble(events)
    assert (first.data, first.error) == (b"same same", None)
    assert "the recorder lost 9 bytes" in str(second.error)


def test_bodies_are_joined_and_freed_of_their_chunks() -> None:
    head = Response(1, S2C, 1, 1, 200, "OK", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    raws = [b"5\r\nhel", b"lo\r\n", b"0\r\n\r\n"]
    events: list[Event] = [head, *[Body(1, S2C, n, 1, raw, n == 4) for n, raw in enumerate(raws, 2)]]
    ((_, _), (number, body)) = items(events)
    assert isinstance(body, HttpBody)
    assert (number, body.data, body.complete, body.t, body.t_end) == (2, b"hello", True, 2, 4)


@given(st.lists(st.integers(0, 1_000), max_size=100))
def test_items_come_in_the_order_of_time_and_equal_times_keep_theirs(times: list[int]) -> None:
    numbered = [(n, frame(0x81, b"", t)) for n, t in enumerate(times)]
    assert list(in_time_order(iter(numbered))) == sorted(numbered, key=lambda pair: pair[1].t)


def test_messages_that_are_sorted_are_held_within_a_bound_of_bytes() -> None:
    taken = 0

    def numbered() -> Iterator[Item]:
        nonlocal taken
        for n in range(1, 41):
            taken = n
            yield n, Message(n, 1, C2S, n, n, 1, bytes(8 << 20), False, 1, 9)

    for count, (number, _) in enumerate(in_time_order(numbered()), 1):
        assert number == count
        assert (taken - count) * (8 << 20) <= WINDOW_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_the_captures_of_the_real_pipeline_are_read_as_its_messages(name: str) -> None:
    messages = [item for _, item in items(capture(name)) if isinstance(item, Message)]
    types = [m.json["type"] for m in messages if m.opcode == 1]
    assert types[0] == "START" and "CHUNK" in types and set(types) <= {"START", "CHUNK", "END", "ERROR"}
    assert not [m.error for m in messages if m.error]
    assert {m.close_code for m in messages if m.opcode == 8} == {1000}


def test_a_message_tells_what_it_holds_as_text_as_json_and_as_a_close() -> None:
    said = [
        (0x81, b'{"a": 1}'),
        (0x82, b"\xff{"),
        (0x81, b"[" * 100_000),
        (0x88, b"\x03\xe8bye"),
        (0x88, b""),
        (0x89, b"?"),
    ]
    text, binary, deep, close, empty, ping = assemble([frame(b0, data)._replace(length=len(data)) for b0, data in said])
    assert (text.text, text.json) == ('{"a": 1}', {"a": 1})
    assert (binary.text, binary.json, deep.json) == ("\ufffd{", None, None)
    assert (close.close_code, close.close_reason) == (1000, "bye")
    assert (empty.close_code, empty.close_reason) == (1005, "")
    assert (text.close_code, ping.close_code, ping.close_reason) == (None, None, "")
    assert [message.is_control for message in (text, binary, close, ping)] == [False, False, True, True]


def test_a_message_that_was_redacted_has_the_figures_of_what_went_by() -> None:
    events: list[Event] = [
        Redacted(1, C2S, 5, "decoded", 30, 2, 22, 4),
        *(frame(0x01, b"in two", 7), frame(0x89, b"?", 8), frame(0x80, b" frames", 9)),
        Redacted(1, C2S, 11, "withheld", 9, 1, 7, 0),
        frame(0x82, b"", 12),
    ]
    ping, decoded, withheld = assemble(events)
    assert (ping.redacted, ping.wire, ping.t) == (None, 1, 8)
    assert (decoded.data, decoded.redacted, decoded.t, decoded.t_end) == (b"in two frames", "decoded", 5, 9)
    assert (decoded.wire, decoded.frames, decoded.compressed, decoded.error) == (22, 2, True, None)
    assert (withheld.wire, withheld.frames, withheld.redacted) == (7, 1, "withheld")
    assert str(withheld.error).endswith("could not be masked: withheld")


def test_a_frame_whose_end_is_missing_is_given_up_when_the_next_begins() -> None:
    torn, whole = assemble([Frame(1, C2S, 1, 0x82, None, 10, 7, b"abcd"), frame(0x81, b"next")])
    assert (torn.data, torn.error) == (b"abcd", "incomplete: its end is missing")
    assert (whole.data, whole.error) == (b"next", None)


def test_a_gap_that_lost_no_bytes_breaks_no_message() -> None:
    (message,) = assemble([frame(0x01, b"a"), Gap(1, 2, 3, 0, "full"), frame(0x80, b"b")])
    assert (message.data, message.error) == (b"ab", None)


def test_a_101_that_agrees_on_no_compression_leaves_reserved_bits_alone() -> None:
    plain = b"HTTP/1.1 101 S\r\n\r\n"
    (message,) = assemble([Response(1, S2C, 0, 1, 101, "S", plain), frame(0xC1, b"as it is")])
    assert (message.data, message.compressed) == (b"as it is", False)


@pytest.mark.parametrize(
    ("first", "says"),
    [
        ([frame(0x41, b"x" * 60), frame(0x80, b"y" * 60)], "too long to be inflated"),
        ([frame(0x41, b"x")], "an earlier message is incomplete"),
    ],
)
def test_a_compressed_message_that_is_not_read_takes_the_window_of_later_ones_with_it(
    first: list[Event], says: str
) -> None:
    events: list[Event] = [Response(1, S2C, 0, 1, 101, "S", DEFLATE), *first, frame(0xC1, b"z")]
    lost, later = assemble(events, limit=100)
    assert lost.compressed and lost.error is not None
    assert says in str(later.error)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_compressed_body_is_read_and_one_that_is_broken_is_left_as_it_is(coding: str) -> None:
    packed = gzip.compress(b"hello" * 100) if coding == "gzip" else zlib.compress(b"hello" * 100)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n\r\n".encode()
    for raw, data in ((packed, b"hello" * 100), (b"no " + packed, b"no " + packed)):
        events: list[Event] = [Response(1, S2C, 1, 1, 200, "OK", head), Body(1, S2C, 2, 1, raw, True)]
        (_, (_, body)) = items(events)
        assert isinstance(body, HttpBody) and body.data == data


def test_a_body_beyond_the_limit_is_counted_and_no_longer_kept() -> None:
    events: list[Event] = [Body(1, S2C, n, 1, b"x" * 60, n == 3) for n in range(4)]
    ((_, body),) = items(events, limit=100)
    assert isinstance(body, HttpBody) and (len(body.data), body.wire, body.complete) == (60, 240, True)


def test_what_is_withheld_or_shown_frame_by_frame_is_told_by_an_item_of_its_own() -> None:
    withheld = Redacted(1, C2S, 1, "withheld", 40)
    head = Request(1, C2S, 2, 1, "GET", "/", b"")
    assert list(items([withheld, head])) == [(1, withheld), (2, head)]
    masked = Redacted(1, C2S, 1, "masked", 4, 1, 2, 0)
    assert list(items([masked, frame(0x81, b"ab")], frames=True)) == [(1, masked), (2, frame(0x81, b"ab"))]


def test_a_body_that_the_recording_ends_in_is_shown_as_far_as_it_came() -> None:
    ((_, body),) = items([Body(1, S2C, 1, 1, b"as far", False)])
    assert isinstance(body, HttpBody) and (body.data, body.complete) == (b"as far", False)


def test_a_body_of_nothing_is_no_item_and_pieces_that_nothing_superseded_come_last() -> None:
    piece = Piece(1, C2S, 2, 1, b"GET /")
    events: list[Event] = [Body(1, S2C, 1, 1, b"", True), piece, Opaque(1, S2C, 3, b"x")]
    assert list(items(events)) == [(3, events[2]), (2, piece)]
