"""Messages back to frames, as this connection has agreed with its peer.

Strategy: what was recorded goes out byte for byte (compressed payload, fragments, RSV bits, form of the length) wherever the peer can
read it: the agreement permits at least the recorded window, and nothing before it in the same window was changed. Otherwise a message is
deflated anew, or sent plain where the peer knows no deflate, and cut into as many frames as it had, in proportion. A frame is masked
if it was recorded masked, with a fresh key.

Cost: in the ordinary case one header and one mask per frame.
"""

from __future__ import annotations

import os
import re
import zlib
from typing import NamedTuple

from ..recording.messages import Message
from ..wire.events import C2S, Dir, Frame, frame_header, mask_at
from ..wire.http1 import head_fields
from .script import Step

EXTENSIONS = "sec-websocket-extensions"
DEFLATE = "permessage-deflate"
_TAIL = b"\x00\x00\xff\xff"  # RFC 7692, 7.2.1
_TAKEOVER = ("client_no_context_takeover", "server_no_context_takeover")
_BITS = ("client_max_window_bits", "server_max_window_bits")


class Side(NamedTuple):
    """What was agreed for one direction: whether the window is kept from message to message, and its size in bits."""

    takeover: bool
    bits: int

    def reads(self, sent: Side) -> bool:
        """Whether a receiver of this agreement can read what was compressed under `sent`."""
        return sent.bits <= self.bits and (self.takeover or not sent.takeover)


class Agreement(NamedTuple):
    """permessage-deflate as one response agreed to it."""

    client: Side
    server: Side

    def of(self, dir: Dir) -> Side:
        return self.client if dir == C2S else self.server


def offers(raw: bytes) -> list[tuple[str, dict[str, str | None]]]:
    """The extensions that a head names, with their parameters, in order."""
    values = [value for name, value in head_fields(raw) if name.lower() == EXTENSIONS]
    found = []
    for value in ",".join(values).split(","):
        name, *params = (part.strip() for part in value.split(";"))
        if name:
            pairs = (param.partition("=") for param in params if param)
            found.append(
                (name.lower(), {key.strip().lower(): val.strip(' "') if eq else None for key, eq, val in pairs})
            )
    return found


def agreement(response: bytes) -> Agreement | None:
    """What a 101 response agreed to; None without permessage-deflate."""
    for name, params in offers(response):
        if name == DEFLATE:
            client, server = (
                Side(no_takeover not in params, _window(params.get(bits)))
                for no_takeover, bits in zip(_TAKEOVER, _BITS, strict=True)
            )
            return Agreement(client, server)
    return None


def _window(value: str | None) -> int:
    return int(value) if value is not None and re.fullmatch(r"[89]|1[0-5]", value) else 15


def answer_to(offered: bytes, recorded_offer: bytes, recorded_answer: bytes) -> str | None:
    """The Sec-WebSocket-Extensions that a server answers with; None for none.

    As recorded where that is a legal answer to this offer, else the least that the offer asks for.

    Args:
        offered: the live request's head.
        recorded_offer: the recorded request's head.
        recorded_answer: the recorded response's head.
    """
    recorded = [value for name, value in head_fields(recorded_answer) if name.lower() == EXTENSIONS]
    if not recorded:
        return None
    if offers(offered) == offers(recorded_offer):
        return ", ".join(recorded)
    agreed = offers(recorded_answer)
    for name, params in offers(offered):
        if name != DEFLATE:
            continue
        if len(agreed) == 1 and agreed[0][0] == DEFLATE and _legal(agreed[0][1], params):
            return ", ".join(recorded)
        answer = [DEFLATE]
        if _TAKEOVER[1] in params:
            answer.append(_TAKEOVER[1])
        if params.get(_BITS[1]) is not None:
            answer.append(f"{_BITS[1]}={params[_BITS[1]]}")
        return "; ".join(answer) if agreed and any(name == DEFLATE for name, _ in agreed) else None
    return None


def _legal(answer: dict[str, str | None], offer: dict[str, str | None]) -> bool:
    """Whether an answer is one that this offer permits (RFC 7692, 7.1)."""
    if _TAKEOVER[1] in offer and _TAKEOVER[1] not in answer:
        return False
    if offer.get(_BITS[1]) is not None and _window(answer.get(_BITS[1])) > _window(offer[_BITS[1]]):
        return False
    return not (_BITS[0] in answer and _BITS[0] not in offer)


class Encoder:
    """Encodes the steps of one direction, in the order in which they are sent.

    Args:
        recorded: the agreement of the recording.
        live: that of this connection.
        rewritten: something in this direction is not as it was recorded, so a kept window is not either.
    """

    def __init__(self, dir: Dir, recorded: Agreement | None, live: Agreement | None, *, rewritten: bool) -> None:
        self._side = live.of(dir) if live is not None else None
        before = recorded.of(dir) if recorded is not None else None
        fits = self._side is not None and before is not None and self._side.reads(before)
        self._as_recorded = fits and not (rewritten and before is not None and before.takeover)
        self._deflater: zlib._Compress | None = None
        self._fragments: dict[int, list[bytes]] = {}  # by id of the message: those that are still to be sent

    def frame(self, step: Step, frame: Frame) -> bytes:
        """The bytes of one frame on the wire."""
        message = step.message
        if message is not None and not message.is_control and not self._untouched(step, message):
            compressed = message.compressed and self._side is not None and self._side.bits > 8
            payload = self._fragment(step, message, compressed=compressed)
            b0 = frame.b0
            if step.part == 0:
                b0 = b0 | 0x40 if compressed else b0 & ~0x40
            frame = frame._replace(b0=b0, payload=payload, length=len(payload), form=_form(len(payload)))
        elif step.edited and message is not None:
            frame = frame._replace(payload=message.data, length=len(message.data), form=_form(len(message.data)))
        if frame.mask is None:
            return frame_header(frame) + frame.payload
        frame = frame._replace(mask=os.urandom(4))
        assert frame.mask is not None
        return frame_header(frame) + mask_at(frame.payload, frame.mask, 0)

    def _untouched(self, step: Step, message: Message) -> bool:
        if message.error is not None:  # nobody could read it: it goes as it came
            return True
        return not step.edited and (not message.compressed or self._as_recorded)

    def _fragment(self, step: Step, message: Message, *, compressed: bool) -> bytes:
        if step.part == 0:
            data = self._deflated(message.data) if compressed else message.data
            self._fragments[id(message)] = cut(data, step.sizes)
        waiting = self._fragments.get(id(message))
        if not waiting:
            return b""
        first = waiting.pop(0)
        if not waiting:
            del self._fragments[id(message)]
        return first

    def _deflated(self, data: bytes) -> bytes:
        assert self._side is not None
        if self._deflater is None or not self._side.takeover:
            self._deflater = zlib.compressobj(wbits=-self._side.bits)
        return (self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)


def _form(length: int) -> int:
    return 7 if length < 126 else 16 if length < 1 << 16 else 64


def cut(data: bytes, sizes: tuple[int, ...]) -> list[bytes]:
    """Data in as many parts as there are sizes: of these sizes if they add up to it, else in their proportion."""
    total = sum(sizes)
    if len(sizes) < 2:
        return [data]
    parts, at, seen = [], 0, 0
    for size in sizes[:-1]:
        seen += size
        stop = seen if total == len(data) else len(data) * seen // total if total else 0
        parts.append(data[at:stop])
        at = stop
    return [*parts, data[at:]]
