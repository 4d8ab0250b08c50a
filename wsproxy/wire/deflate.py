"""permessage-deflate (RFC 7692), the reading half.

Strategy: what was negotiated stands in the response's Sec-WebSocket-Extensions; one `Inflater` per direction then turns payloads of
RSV1 messages into data. Window bits need no care: a raw inflate of 15 bits reads any smaller window. Output is bounded: a message
that would grow past the limit is cut there, and the inflater stops for good if its context would be needed (a deflate bomb costs
`limit` bytes, once).
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from .events import C2S, Dir

_TAIL = b"\x00\x00\xff\xff"  # RFC 7692, 7.2.2
_STEP = 1 << 16


class Negotiated(NamedTuple):
    """What the two sides agreed on: whether each direction starts every message with an empty window."""

    client_no_context_takeover: bool
    server_no_context_takeover: bool

    def takeover(self, dir: Dir) -> bool:
        return not (self.client_no_context_takeover if dir == C2S else self.server_no_context_takeover)


def negotiated(extensions: list[str]) -> Negotiated | None:
    """Read the Sec-WebSocket-Extensions values of a 101 response; None where permessage-deflate is not among them."""
    for value in ",".join(extensions).split(","):
        name, *params = (part.strip().lower() for part in value.split(";"))
        if name == "permessage-deflate":
            names = {param.split("=")[0].strip() for param in params}
            return Negotiated("client_no_context_takeover" in names, "server_no_context_takeover" in names)
    return None


class InflateError(Exception):
    """This message cannot be inflated; the text says why."""


class Inflater:
    """Inflates the messages of one direction, in order.

    Args:
        takeover: whether the window is kept from message to message.
        limit: bytes of output per message at most.
    """

    def __init__(self, *, takeover: bool, limit: int) -> None:
        self._takeover = takeover
        self._limit = limit
        self._zlib = zlib.decompressobj(-15)
        self._lost: str | None = None

    def lose(self, reason: str) -> None:
        """A message of this direction is missing: with a kept window, later ones have no reading."""
        if self._takeover:
            self._lost = self._lost or reason
        else:
            self._zlib = zlib.decompressobj(-15)

    def message(self, payload: bytes) -> tuple[bytes, bool]:
        """(data, whether it was cut at the limit) of the joined payloads of one message. Raises InflateError."""
        if self._lost is not None:
            raise InflateError(self._lost)
        out: list[bytes] = []
        size = 0
        ended = False  # by a final block: what may follow is an empty block, or nothing but the tail
        short = len(payload) < _STEP
        try:
            # In steps of input, so that what zlib hands back as unconsumed stays small.
            for at in range(0, len(payload) + 1, _STEP):
                pending = payload if short else payload[at : at + _STEP]
                if at + _STEP > len(payload):
                    pending += _TAIL
                while pending and not (ended and pending == _TAIL):
                    piece = self._zlib.decompress(pending, min(_STEP, self._limit + 1 - size))
                    pending = self._zlib.unconsumed_tail
                    if (
                        short
                        and self._takeover
                        and not (pending or out or self._zlib.eof)
                        and len(piece) <= self._limit
                    ):
                        return piece, False  # an ordinary message: one call, nothing to join
                    size += len(piece)
                    out.append(piece)
                    if size > self._limit:
                        self.lose(f"an earlier message inflates to more than {self._limit:,} bytes")
                        return b"".join(out)[: self._limit], True
                    if self._zlib.eof:  # a final block is legal (RFC 7692, 7.2.3.4)
                        ended = True
                        pending = self._zlib.unused_data
                        self._zlib = zlib.decompressobj(-15)
        except zlib.error as error:
            self.lose("an earlier message could not be inflated")
            raise InflateError(f"cannot be inflated: {error}") from None
        if not self._takeover:
            self._zlib = zlib.decompressobj(-15)
        return b"".join(out), False
