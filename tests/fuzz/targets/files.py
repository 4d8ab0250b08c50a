"""Bytes as a recording on disk, for targets that read one: a file without a disk, the same for every execution."""

from __future__ import annotations

import os
from collections.abc import Iterable

from wsproxy.recording.events import Header
from wsproxy.recording.format import pack_header
from wsproxy.recording.reader import Recording
from wsproxy.render.screen import Line

from ...render.acting import acts

HEADER = pack_header(Header("s1", 1_700_000_000_000_000_000, 5_000, "boot", "wsproxy", "127.0.0.1:1", "ws://h:2"))

TOKENS = [
    *(b"\xa4kind", b"\xa4conn", b"\xa3dir\xa3c2s", b"\xa3dir\xa3s2c", b"\xa1t", b"\xa3fin", b"\xa3rsv", b"\xa6opcode", b"\xa4mask"),
    *(b"\xa6length", b"\xa4form", b"\xa7payload", b"\xa3raw", b"\xa6offset", b"\xa8exchange", b"\xa6status", b"\xa6reason", b"\xa3end"),
    *(b"\xa5frame", b"\xa4part", b"\xa5piece", b"\xa7request", b"\xa8response", b"\xa4body", b"\xa6opaque", b"\xa4open", b"\xa3gap"),
    *(b"\xa6marker", b"\xa6totals", b"\xa7trailer", b"\xa5stage", b"\xa5index", b"\xa4data", b"\xa6source", b"\xa8error_ns", b"\x1b[2J"),
    *(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", b"\xd3\x80\0\0\0\0\0\0\0", b"\xc6\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff"),
    *(b"\xcb\x7f\xf8\0\0\0\0\0\0", b"\xd6\xff\0\0\0\0", b"\xc7\x05\x10hello", b"\xc1", b"\xc0", b"\x80", b"\x90", b"\xc4\x02\x03\xe8"),
]  # fmt: skip


class MemoryFile:
    """A file that each execution fills anew."""

    def __init__(self) -> None:
        self._fd = os.memfd_create("recording")

    def filled(self, data: bytes) -> str:
        """Its path, once it holds these bytes."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)
        return f"/proc/self/fd/{self._fd}"


def recording(file: MemoryFile, events: bytes) -> Recording:
    """A recording with a good header before these bytes."""
    return Recording(file.filled(HEADER + events))


def assert_plain(lines: Iterable[Line]) -> None:
    """What goes to a terminal does nothing there."""
    for line in lines:
        for text, _ in line:
            if not (text.isascii() and text.isprintable()):
                acting = [char for char in text if acts(char)]
                assert not acting, (acting, text)
