"""Selectors: any line is one, or is refused in a sentence."""

from __future__ import annotations

from wsproxy.analysis.selection import SelectorError, parse_selector
from wsproxy.recording.events import Marker
from wsproxy.recording.messages import Message

TOKENS = [
    b"type:",
    b"grep:",
    b"client",
    b"server",
    b"c2s",
    b"s2c",
    b"last",
    b"3-5",
    b"3-",
    b"#20",
    b"stage:",
    b"policy.start",
    b"(?:",
    b"{1,9}",
    b"\\d",
    b"[^",
]
ITEMS = [(n, Message(n, 1, "c2s" if n % 2 else "s2c", n, n, 1, b'{"type":"CHUNK"}', False, 1, 9)) for n in range(1, 6)]
MARKERS = [Marker(3, "policy.start", None, None, None, 0)]


def check(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        selector = parse_selector(text)
    except SelectorError as error:
        assert str(error)
        return
    if selector.selection.grep is not None:
        return  # a person's own regular expression may take its time
    chosen = selector.of(ITEMS, MARKERS)
    assert all(one in ITEMS for one in chosen)
