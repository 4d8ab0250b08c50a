"""What is not shown of a recording because no secret can be found in it, and so none can be masked: parts of something.

Strategy: a whole message or body is masked and shown. Compressed bytes, fragments, parts of a frame, half a head and bytes that have no reading
could each hold a secret, or a piece of one that the next event completes. They show their size; `--show-secrets` shows them.
"""

from __future__ import annotations

from ..wire.events import Frame, Opaque, Part, Piece


def why_withheld(item: object) -> str | None:
    """Why the bytes of an item are not shown; None where they are."""
    if isinstance(item, Frame) and item.payload:
        if item.rsv:
            return "compressed"
        if len(item.payload) < item.length:
            return "part of a frame"
        return None if item.fin and item.opcode else "part of a message"
    if isinstance(item, Part):
        return "part of a frame"
    if isinstance(item, Piece):
        return "incomplete"
    return "neither HTTP nor WebSocket" if isinstance(item, Opaque) and item.raw else None
