"""Conversations: the client says, the server says, and these are the events."""

from __future__ import annotations

import pytest

from wsproxy.wire.events import C2S, S2C, Body, End, Frame, Opaque, Request, Response

from .conversation import GET, OK, SWITCH, UPGRADE, Conversation, kinds

PING = b"\x89\x80abcd"
HELLO = b"\x81\x05hello"


def test_an_upgrade_on_the_first_request() -> None:
    talk = Conversation()
    assert kinds(talk.client(UPGRADE)) == ["Request"]
    assert kinds(talk.server(SWITCH)) == ["Response"]
    assert kinds(talk.client(PING)) == ["Frame"]
    assert kinds(talk.server(HELLO)) == ["Frame"]
    assert kinds(talk.ends(C2S)) == ["End"]


def test_an_upgrade_on_the_third_request_of_a_kept_connection() -> None:
    talk = Conversation()
    for number in (1, 2):
        assert kinds(talk.client(GET)) == ["Request"]
        events = talk.server(OK)
        assert kinds(events) == ["Response", "Body"]
        assert [event.exchange for event in events if isinstance(event, Response | Body)] == [number, number]
    (request,) = talk.client(UPGRADE)
    assert isinstance(request, Request) and request.exchange == 3
    assert kinds(talk.server(SWITCH + HELLO)) == ["Response", "Frame"]


def test_an_upgrade_pipelined_behind_another_request_waits_for_its_own_answer() -> None:
    talk = Conversation()
    assert kinds(talk.client(GET + UPGRADE + PING)) == ["Request", "Request", "Piece"]
    assert kinds(talk.server(OK)) == ["Response", "Body"]
    events = talk.server(SWITCH)
    assert kinds(events) == ["Response", "Frame"]
    assert [event.dir for event in events] == [S2C, C2S]


