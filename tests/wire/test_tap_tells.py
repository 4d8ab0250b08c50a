"""What the tap tells of itself: how each direction is read just now, and which bytes wait for their event."""

from __future__ import annotations

from wsproxy.wire.events import C2S, S2C
from wsproxy.wire.http1 import head_fields

from .conversation import OK, SWITCH, UPGRADE, Conversation


def test_a_websocket_is_http_until_both_directions_are_frames() -> None:
    talk = Conversation()
    assert talk.tap.in_http and not talk.tap.both_in_frames
    talk.client(UPGRADE)
    assert talk.tap.in_http and not talk.tap.both_in_frames
    talk.server(SWITCH)
    assert talk.tap.both_in_frames and not talk.tap.in_http


def test_a_direction_that_has_no_reading_is_opaque_and_the_other_is_not() -> None:
    talk = Conversation()
    talk.client(b"\x00garbage")
    assert (talk.tap.c2s.is_opaque, talk.tap.s2c.is_opaque) == (True, False)
    assert not talk.tap.in_http and talk.tap.s2c.in_http


def test_a_body_is_told_while_it_comes() -> None:
    talk = Conversation()
    talk.client(b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel")
    assert talk.tap.c2s.in_body
    talk.client(b"lo")
    talk.server(OK)
    assert not talk.tap.c2s.in_body and not talk.tap.s2c.in_body


def test_half_a_head_and_half_a_frame_header_are_pending_until_the_rest_comes() -> None:
    talk = Conversation()
    talk.client(UPGRADE[:30])
    assert talk.tap.c2s.pending == UPGRADE[:30]
    talk.client(UPGRADE[30:])
    talk.server(SWITCH)
    assert talk.tap.c2s.pending == b""
    for dir, data in ((C2S, b"\x82\xfe\x01"), (S2C, b"\x82")):
        talk.says(dir, data)
        assert talk.tap.direction(dir).pending == data
    talk.server(b"\x01x")
    assert talk.tap.s2c.pending == b""


def test_a_folded_value_is_one_and_what_is_folded_under_no_field_is_none() -> None:
    raw = b"GET / HTTP/1.1\r\n lost\r\nX-A: one\r\n  two\r\n\tthree\r\nno field\r\n lost too\r\nX-B: b\r\n\r\n"
    assert head_fields(raw) == [("X-A", "one two three"), ("X-B", "b")]
