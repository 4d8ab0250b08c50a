"""The forms in which a secret can stand in bytes, and where it is looked for."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from wsproxy.recording.reader import Recording, join_frames
from wsproxy.recording.view import items
from wsproxy.wire.events import C2S, S2C

SHOWN = 4  # characters that a mask keeps


def forms(secret: str) -> dict[str, bytes]:
    """A secret, but for its first characters, in every form that a reader could turn back into it."""
    rest = secret[SHOWN + 1 :]
    raw = rest.encode()
    found = {
        "plain": raw,
        "utf-16-le": rest.encode("utf-16-le"),
        "utf-16-be": rest.encode("utf-16-be"),
        "percent": quote(rest, safe="").encode(),
        "json": json.dumps(rest)[1:-1].encode(),
        "json-u": "".join(f"\\u{ord(char):04x}" for char in rest).encode(),
        "hex": raw.hex().encode(),
        "hex-spaced": raw.hex(" ").encode(),
    }
    for shift in range(3):  # where it may stand in what was encoded; the ends depend on its neighbours
        inner = base64.b64encode(bytes(shift) + raw)[4:-4]
        found[f"base64+{shift}"] = inner
        found[f"base64url+{shift}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return found


def leaks(data: bytes, secrets: Iterable[str]) -> list[str]:
    """Which forms of which secrets stand in bytes."""
    return [
        f"{name} of {secret[:SHOWN]}…"
        for secret in secrets
        for name, form in forms(secret).items()
        if form and form in data
    ]


def leaks_in_file(path: Path, secrets: Iterable[str]) -> list[str]:
    """Which secrets stand in a recording: in its bytes, and in everything that can be rebuilt of it (inflated, unmasked, joined)."""
    secrets = list(secrets)
    found = leaks(path.read_bytes(), secrets)
    recording = Recording(path)
    for _, item in items(recording.events()):
        found += leaks(
            getattr(item, "data", None) or b"" if isinstance(getattr(item, "data", b""), bytes) else b"", secrets
        )
    found += leaks(b"".join(frame.payload for frame in join_frames(recording.events())), secrets)
    conns = {getattr(event, "conn", 0) for event in recording.events()}
    for conn in conns:
        for dir in (C2S, S2C):
            found += leaks(b"".join(recording.wire(dir, conn=conn)), secrets)
    return found
