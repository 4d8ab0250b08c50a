"""`StreamMarkers`: ASGI middleware that marks what an endpoint reads and sends (step 3), for FastAPI and Starlette.

Strategy: `receive` and `send` are the endpoint's only doors, so watching them needs no line of its code. What the
endpoint *says* that it sent is another matter than what the server took: a chunk is marked when the server's `send`
has returned, with the time from before; one that came after the connection was over is marked with `after_close`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from wsproxy import stages
from wsproxy.patterns import compiled

from . import marks
from .messages import Message, chunk_of, failure, read
from .snapshot import text_of
from .streams import Totals
from .wording import log

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

STREAM_PATH: Final = r"/stream/(?P<stream_id>[^/]+)/?$"

_NORMAL: Final = (1000, 1001, 1005)


class StreamMarkers:
    """Middleware: `app.add_middleware(StreamMarkers)`, or `app = StreamMarkers(app)`.

    On WebSocket connections whose path matches, marks `endpoint.start` (a summary of START's request),
    `endpoint.chunk_in`, `endpoint.chunk_out`, `endpoint.end` and `endpoint.error` (an ERROR message, an exception, a
    close with an error code). What the server could not send any more has data `{"after_close": true, …}`.

    Args:
        path: a regular expression that is searched for in the path; its group `stream_id`, or its first, is the id.
    """

    def __init__(self, app: App, path: str = STREAM_PATH) -> None:
        self.app = app
        try:
            self._path = compiled(path)
        except (ValueError, TypeError) as error:
            log.warning("StreamMarkers: path: %s; using %s", error, STREAM_PATH)
            self._path = compiled(STREAM_PATH)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream_id = self._stream_id(scope) if scope.get("type") == "websocket" else None
        if stream_id is None or not marks.enabled():
            await self.app(scope, receive, send)
            return
        endpoint = _Endpoint(stream_id)
        try:
            await self.app(scope, _receiving(receive, endpoint), _sending(send, endpoint))
        except BaseException as error:
            endpoint.raised(error)
            raise

    def _stream_id(self, scope: Scope) -> str | None:
        match = self._path.search(str(scope.get("path", "")))
        if match is None:
            return None
        groups = match.groupdict()
        found = groups.get("stream_id") or (match[1] if self._path.groups else match[0])
        return found or None


class _Endpoint:
    """What one connection's endpoint did, as marks."""

    def __init__(self, stream_id: str) -> None:
        self._stream_id = stream_id
        self._in = self._out = 0
        self._over = False  # the endpoint was told that the peer has gone, or closed itself
        self._totals = Totals()

    @marks.quiet
    def received(self, event: Event) -> None:
        if event.get("type") == "websocket.disconnect":
            self._over = True
            return
        message = _message(event)
        if message is None:
            return
        if message.type == "START":
            self._mark(stages.ENDPOINT_START, message.data.get("summary"))
        elif message.type == "CHUNK":
            self._mark(stages.ENDPOINT_CHUNK_IN, chunk_of(message.data), self._in)
            self._in += 1

    @marks.quiet
    def sent(self, event: Event, at: tuple[int, int], error: BaseException | None = None) -> None:
        """The server took what the endpoint sent, or refused it."""
        if event.get("type") == "websocket.close":
            self._closed(event, at)
            return
        message = _message(event)
        if message is None:
            return
        late: dict[str, object] = {"after_close": True} if self._over or error is not None else {}
        if error is not None:
            late |= failure(error)
            self._over = True
        if message.type == "CHUNK":
            chunk = chunk_of(message.data)
            self._mark(stages.ENDPOINT_CHUNK_OUT, {"chunk": chunk, **late} if late else chunk, self._out, at)
            self._out += 1
        elif message.type == "END":
            counts = {"chunks_in": self._in, "chunks_out": self._out}
            self._mark(stages.ENDPOINT_END, {**counts, **self._totals.ending(None), **late}, at=at)
        elif message.type == "ERROR":
            self._mark(stages.ENDPOINT_ERROR, {**late, "error": text_of(message.data.get("error"))}, at=at)

    @marks.quiet
    def raised(self, error: BaseException) -> None:
        if isinstance(error, Exception):  # a cancelled endpoint is a server that stops
            self._mark(stages.ENDPOINT_ERROR, failure(error))

    def _closed(self, event: Event, at: tuple[int, int]) -> None:
        code = event.get("code", 1000)
        if not self._over and code not in _NORMAL:
            reason = text_of(event.get("reason") or "", 200)
            self._mark(stages.ENDPOINT_ERROR, {"error": f"closed with {code} {reason}".strip(), "code": code}, at=at)
        self._over = True

    def _mark(self, stage: str, data: object, index: int | None = None, at: tuple[int, int] | None = None) -> None:
        marks.record(self._stream_id, stage, index, data, at=at)


def _receiving(receive: Receive, endpoint: _Endpoint) -> Receive:
    async def observed() -> Event:
        event = await receive()
        endpoint.received(event)
        return event

    return observed


def _sending(send: Send, endpoint: _Endpoint) -> Send:
    async def observed(event: Event) -> None:
        at = marks.moment()
        try:
            await send(event)
        except BaseException as error:
            endpoint.sent(event, at, error)
            raise
        endpoint.sent(event, at)

    return observed


def _message(event: Event) -> Message | None:
    """The message in a receive or send event; None in one that carries none."""
    payload = event.get("text")
    if payload is None:
        payload = event.get("bytes")
        payload = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else None
    return None if payload is None else read(payload)
