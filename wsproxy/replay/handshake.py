"""Heads for this connection from heads of the recording.

Strategy: a recorded head is kept as it was, field by field; what belongs to one connection (Host, the WebSocket key and its answer, the
length of a body that is not the recorded one) is written anew in its place.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Callable

from ..wire.http1 import dechunk, head_fields
from .identities import MASKED
from .problems import ReplayError

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
#: Field (lower case) → its new value; None leaves it out. Fields that are not named stay.
Changes = dict[str, str | None]


def new_key() -> str:
    """A fresh Sec-WebSocket-Key."""
    return base64.b64encode(os.urandom(16)).decode()


def accept_for(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a key."""
    return base64.b64encode(hashlib.sha1(key.encode("latin-1", "replace") + _GUID).digest()).decode()


def field(raw: bytes, name: str) -> str | None:
    """All values of a field, joined; None where it is not there."""
    values = [value for key, value in head_fields(raw) if key.lower() == name]
    return ", ".join(values) if values else None


def rewritten(raw: bytes, changes: Changes, *, start: str | None = None) -> bytes:
    """A head with some fields changed in their place; those that it does not have come last.

    Args:
        start: another request or status line.
    """
    left = dict(changes)
    lines = [start.encode("latin-1") if start is not None else raw.lstrip(b"\r\n").split(b"\n", 1)[0].rstrip(b"\r")]
    for name, value in head_fields(raw):
        key = name.lower()
        if key not in changes:
            lines.append(f"{name}: {value}".encode("latin-1"))
        elif key in left:
            new = left.pop(key)
            if new is not None:
                lines.append(f"{name}: {new}".encode("latin-1", "replace"))
    lines += [f"{name}: {value}".encode("latin-1", "replace") for name, value in left.items() if value is not None]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def request_line(raw: bytes, target: str) -> str:
    """The request line of a head with another target."""
    method, _, rest = raw.lstrip(b"\r\n").split(b"\n", 1)[0].rstrip(b"\r").decode("latin-1").partition(" ")
    return f"{method} {target} {rest.rpartition(' ')[2]}"


def with_body(raw: bytes, body: bytes, new: Callable[[bytes], bytes], *, redacted: bool = False) -> tuple[bytes, bytes]:
    """(head, body) with the body's content changed by `new`; both as they were where nothing changes.

    Args:
        redacted: the body is not what the head was written for: another length, no content coding.
    """
    chunked = "chunked" in (field(raw, "transfer-encoding") or "").lower()
    content = dechunk(body) if chunked else body
    changed = new(content)
    if changed == content and not redacted:
        return raw, body
    changes: Changes = {"content-length": str(len(changed)), "transfer-encoding": None}
    return rewritten(raw, changes | ({"content-encoding": None} if redacted else {})), changed


def content_of(raw: bytes, body: bytes) -> bytes:
    """The content of a body, without chunk framing."""
    return dechunk(body) if "chunked" in (field(raw, "transfer-encoding") or "").lower() else body


def given_headers(raw: bytes, given: list[tuple[str, str]]) -> Changes:
    """The changes that put given fields into a head. Raises ReplayError where a masked value has no replacement."""
    changes: Changes = {name.lower(): value for name, value in given}
    for name, value in head_fields(raw):
        if MASKED.encode() in value.encode("latin-1") and name.lower() not in changes:
            raise ReplayError(
                f"the recording has '{name}' masked: give it with --header '{name}: VALUE', "
                f"or with --var NAME --header '{name}: ${{NAME}}' from the environment"
            )
    return changes


def read_header(text: str) -> tuple[str, str]:
    """Read `Name: value`. Raises ReplayError."""
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name) or re.search(r"[\r\n\0]", value):
        raise ReplayError(f"--header {text!r}: not 'Name: value'")
    return name, value.strip()
