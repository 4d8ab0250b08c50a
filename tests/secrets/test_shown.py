"""Nothing of a secret is in anything that is shown, in any view; it is where that is asked for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings

from wsproxy.recording.view import items
from wsproxy.render.jsonl import dump, item_object
from wsproxy.render.timeline import Timeline
from wsproxy.secrets.masking import use
from wsproxy.secrets.rules import Rules
from wsproxy.wire.events import C2S, Frame, Opaque, Part, Piece

from ..recording.samples import capture
from .conversations import Planted, conversations
from .forms import leaks

many = settings(max_examples=100, deadline=None)
VIEWS = [{}, {"full": True}, {"hex": True}]
_DUMP = re.compile(r" {10}[0-9a-f]{8}  (.{47})  (.*)")


def timeline(planted: Planted, *, frames: bool, secrets: bool = False, **options: bool) -> bytes:
    """All lines as they are written, and what the columns of hex dumps say when they are read downwards."""
    use(Rules())  # as in a new process: it has seen nothing yet
    screen = Timeline(10_000, secrets=secrets, **options)
    numbered = items(planted.events, frames=frames)
    lines = ["".join(text for text, _ in line) for number, item in numbered for line in screen.lines(number, item)]
    dumps = [match for match in map(_DUMP.fullmatch, lines) if match is not None]
    columns = [" ".join(match[1].strip() for match in dumps), "".join(match[2] for match in dumps)]
    return "\n".join(lines + columns).encode()


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("options", VIEWS)
def test_no_secret_is_in_a_timeline(frames: bool, options: dict[str, bool]) -> None:
    @many
    @given(conversations())
    def check(planted: Planted) -> None:
        assert leaks(timeline(planted, frames=frames, **options), planted.secrets) == []

    check()


@pytest.mark.parametrize("frames", [False, True])
def test_no_secret_is_in_json_lines(frames: bool) -> None:
    @many
    @given(conversations())
    def check(planted: Planted) -> None:
        use(Rules())
        shown = [dump(item_object(number, item)) for number, item in items(planted.events, frames=frames)]
        assert leaks("\n".join(shown).encode(), planted.secrets) == []

    check()


@pytest.mark.parametrize("half", [1, 7, 20])
def test_a_secret_that_a_border_cuts_in_two_is_in_neither_half(half: int) -> None:
    text = b'{"api_key": "sk-planted-0123456789abcdef"}'
    at = text.index(b"sk-") + half
    pairs = [
        [Frame(1, C2S, 0, 0x01, None, at, 7, text[:at]), Frame(1, C2S, 0, 0x80, None, len(text) - at, 7, text[at:])],
        [Frame(1, C2S, 0, 0x81, None, len(text), 7, text[:at]), Part(1, C2S, 0, at, text[at:])],
        [Opaque(1, C2S, 0, text[:at], "not HTTP"), Opaque(1, C2S, 0, text[at:])],
        [Piece(1, C2S, 0, 1, text[:at]), Piece(1, C2S, 0, 1, text[at:])],
    ]
    for pair in pairs:
        for options in VIEWS:
            screen = Timeline(500, **options)
            lines = ["".join(t for t, _ in line) for n, one in enumerate(pair) for line in screen.lines(n, one)]
            lines += [dump(item_object(n, one)) for n, one in enumerate(pair)]
            shown = "\n".join(lines)
            assert "planted" not in shown and "456789ab" not in shown and text[at - 6 : at].hex(" ") not in shown


def test_a_frame_that_is_a_whole_message_is_shown_with_masks() -> None:
    text = b'{"api_key": "sk-planted-0123456789abcdef", "model": "demo"}'
    shown = item_object(1, Frame(1, C2S, 0, 0x81, None, len(text), 7, text))["payload"]
    assert shown == '{"api_key": "sk-p…masked", "model": "demo"}'


def test_show_secrets_shows_compressed_frames_as_they_were() -> None:
    numbered = list(items(capture("text-passes"), frames=True))
    compressed = [(n, item) for n, item in numbered if isinstance(item, Frame) and item.rsv]
    assert compressed
    for number, frame in compressed:
        assert item_object(number, frame)["payload"] is None
        assert item_object(number, frame, secrets=True)["payload"] is not None
