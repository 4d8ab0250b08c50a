"""`instrument_websocket`: a WebSocket connection whose messages are marked (steps 2 and 5, seen from inside a process).

Strategy: the connection stays the object that it is; its `send…` and receive methods are replaced on the instance, and
the library's own helpers (`async for`, `send_json`, `receive_str` …) call those. Which library it is shows in the names
of its methods, so none is imported. A message counts as sent when the library took it, with the time from before, because
the wire may be faster than the return; one that the library refuses is `ws.send_failed`.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from wsproxy import stages

from . import marks
from .messages import Message, failure, read
from .wording import log

W = TypeVar("W")

# websockets: new and legacy asyncio connections, client and server · aiohttp: ClientWebSocketResponse, WebSocketResponse
_LIBRARIES: Final = (
    (("send",), "recv"),
    (("send_str", "send_bytes"), "receive"),
)
_AIOHTTP_DATA: Final = (1, 2)  # WSMsgType.TEXT, .BINARY


def instrument_websocket(ws: W, stream_id: str) -> W:
    """Mark each message of a connection: `ws.sent`, `ws.received`, `ws.json_error`, `ws.send_failed`.

    Takes what `websockets.connect` and a `websockets` server handler give (13.1 and later, the legacy classes too), and
    aiohttp's `ClientWebSocketResponse` and `WebSocketResponse` (before or after `prepare`). Returns the same object.

    The data is the message, parsed; of a START only a summary. A CHUNK has its index, counted for each direction. Messages
    sent in fragments are marked without content; those read with `recv_streaming` are not marked.
    """
    try:
        if marks.enabled() and not hasattr(ws, "_wsproxy_stream"):
            _instrument(ws, stream_id)
    except Exception as error:  # a class that takes no attributes
        log.warning("cannot mark the messages of %s: %s", type(ws).__name__, error)
    return ws


def _instrument(ws: Any, stream_id: str) -> None:
    for sends, receive in _LIBRARIES:
        if all(hasattr(ws, name) for name in (*sends, receive)):
            sent, received = _Direction(stream_id, stages.WS_SENT), _Direction(stream_id, stages.WS_RECEIVED)
            ws._wsproxy_stream = stream_id
            for name in sends:
                setattr(ws, name, _sending(getattr(ws, name), sent))
            setattr(ws, receive, _receiving(getattr(ws, receive), received))
            return
    log.warning("cannot mark the messages of %s: it is no connection of websockets or aiohttp", type(ws).__name__)


class _Direction:
    """The messages of one direction, as marks."""

    def __init__(self, stream_id: str, stage: str) -> None:
        self._stream_id = stream_id
        self._stage = stage
        self._chunks = 0

    @marks.quiet
    def passed(self, payload: object, at: tuple[int, int]) -> None:
        message = read(payload)
        marks.record(self._stream_id, self._stage, self._index(message), message.data, at=at)
        if message.error is not None:
            data = {"error": message.error, "raw": message.data["raw"], "stage": self._stage}
            marks.record(self._stream_id, stages.WS_JSON_ERROR, None, data, at=at)

    @marks.quiet
    def refused(self, payload: object, error: BaseException, at: tuple[int, int]) -> None:
        data = {**failure(error), "message": read(payload).data}
        marks.record(self._stream_id, stages.WS_SEND_FAILED, None, data, at=at)

    def _index(self, message: Message) -> int | None:
        if message.type != "CHUNK":
            return None
        self._chunks += 1
        return self._chunks - 1


def _sending(send: Callable[..., Awaitable[Any]], sent: _Direction) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(send)
    async def observed(message: Any, *args: Any, **kwargs: Any) -> Any:
        at = marks.moment()
        # A bytearray may be changed while the library waits for the socket.
        payload = bytes(message) if isinstance(message, (bytearray, memoryview)) else message
        try:
            result = await send(message, *args, **kwargs)
        except BaseException as error:
            sent.refused(payload, error, at)
            raise
        sent.passed(payload, at)
        return result

    return observed


def _receiving(receive: Callable[..., Awaitable[Any]], received: _Direction) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(receive)
    async def observed(*args: Any, **kwargs: Any) -> Any:
        message = await receive(*args, **kwargs)
        payload = _payload(message)
        if payload is not None:
            received.passed(payload, marks.moment())
        return message

    return observed


def _payload(message: Any) -> object:
    """The text or bytes of what was received; None for aiohttp's news of a close."""
    if isinstance(message, (str, bytes)):
        return message
    return message.data if getattr(message, "type", None) in _AIOHTTP_DATA else None
