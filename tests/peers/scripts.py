"""What is said: every size at which a frame changes its shape, both opcodes, fragments, pings.

A script is a list of {"type": "text" | "binary" | "ping", "parts" or "data": …}; bytes are in base64, as the programs get it in JSON.
"""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 1 << 20)
Item = dict[str, Any]


def text(size: int) -> str:
    """This many bytes of text that compresses, with characters of more than one byte where there is room."""
    words = "the quick brown fox jumps over the lazy dog äöü €  "
    raw = (words * (size // len(words.encode()) + 1)).encode()[:size]
    return raw.decode(errors="ignore").ljust(size - len(raw) + len(raw.decode(errors="ignore")), ".")


def binary(size: int) -> bytes:
    """This many bytes, half of them random."""
    noise = random.Random(size).randbytes(size // 2 + 1)
    return (noise + bytes(size))[:size]


def say(*parts: str | bytes) -> Item:
    """A message, in as many frames as there are parts."""
    if isinstance(parts[0], str):
        return {"type": "text", "parts": parts}
    return {"type": "binary", "parts": [base64.b64encode(part).decode() for part in parts if isinstance(part, bytes)]}


def ping(payload: bytes) -> Item:
    return {"type": "ping", "data": base64.b64encode(payload).decode()}


FULL = [
    *(item for size in SIZES for item in (say(text(size)), say(binary(size)))),
    ping(b""),
    say("three ", "fragments ", "of text €"),
    say(b"\x00\xff", b"", b"\x80" * 70_000),
    ping(b"p" * 125),
    say("#an answer in three fragments, if the server can"),
]
SHORT = [say("hello"), ping(b"?"), say(b"\x00\x01")]
#: Longer than the smallest window and, together, than the largest; later messages repeat earlier ones at distances around each window.
WINDOWS = [say(binary(size).hex()) for size in (200, 700, 3000, 12_000, 700, 3000, 200)] + [say(binary(3000))]

SCRIPTS = {"full": FULL, "short": SHORT, "windows": WINDOWS}


def written(path: Path) -> Path:
    path.write_text(json.dumps(SCRIPTS))
    return path


def messages(script: str) -> list[str | bytes]:
    """What a script says in data messages."""
    said: list[str | bytes] = []
    for item in SCRIPTS[script]:
        if item["type"] == "text":
            said.append("".join(item["parts"]))
        elif item["type"] == "binary":
            said.append(b"".join(base64.b64decode(part) for part in item["parts"]))
    return said
