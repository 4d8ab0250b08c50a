"""Credentials of the captures are in the recording, and are shown only where that is asked for."""

from __future__ import annotations

import re
from typing import Any

import pytest

from wsproxy.recording.events import Marker
from wsproxy.recording.messages import Message
from wsproxy.recording.view import items
from wsproxy.render.jsonl import dump, item_object
from wsproxy.render.timeline import Timeline
from wsproxy.wire.events import C2S, Frame, Piece

from ..recording.samples import NAMES, capture

KEY = "sk-planted-0123456789abcdef"
_CREDENTIALS = re.compile(rb"sk-[A-Za-z0-9_-]{8,}|Bearer [A-Za-z0-9._-]{8,}")


def planted(name: str) -> set[str]:
    """Whatever in a capture is shaped like a key."""
    found: set[str] = set()
    for _, item in items(capture(name)):
        data = getattr(item, "data", b"") or getattr(item, "raw", b"")
        found |= {match.decode().removeprefix("Bearer ") for match in _CREDENTIALS.findall(data)}
    return found


def timeline(name: str, **options: bool) -> str:
    screen = Timeline(400, **options)
    lines = [line for number, item in items(capture(name)) for line in screen.lines(number, item)]
    return "\n".join("".join(text for text, _ in line) for line in lines)


def json_lines(name: str, *, secrets: bool) -> str:
    return "\n".join(dump(item_object(number, item, secrets=secrets)) for number, item in items(capture(name)))


@pytest.mark.parametrize("name", NAMES)
def test_the_credentials_of_a_capture_are_shown_only_when_asked_for(name: str) -> None:
    keys = planted(name)
    assert keys
    for shown in (timeline(name), timeline(name, full=True), timeline(name, hex=True), json_lines(name, secrets=False)):
        assert not [key for key in keys if key in shown]
    assert keys == {key for key in keys if key in json_lines(name, secrets=True)}
    assert keys == {key for key in keys if key in timeline(name, full=True, secrets=True)}


def test_a_key_in_the_data_of_a_marker_is_masked() -> None:
    marker = Marker(0, "callback.invoked", None, {"litellm_params": {"api_key": KEY}}, None, 0)
    assert KEY not in dump(item_object(1, marker))


def test_a_key_in_a_frame_is_masked_in_its_full_content() -> None:
    frame = Frame(1, C2S, 0, 0x81, None, len(KEY), 7, KEY.encode())
    lines = list(Timeline(100, full=True).lines(1, frame))
    ascii_column = "".join(line[2][0].strip() for line in lines[1:] if len(line) == 3)
    assert KEY not in ascii_column


def test_a_key_header_in_half_a_head_is_masked() -> None:
    piece = Piece(
        1, C2S, 0, 1, b"GET / HTTP/1.1\r\nX-Api-Key: hunter2hunter2hunter2\r\nCookie: session=hunter2hunter2\r\n"
    )
    assert "hunter2hunter2" not in dump(item_object(1, piece))


def test_a_masked_value_keeps_four_characters_so_that_two_keys_can_be_told_apart() -> None:
    message: Any = Message(1, 1, C2S, 0, 0, 1, f'{{"api_key": "{KEY}"}}'.encode(), False, 1, 1)
    assert '"sk-p…masked' in item_object(1, message)["payload"]
