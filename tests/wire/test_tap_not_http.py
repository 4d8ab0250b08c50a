"""What has no single honest reading as HTTP/1.x is opaque, with a reason, from there to the end of its direction."""

from __future__ import annotations

import pytest

from wsproxy.wire.events import C2S, S2C, Opaque
from wsproxy.wire.http1 import HEAD_LIMIT
from wsproxy.wire.tap import PIPELINE_LIMIT

from .conversation import GET, Conversation, kinds, settled

POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
FOREIGN = {
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "redis": b"*1\r\n$4\r\nPING\r\n\r\n",
    "postgres": b"\x00\x00\x00\x08\x04\xd2\x16/",
    "a frame without a handshake": b"\x81\x85abcdhello",
    "NUL in the target": b"GET /\x00 HTTP/1.1\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\n\r\n",
    "space before the version": b"GET / x HTTP/1.1\r\n\r\n",
    "HTTP/3.0": b"GET / HTTP/3.0\r\n\r\n",
    "only newlines": b"\r\n" * 40,
}
SMUGGLING = {
    "CL and TE": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
    "two CLs": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "two CLs in one list": POST + b"Content-Length: 4, 5\r\n\r\nabcde",
    "negative CL": POST + b"Content-Length: -1\r\n\r\nabc",
    "plus CL": POST + b"Content-Length: +3\r\n\r\nabc",
    "hex CL": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "TE that is not chunked": POST + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "TE chunked not last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "TE xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
}
BAD_CHUNKS = [
    b"xyz\r\n",
    b"-1\r\n",
    b"+1\r\n",
    b"0x10\r\n",
    b"\r\n",
    b"1_0\r\n",
    b"f" * 17 + b"\r\n",
    b"3\r\nabcdef\r\n",
    b"1;" + b"x" * 17_000,
]


def opaque_of(talk: Conversation) -> list[Opaque]:
    return [event for event in talk.events if isinstance(event, Opaque)]


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("step", [0, 1, 7])
def test_what_is_no_http_is_opaque_with_a_reason(name: str, step: int) -> None:
    talk = Conversation()
    talk.client(FOREIGN[name], in_steps_of=step)
    talk.ends(C2S)
    first, *more = opaque_of(talk)
    assert first.reason
    assert [event.reason for event in more] == [None] * len(more)
    assert kinds(talk.events).count("Request") == 0 or name == "HTTP/2 preface"


@pytest.mark.parametrize("name", SMUGGLING)
@pytest.mark.parametrize("step", [0, 1])
def test_a_request_with_two_readings_is_recorded_and_what_follows_is_opaque(name: str, step: int) -> None:
    talk = Conversation()
    talk.client(SMUGGLING[name], in_steps_of=step)
    assert kinds(talk.events).count("Request") == 1
    assert opaque_of(talk)[0].reason
    assert "Body" not in kinds(talk.events)


@pytest.mark.parametrize("chunk", BAD_CHUNKS)
@pytest.mark.parametrize("step", [0, 1, 5])
def test_bad_chunked_framing_makes_the_rest_opaque(chunk: bytes, step: int) -> None:
    talk = Conversation()
    talk.client(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + chunk + b"\r\n0\r\n\r\n", in_steps_of=step)
    assert opaque_of(talk)[0].reason
    assert talk.tap.c2s.is_opaque


def test_equal_content_lengths_have_one_reading() -> None:
    talk = Conversation()
    assert kinds(talk.client(POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok" + GET)) == [
        "Request",
        "Body",
        "Request",
    ]


def test_http_0_9_is_recorded_as_it_came() -> None:
    talk = Conversation()
    talk.client(b"GET /\r\n")
    talk.server(b"<html>")
    talk.ends(S2C)
    talk.ends(C2S)
    assert all(event.reason for event in opaque_of(talk))


def test_one_direction_that_is_opaque_leaves_the_other_readable() -> None:
    talk = Conversation()
    assert kinds(talk.client(GET)) == ["Request"]
    assert kinds(talk.client(b"\x00garbage")) == ["Opaque"]
    assert kinds(talk.server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) == ["Response", "Body"]


def test_a_head_of_128_kib_byte_by_byte_costs_one_piece_a_byte() -> None:
    talk = Conversation()
    head = b"GET / HTTP/1.1\r\nX: " + b"v" * (HEAD_LIMIT - 30) + b"\r\n\r\n"
    tap = talk.tap.c2s
    events = [event for at in range(len(head)) for event in tap.feed(head[at : at + 1], at)]
    assert kinds(events) == ["Piece"] * (len(head) - 1) + ["Request"]
    assert sum(len(event.raw) for event in events) == len(head) - 1 + len(head)  # each byte twice, not n times


def test_a_head_beyond_128_kib_is_no_head() -> None:
    talk = Conversation()
    talk.client(b"GET / HTTP/1.1\r\nX: " + b"v" * (2 * HEAD_LIMIT), in_steps_of=65_536)
    assert opaque_of(talk)[0].reason == "an HTTP head of more than 128 KiB"


def test_requests_that_nobody_answers_are_bounded() -> None:
    talk = Conversation()
    talk.client(GET * (PIPELINE_LIMIT + 5))
    assert kinds(talk.events).count("Request") == PIPELINE_LIMIT
    assert opaque_of(talk)[0].reason
    assert len(talk.tap.pending) == PIPELINE_LIMIT


def test_a_control_byte_in_a_field_reads_the_same_whether_the_head_is_split_or_not() -> None:
    head = b"GET / HTTP/1.1\r\nX: \x01\r\n\r\n"
    whole, split = Conversation(), Conversation()
    whole.client(head)
    split.client(head, in_steps_of=len(head) - 1)
    assert settled(whole.events) == settled(split.events)
