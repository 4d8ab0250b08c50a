"""picows hands out frames; this joins them into messages. It knows no permessage-deflate."""

from __future__ import annotations

from typing import Any

from conversation import Data
from picows import WSFrame, WSListener, WSMsgType, WSTransport


def text_or_bytes(kind: WSMsgType, raw: bytes) -> Data:
    return raw.decode() if kind == WSMsgType.TEXT else raw


def send_parts(transport: WSTransport, parts: list[Data]) -> None:
    """One message, a frame for each part."""
    kind = WSMsgType.TEXT if isinstance(parts[0], str) else WSMsgType.BINARY
    for n, part in enumerate(parts, 1):
        raw = part.encode() if isinstance(part, str) else part
        transport.send(kind if n == 1 else WSMsgType.CONTINUATION, raw, fin=n == len(parts))


class Messages(WSListener):  # type: ignore[misc]
    """A listener that gets whole messages."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._kind = WSMsgType.TEXT

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            raw = frame.get_payload_as_bytes()
            code, reason = int.from_bytes(raw[:2], "big") if raw else 1005, raw[2:]
            self.on_close(code, reason.decode())
            if not transport.is_close_frame_sent:
                send_close(transport, None if code == 1005 else code, reason)
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            if frame.msg_type != WSMsgType.CONTINUATION:
                self._kind = frame.msg_type
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                raw, self._parts = b"".join(self._parts), []
                self.on_message(transport, text_or_bytes(self._kind, raw))

    def on_message(self, transport: WSTransport, data: Data) -> None: ...

    def on_close(self, code: int, reason: str) -> None: ...


def send_close(transport: WSTransport, code: Any, reason: bytes) -> None:
    if code is None:
        transport.send(WSMsgType.CLOSE, b"")  # its send_close() would write the code 0, which nobody may send
    else:
        transport.send_close(code, reason)
