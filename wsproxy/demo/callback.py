"""The callback inside LiteLLM that streams every response through the control plane, with the famous bug in
it.

Strategy: one receiving task moves control messages from the socket into a queue; the generator forwards
backend chunks and looks at the queue in between. The bug is in how it looks. After each forwarded chunk it
waits up to 50 ms for a first answer; when the backend has ended it waits until there was nothing for 50 ms
more; then it takes silence for the end: it stops receiving, sends END and closes. So whatever the control
plane needs more than about 102 ms for after the last chunk is lost, though its log says "sent".
`fixed=True` sends END first and waits for the control plane's.

All of it is instrumented with `wsproxy.hooks` (steps 1, 2, 5 and 6): nothing unless WSPROXY_MARKERS is set.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from wsproxy.demo.outcome import Chunk
from wsproxy.hooks import get_callback_chunk_logger, get_websocket_logger, instrument_callback

log = logging.getLogger("callback")

POLL_SECONDS = 0.05
"""How long the callback waits for an answer to a chunk, and how long a silence is the end."""
END_SECONDS = 30.0
"""How long the fixed callback waits for the next message of a control plane that has not ended yet."""
HOOK_SECONDS = 10.0

_REQUIRED = ("choices", "model", "created")
# websockets 15 and later take a proxy from the environment unless told not to; 14 knows no such word.
_NO_PROXY: dict[str, Any] = {"proxy": None} if "proxy" in inspect.signature(connect.__init__).parameters else {}


class ControlStream:
    """The stream to the control plane: sends messages, and gives its valid chunks until it has ended."""

    def __init__(self, ws: ClientConnection, stream_id: str) -> None:
        self.ended = False
        self.stream_id = stream_id
        self.ws = ws
        self._arrived: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._taken = 0
        self._receiver = asyncio.create_task(self._receive())

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message. A lost connection does not raise: what it brought is still to be read."""
        get_websocket_logger().log_outgoing(self.stream_id, message)
        with suppress(ConnectionClosed):
            await self.ws.send(json.dumps(message))

    async def first_answers(self, timeout: float) -> AsyncIterator[Chunk]:
        """Wait up to `timeout` seconds for a first message; yield it and what else is there already."""
        wait = timeout
        while not self.ended and (message := await self._next(wait)) is not None:
            wait = 0.0
            if (chunk := self._chunk_of(message)) is not None:
                yield chunk

    async def answers_until_silence(self, timeout: float) -> AsyncIterator[Chunk]:
        """Yield chunks until the end, or until nothing came for `timeout` seconds."""
        while not self.ended and (message := await self._next(timeout)) is not None:
            if (chunk := self._chunk_of(message)) is not None:
                yield chunk

    async def give_up(self) -> None:
        """Stop receiving, and say END if the control plane has not."""
        self.stop_receiving()
        if not self.ended:
            await self.send({"type": "END"})

    def stop_receiving(self) -> None:
        self._receiver.cancel()

    async def _receive(self) -> None:
        seen = get_websocket_logger()
        try:
            async for text in self.ws:
                try:
                    message = json.loads(text)
                except ValueError as error:
                    seen.log_json_error(self.stream_id, text, error)
                    log.warning("[%s] control plane sent no JSON: %s", self.stream_id, error)
                else:
                    seen.log_incoming(self.stream_id, message)
                    self._arrived.put_nowait(message)
        except ConnectionClosed as error:
            log.warning("[%s] control plane closed: %s", self.stream_id, error)
        finally:
            self._arrived.put_nowait(None)

    async def _next(self, timeout: float) -> dict[str, Any] | None:
        """The next message; None when none came in time or the connection is gone (which ends the stream)."""
        if self._arrived.empty():
            if timeout <= 0:
                return None
            try:
                message = await asyncio.wait_for(self._arrived.get(), timeout)
            except TimeoutError:
                return None
        else:
            message = self._arrived.get_nowait()
        self.ended = self.ended or message is None
        return message

    def _chunk_of(self, message: dict[str, Any]) -> Chunk | None:
        """The valid chunk in a message, if it holds one; END and ERROR end the stream."""
        get_callback_chunk_logger().log_control_chunk_received(self.stream_id, message, self._taken)
        self._taken += 1
        if message.get("type") == "CHUNK":
            return _valid(message.get("data"), self.stream_id)
        if message.get("type") == "ERROR":
            log.warning("[%s] control plane failed: %s", self.stream_id, message.get("error"))
        self.ended = self.ended or message.get("type") in ("END", "ERROR")
        return None