def test_a_refused_upgrade_goes_on_as_http() -> None:
    talk = Conversation()
    assert kinds(talk.client(UPGRADE + GET)) == ["Request", "Piece"]
    events = talk.server(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    assert kinds(events) == ["Response", "Request"]
    assert kinds(talk.server(OK)) == ["Response", "Body"]
    assert kinds(talk.client(UPGRADE)) == ["Request"]
    assert kinds(talk.server(SWITCH + HELLO)) == ["Response", "Frame"]


def test_frames_sent_before_the_101_are_held_and_then_read_as_frames() -> None:
    talk = Conversation()
    assert kinds(talk.client(UPGRADE)) == ["Request"]
    assert kinds(talk.client(PING[:3])) == ["Piece"]
    assert kinds(talk.client(PING[3:] + PING)) == ["Piece"]
    assert kinds(talk.server(SWITCH)) == ["Response", "Frame", "Frame"]


def test_a_101_split_before_its_last_byte_still_turns_both_directions() -> None:
    talk = Conversation()
    talk.client(UPGRADE)
    talk.server((SWITCH + HELLO)[: len(SWITCH) - 1])
    assert kinds(talk.server((SWITCH + HELLO)[len(SWITCH) - 1 :])) == ["Response", "Frame"]
    assert talk.tap.both_in_frames


def test_interim_answers_do_not_answer_the_request() -> None:
    talk = Conversation()
    talk.client(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert kinds(talk.server(b"HTTP/1.1 100 Continue\r\n\r\n")) == ["Response"]
    assert kinds(talk.client(b"ab")) == ["Body"]
    assert kinds(talk.server(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)) == ["Response", "Response", "Body"]
    assert [event.exchange for event in talk.of(S2C) if isinstance(event, Response)] == [1, 1, 1]


def test_a_101_to_something_else_is_opaque_in_both_directions_and_says_to_what() -> None:
    talk = Conversation()
    talk.client(b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + b"early")
    events = talk.server(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + b"\x00\x00\x00")
    assert kinds(events) == ["Response", "Opaque", "Opaque"]
    assert {event.reason for event in events if isinstance(event, Opaque)} == {"101 switched to h2c"}
    assert kinds(talk.client(b"late")) == ["Opaque"]


def test_a_101_that_nobody_asked_for_is_opaque() -> None:
    talk = Conversation()
    talk.client(GET)
    assert kinds(talk.server(SWITCH + HELLO)) == ["Response", "Opaque"]
    assert kinds(talk.client(GET)) == ["Opaque"]


def test_a_connect_tunnel_is_opaque_and_a_refused_one_is_http() -> None:
    talk = Conversation()
    talk.client(b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n")
    talk.server(b"HTTP/1.1 407 Authenticate\r\nContent-Length: 0\r\n\r\n")
    assert kinds(talk.client(b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n\x16\x03\x01")) == ["Request", "Piece"]
    events = talk.server(b"HTTP/1.1 200 Connected\r\n\r\n")
    assert kinds(events) == ["Response", "Opaque"]
    assert isinstance(events[1], Opaque) and events[1].reason == "inside a CONNECT tunnel"


def test_a_server_that_speaks_first_in_http_answers_no_exchange() -> None:
    talk = Conversation()
    events = talk.server(b"HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n")
    assert isinstance(events[0], Response) and events[0].exchange == 0
    (request,) = talk.client(GET)
    assert isinstance(request, Request) and request.exchange == 1


def test_a_server_that_speaks_first_in_something_else_is_opaque_with_a_reason() -> None:
    talk = Conversation()
    (event,) = talk.server(b"220 smtp.example ESMTP\r\n")
    assert isinstance(event, Opaque) and event.reason
    (again,) = talk.server(b"250 ok\r\n")
    assert isinstance(again, Opaque) and again.reason is None


def test_an_answer_until_close_ends_with_the_connection() -> None:
    talk = Conversation()
    talk.client(GET)
    assert kinds(talk.server(b"HTTP/1.0 200 OK\r\n\r\nall the")) == ["Response", "Body"]
    assert kinds(talk.server(b" rest")) == ["Body"]
    events = talk.ends(S2C)
    assert kinds(events) == ["Body", "End"]
    assert isinstance(events[0], Body) and events[0].end


@pytest.mark.parametrize("how", ["fin", "reset", "aborted", "stopped"])
def test_half_a_head_at_the_end_is_opaque_and_the_end_says_how(how: str) -> None:
    talk = Conversation()
    talk.client(GET[:20])
    events = talk.ends(C2S, how)
    assert kinds(events) == ["Opaque", "End"]
    assert isinstance(events[1], End) and events[1].how == how


def test_an_upgrade_that_was_never_answered_says_so() -> None:
    talk = Conversation()
    talk.client(UPGRADE + PING)
    opaque, _ = talk.ends(C2S, "reset")
    assert isinstance(opaque, Opaque)
    assert (opaque.raw, opaque.reason) == (PING, "the upgrade was never answered")


def test_a_frame_cut_off_by_the_end_keeps_what_came() -> None:
    talk = Conversation()
    talk.client(UPGRADE)
    talk.server(SWITCH)
    (frame,) = talk.client(b"\x82\x8aabcd1234")
    assert isinstance(frame, Frame) and (frame.length, len(frame.payload)) == (10, 4)
    assert kinds(talk.ends(C2S, "reset")) == ["End"]


def test_the_body_of_an_upgrade_request_is_its_body_whatever_the_answer() -> None:
    talk = Conversation()
    talk.client(UPGRADE.replace(b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n") + b"abc" + PING)
    assert kinds(talk.server(SWITCH)) in (["Response", "Frame"], ["Response", "Body", "Frame"])
    frames = [event for event in talk.of(C2S) if isinstance(event, Frame)]
    assert [frame.opcode for frame in frames] == [9]


def test_more_than_128_kib_before_the_answer_are_opaque_and_none_is_missing() -> None:
    talk = Conversation()
    talk.client(UPGRADE)
    talk.client(b"x" * 200_000, in_steps_of=60_000)
    opaque = [event for event in talk.of(C2S) if isinstance(event, Opaque)]
    assert opaque and opaque[0].reason
    talk.server(SWITCH + HELLO)


def test_a_request_half_sent_when_an_upgrade_is_refused_is_not_doubled() -> None:
    talk = Conversation()
    talk.client(UPGRADE + GET[:9])
    talk.server(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    assert kinds(talk.client(GET[9:])) == ["Request"]
