"""The timeline of a hostile recording: no byte of it can move the cursor, set a title or fake a line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsproxy.recording.events import Event, Gap, Marker, Open, Unknown
from wsproxy.recording.messages import Message
from wsproxy.recording.view import HttpBody, items
from wsproxy.render.jsonl import dump, item_object
from wsproxy.render.timeline import Timeline
from wsproxy.wire.events import C2S, S2C, End, Frame, Opaque, Part, Piece, Request, Response

from ..recording.samples import any_event
from .acting import acts

EVIL = "\x1b]0;owned\x07\x1b[2J\r\n\x9b1A\u202e\u2028 fake"
RAW = EVIL.encode("utf-8", "surrogatepass") + b"\xff\x00"
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

HOSTILE: list[Any] = [
    Message(1, 1, C2S, 0, 0, 1, RAW, False, 2, 9, EVIL),
    Message(1, 1, C2S, 0, 0, 2, RAW, True, 1, 9),
    Message(1, 1, S2C, 0, 0, 8, b"\x03\xe8" + RAW, False, 1, 9),
    Message(1, 1, S2C, 0, 0, 1, b'{"type": "ERROR", "error": "\\u001b]0;x\\u0007\\n"}', False, 1, 9),
    Message(
        1,
        1,
        S2C,
        0,
        0,
        1,
        b'{"type": "CHUNK", "data": {"choices": [{"delta": {"content": "\\u001b[2J"}}]}}',
        False,
        1,
        9,
    ),
    HttpBody(1, 1, C2S, 0, 0, 1, RAW, 9, 0, False),
    Frame(1, C2S, 0, 0x81, None, len(RAW), 7, RAW),
    Part(1, C2S, 0, 5, RAW),
    Request(1, C2S, 0, 1, "GET", EVIL, b"GET / HTTP/1.1\r\nX: " + RAW + b"\r\n\r\n"),
    Response(1, S2C, 0, 1, 200, EVIL, b"HTTP/1.1 200 x\r\nUpgrade: \x1b[2J\r\n\r\n"),
    Opaque(1, C2S, 0, RAW, EVIL),
    Piece(1, C2S, 0, 1, RAW),
    End(1, C2S, 0, EVIL),
    Open(1, 0, EVIL, EVIL, EVIL),
    Gap(0, 1, 1, 1, EVIL),
    Marker(0, EVIL, None, {"a": EVIL}, EVIL, 0),
]
LABELLED: list[Any] = [
    Unknown(EVIL, {"kind": EVIL}),
    Request(1, C2S, 0, 1, EVIL, "/", b"GET / HTTP/1.1\r\n\r\n"),
]


def shown(item: Any, **options: bool) -> list[str]:
    return ["".join(text for text, _ in line) for line in Timeline(100, **options).lines(1, item)]


@pytest.mark.parametrize("options", [{}, {"full": True}, {"hex": True}, {"full": True, "secrets": True}])
@pytest.mark.parametrize("item", HOSTILE, ids=lambda item: type(item).__name__)
def test_no_line_holds_anything_that_acts_on_a_terminal(item: Any, options: dict[str, bool]) -> None:
    for line in shown(item, **options):
        assert not [char for char in line if acts(char)]


@pytest.mark.parametrize("item", LABELLED, ids=lambda item: type(item).__name__)
def test_a_method_or_kind_from_a_stranger_is_escaped_too(item: Any) -> None:
    for line in shown(item):
        assert not [char for char in line if acts(char)]


@pytest.mark.parametrize("item", HOSTILE + LABELLED, ids=lambda item: type(item).__name__)
def test_json_lines_are_one_line_of_ascii(item: Any) -> None:
    line = dump(item_object(1, item))
    assert line.isascii() and line.isprintable()


@few
@given(st.lists(any_event.filter(lambda event: type(event) is not Marker), max_size=5), st.sampled_from([40, 80, 200]))
def test_any_recording_can_be_shown(events: list[Event], width: int) -> None:
    timeline = Timeline(width)
    for number, item in items(events, limit=1 << 16):
        for line in timeline.lines(number, item):
            assert not [char for text, _ in line for char in text if acts(char)]
        dump(item_object(number, item))