@instrument_callback
async def stream_through_control_plane(
    base_url: str,
    stream_id: str,
    request_data: dict[str, Any],
    response: AsyncIterator[Chunk],
    fixed: bool = False,
    control_stream: type[ControlStream] = ControlStream,
) -> AsyncGenerator[Chunk, None]:
    """Stream a response through the control plane and yield what the client is to see.

    Args:
        base_url: the control plane's, `http://host:port`; the stream goes to `ws://host:port/stream/{stream_id}`.
        request_data: the request that START carries.
        response: the backend's chunks; what the control plane does not want any more is not consumed.
        fixed: wait for the control plane's END instead of a silence of 50 ms.
        control_stream: what the stream to the control plane is used through.

    If nothing accepts the stream, all of it passes unfiltered, as with the real callback, and the log warns.
    """
    url = f"ws{base_url.removeprefix('http')}/stream/{stream_id}"
    try:
        ws = await connect(url, **_NO_PROXY)
    except (OSError, TimeoutError, WebSocketException) as error:
        log.warning("[%s] no control plane at %s (%s): passing the stream UNFILTERED", stream_id, url, error)
        async for chunk in response:
            yield chunk
        return
    control = control_stream(ws, stream_id)
    try:
        async with aclosing(_filtered(control, request_data, response, fixed=fixed)) as answers:
            number = 0
            async for answer in answers:
                get_callback_chunk_logger().log_chunk_to_client(stream_id, answer, number)
                yield answer
                number += 1
    finally:
        control.stop_receiving()
        await ws.close()


async def _filtered(
    control: ControlStream, request_data: dict[str, Any], response: AsyncIterator[Chunk], *, fixed: bool
) -> AsyncGenerator[Chunk, None]:
    """Send the response up, and yield what comes down for as long as the callback listens."""
    await control.send({"type": "START", "data": request_data})
    async for chunk in response:
        await control.send({"type": "CHUNK", "data": chunk})
        async for answer in control.first_answers(POLL_SECONDS):
            yield answer
        if control.ended:
            return
    if fixed:
        await control.send({"type": "END"})
        async for answer in control.answers_until_silence(END_SECONDS):
            yield answer
    else:
        async for answer in control.answers_until_silence(POLL_SECONDS):
            yield answer
        await control.give_up()


async def post_hook(base_url: str, hook: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """Post a hook over a connection of its own and give the answer; None (and a warning) if there is none."""
    url = f"{base_url}/api/hooks/{hook}"
    text = json.dumps({**body, "post_time_ns": time.time_ns()}, separators=(",", ":"), ensure_ascii=False)
    timeout = aiohttp.ClientTimeout(total=HOOK_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
            session.post(url, data=text, headers={"content-type": "application/json"}) as response,
        ):
            answer = await response.json()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        log.warning("hook %s got no answer from %s: %r", hook, base_url, error)
        return None
    return answer if isinstance(answer, dict) else None


def _valid(chunk: Any, stream_id: str) -> Chunk | None:
    """The chunk if a client could be given it; else None, and the log says why not."""
    missing = [name for name in _REQUIRED if not isinstance(chunk, dict) or chunk.get(name) is None]
    why = f"no {', '.join(missing)}" if missing else None
    get_callback_chunk_logger().log_chunk_normalized(stream_id, chunk, not missing, why)
    if not missing:
        return dict(chunk)
    log.warning("[%s] dropped an invalid control chunk: %s", stream_id, why)
    return None
