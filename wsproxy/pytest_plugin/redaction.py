"""A recording as it may be committed: without credentials, or not at all.

Strategy: the one place that decides what of a recording gets into a cassette. Values of credential fields in HTTP heads are filled with `x`,
byte for byte, so that nothing else moves; `wsproxy verify` then tells that the digests do not hold any more. What looks like a credential
elsewhere (a path, a body, a message) cannot be filled without changing what is played or compared: such a recording is refused, and the
message says where it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack

from ..analysis.secrets import mask_field, mask_text
from ..errors import WsproxyError
from ..recording.format import Event
from ..recording.messages import Assembler
from ..recording.reader import Recording
from ..wire.events import Body, Request, Response
from ..wire.http1 import dechunk

_BODY_LIMIT = 16 << 20  # bytes of a body that are looked at
_BLOCK = 1 << 18
_HEADS = ("request", "response")
_WHO = {"c2s": "client", "s2c": "server"}


class HoldsCredentials(WsproxyError):
    """A recording has a credential where it cannot be taken out."""


def copy(source: Path, target: Path) -> None:
    """Copy a recording as it is."""
    target.write_bytes(source.read_bytes())


def redacted_copy(source: Path, target: Path) -> None:
    """Copy a recording without its credentials.

    Raises:
        HoldsCredentials: one stands where it cannot be taken out; nothing was written.
    """
    found = next(_beyond_heads(Recording(source)), None)
    if found is not None:
        raise HoldsCredentials(found)
    pack = msgpack.Packer(use_bin_type=True, unicode_errors="backslashreplace").pack
    unpacker = msgpack.Unpacker(raw=False, unicode_errors="backslashreplace", strict_map_key=False)
    with source.open("rb") as file, target.open("xb") as out:
        while block := file.read(_BLOCK):
            unpacker.feed(block)
            out.writelines(pack(_filled(m)) for m in unpacker)


def _filled(m: dict[str, Any]) -> dict[str, Any]:
    """The map of an event, with the credentials of a head filled; pieces of heads are superseded, and filled whole."""
    if m["kind"] in _HEADS:
        return m | {"raw": filled_head(m["raw"])}
    return m | {"raw": b"x" * len(m["raw"])} if m["kind"] == "piece" else m


def filled_head(raw: bytes) -> bytes:
    """A head with its credentials filled, of the same length."""
    first, *lines = raw.split(b"\n")
    out, folded = [first], False
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            out.append(_fill(line) if folded else line)
            continue
        name, colon, value = line.partition(b":")
        secret = value.strip().decode("latin-1")
        folded = mask_field(name.decode("latin-1"), secret) != secret
        out.append(name + colon + (_fill(value) if folded else value))
    return b"\n".join(out)


def _fill(value: bytes) -> bytes:
    """The visible characters of a field's value, but for a scheme in front, as `x`."""
    scheme = re.match(rb"(?i)\s*(bearer|basic)\s+", value)
    kept = scheme.end() if scheme else 0
    return value[:kept] + re.sub(rb"[^\s]", b"x", value[kept:])


def _beyond_heads(recording: Recording) -> Iterator[str]:
    """Where something looks like a credential beside the fields of heads, in words."""
    assembler = Assembler()
    bodies: dict[tuple[int, str, int], tuple[str, bytes, bytearray]] = {}
    for number, event in enumerate(recording.events(), 1):
        if isinstance(event, Request) and _tells(event.target):
            yield f"the path of {event.method} {mask_text(event.target)}"
        if isinstance(event, Request | Response):
            what = f"{event.method} {event.target}" if isinstance(event, Request) else f"answer {event.status}"
            bodies[event.conn, event.dir, event.exchange] = (what, event.raw, bytearray())
        yield from _in_body(event, bodies)
        for message in assembler.feed(number, event):
            if message.opcode == 1 and _tells(message.data.decode("utf-8", "replace")):
                yield f"a message of the {_WHO[message.dir]} (event {message.number})"


def _in_body(event: Event, bodies: dict[tuple[int, str, int], tuple[str, bytes, bytearray]]) -> Iterator[str]:
    if not isinstance(event, Body) or (key := (event.conn, event.dir, event.exchange)) not in bodies:
        return
    what, head, parts = bodies[key]
    if len(parts) < _BODY_LIMIT:
        parts += event.raw
    if event.end:
        del bodies[key]
        content = dechunk(bytes(parts)) if b"chunked" in head.lower() else bytes(parts)
        if _tells(content.decode("utf-8", "replace")):
            yield f"the body of {what}"


def _tells(text: str) -> bool:
    return mask_text(text) != text
