"""The control plane: hooks over HTTP, streams over WebSocket, one policy over both.

Strategy: for each stream one task reads the socket into a queue, whatever else happens, so that pings and a
close frame are answered while a policy thinks; the handler drives the policy from the queue and sends what
it yields. Sending is as careless as in the original: when the peer has closed, the policy goes on, decides,
and the log says "sent". That log is the witness that misled everybody; it is kept, and `GET /decisions`
gives it out.

The endpoint and the policy are instrumented with `wsproxy.hooks` (steps 3 and 4): nothing unless WSPROXY_MARKERS is set.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import WSMsgType, web

from wsproxy.demo import part
from wsproxy.demo.outcome import Chunk, Decision, Folded
from wsproxy.demo.policies import POLICIES, Policy, PolicyContext
from wsproxy.hooks import get_endpoint_logger, instrument_policy_stream

log = logging.getLogger("control-plane")

_MAX_MESSAGE = 16 * 1024 * 1024
_PING_SECONDS = 20.0
_CLOSED = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)

Message = dict[str, Any]


class Connection:
    """A stream's WebSocket as the endpoint uses it: JSON messages in and out."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.ws = web.WebSocketResponse(max_msg_size=_MAX_MESSAGE, heartbeat=_PING_SECONDS, compress=True)
        self._reader: asyncio.Task[None] | None = None

    async def accept(self) -> None:
        await self.ws.prepare(self.request)

    async def receive(self) -> Message | None:
        """The next message ({} for what is no JSON object); None when the connection has closed."""
        frame = await self.ws.receive()
        return None if frame.type in _CLOSED else _message(frame)

    def read(self, take: Callable[[Message | None], None]) -> None:
        """From now on give each message to `take` as it comes, and None when no more will."""

        async def read_on() -> None:
            try:
                while (message := await self.receive()) is not None:
                    take(message)
            finally:
                take(None)

        self._reader = asyncio.create_task(read_on())

    async def send(self, message: Message) -> None:
        try:
            await self.ws.send_str(_compact(message))
        except ConnectionError:
            pass  # the original does not notice either: this is how its log comes to say "sent"

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say close, and wait for the peer's."""
        if self._reader is not None:
            # One reader at a time: while this one waits, aiohttp would not wait for the peer's close frame.
            self._reader.cancel()
            await asyncio.wait((self._reader,))
        await self.ws.close(code=code, message=reason.encode())


class Stream:
    """One response under a policy: its chunks in, and the account of what went out."""

    def __init__(self, stream_id: str, policy: Policy, judge_url: str, request: dict[str, Any]) -> None:
        self.policy = policy
        self.context = PolicyContext(stream_id=stream_id, request=request, judge_url=judge_url)
        self.incoming: asyncio.Queue[Chunk | None] = asyncio.Queue()
        self.chunks_in = 0
        self.sent = Folded()
        self.sent_at: float | None = None
        self.last_chunk_at: float | None = None

    def take(self, message: Message | None) -> None:
        """A message of the callback's, None when there will be no more."""
        if message is None or message.get("type") == "END":
            self.end()
        elif message.get("type") == "CHUNK":
            get_endpoint_logger().log_incoming_chunk(self.context.stream_id, message["data"], self.chunks_in)
            self.feed(message["data"])

    def feed(self, chunk: Chunk) -> None:
        self.chunks_in += 1
        self.last_chunk_at = time.time()
        self.incoming.put_nowait(chunk)

    def end(self) -> None:
        self.incoming.put_nowait(None)

    async def outgoing(self) -> AsyncIterator[Chunk]:
        """The policy's chunks. Between two of them the previous one was sent, or so the log will say."""
        watched = instrument_policy_stream(self.context.stream_id, self.policy, self._chunks_in())
        async for chunk in watched.run(self.context):
            yield chunk
            self.sent.add(chunk)
            self.sent_at = time.time()

    async def _chunks_in(self) -> AsyncIterator[Chunk]:
        while (chunk := await self.incoming.get()) is not None:
            yield chunk

    def decision(self) -> Decision:
        return Decision(
            stream_id=self.context.stream_id,
            policy=self.policy.name,
            decided=self.context.decided or "failed",
            text=self.sent.text,
            tool_arguments=self.sent.tool_arguments,
            chunks=self.sent.chunks,
            at=self.context.decided_at or time.time(),
            sent_at=self.sent_at,
            last_chunk_at=self.last_chunk_at,
        )


class ControlPlane:
    """The server's handlers and what it remembers.

    Args:
        policy: makes the policy of one stream.
        judge_url: base URL of the judge's server.
        connection: what a stream's WebSocket is used through.
    """

    def __init__(self, policy: Callable[[], Policy], judge_url: str, connection: type[Connection] = Connection) -> None:
        self.policy = policy
        self.judge_url = judge_url
        self.connection = connection
        self.begun: set[str] = set()
        self.decided: list[Decision] = []
        self._news = asyncio.Condition()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_MESSAGE)
        app.router.add_post("/api/hooks/{hook}", self.hook)
        app.router.add_get("/stream/{stream_id}", self.stream)
        app.router.add_get("/decisions", self.decisions)
        return app

    async def hook(self, request: web.Request) -> web.Response:
        """Answer a hook with its own body; a response that is complete goes through the policy first."""
        try:
            body = json.loads(await request.read())
        except ValueError as error:
            return _json({"detail": str(error)}, status=400)
        body.pop("post_time_ns", None)
        if request.match_info["hook"] == "async_post_call_success_hook" and "response" in body:
            try:
                body["response"] = await self._whole_response(body.get("data") or {}, body["response"])
            except Exception as error:
                log.warning("HOOK policy failed: %r", error)
                return _json({"detail": str(error)}, status=500)
        return _json(body)

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        """`/stream/{id}`: START, then chunks both ways, END, close."""
        connection = self.connection(request)
        await connection.accept()
        start = await connection.receive() or {}
        if start.get("type") != "START":
            await connection.close(code=1002, reason="the first message must be START")
            return connection.ws
        stream_id, data = request.match_info["stream_id"], start.get("data") or {}
        get_endpoint_logger().log_start_message(stream_id, data)
        try:
            stream = self._begin(stream_id, data)
        except LookupError as error:
            await self._fail(connection, stream_id, error)
            await connection.close()
        else:
            await self._run(connection, stream)
        return connection.ws

    async def _run(self, connection: Connection, stream: Stream) -> None:
        """Drive the policy from the socket, and send what it puts out."""
        stream_id, request, seen = stream.context.stream_id, dict(stream.context.request), get_endpoint_logger()
        connection.read(stream.take)
        try:
            seen.log_policy_invocation(stream_id, type(stream.policy).__name__, request)
            async for chunk in stream.outgoing():
                seen.log_outgoing_chunk(stream_id, chunk, stream.sent.chunks)
                await connection.send({"type": "CHUNK", "data": chunk})
            seen.log_end_message(stream_id)
            await connection.send({"type": "END"})
        except Exception as error:
            await self._fail(connection, stream_id, error)
        finally:
            await self._remember(stream.decision())
            await connection.close()

    async def _fail(self, connection: Connection, stream_id: str, error: Exception) -> None:
        log.warning("STREAM [%s] failed: %r", stream_id, error)
        get_endpoint_logger().log_error(stream_id, error)
        await connection.send({"type": "ERROR", "error": str(error)})

    def _begin(self, stream_id: str, request: dict[str, Any]) -> Stream:
        """A stream under a new policy. Raises LookupError where the policy cannot be had."""
        stream = Stream(stream_id, self.policy(), self.judge_url, request)
        self.begun.add(stream_id)
        return stream

    async def decisions(self, request: web.Request) -> web.Response:
        """What was decided; `?stream_id=ID&wait=SECONDS` waits until that stream is, if it was ever begun."""
        stream_id = request.query.get("stream_id")
        wait = float(request.query.get("wait", 0))
        if stream_id in self.begun and wait > 0:
            try:
                await asyncio.wait_for(self._decided(stream_id), wait)
            except TimeoutError:
                pass  # the list says that it is not there
        return _json([asdict(one) for one in self.decided if stream_id in (None, one.stream_id)])

    async def _decided(self, stream_id: str) -> None:
        async with self._news:
            await self._news.wait_for(lambda: any(one.stream_id == stream_id for one in self.decided))

    async def _remember(self, decision: Decision) -> None:
        line = f"STREAM [{decision.stream_id}] policy {decision.policy} {decision.decided}"
        if decision.sent_at is not None and decision.last_chunk_at is not None:
            late = 1000 * (decision.sent_at - decision.last_chunk_at)
            line += f", sent chunk {late:.0f} ms after the last one came in"
        log.info("%s: %.100r", line, decision.text or decision.tool_arguments)
        async with self._news:
            self.decided.append(decision)
            self._news.notify_all()

    async def _whole_response(self, data: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
        """A response in one piece under the policy: in as two chunks, out as one response again."""
        choice = response["choices"][0]
        head = {**response, "object": "chat.completion.chunk"}
        stream = self._begin(str(data.get("litellm_call_id")), data)
        stream.feed({**head, "choices": [{"index": 0, "delta": choice["message"], "finish_reason": None}]})
        stream.feed({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
        stream.end()
        message: dict[str, Any] = {"role": "assistant", "content": None}
        try:
            async for chunk in stream.outgoing():
                delta = chunk["choices"][0]["delta"]
                message.update({key: value for key, value in delta.items() if value is not None})
        finally:
            await self._remember(stream.decision())
        finish_reason = stream.sent.finish_reasons[-1] if stream.sent.finish_reasons else None
        return {**response, "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}


def _message(frame: Any) -> Message:
    """The JSON object in a text frame; {} for anything else."""
    if frame.type is not WSMsgType.TEXT:
        return {}
    try:
        message = json.loads(frame.data)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, dumps=_compact)


def _unspoilt(policy: Policy) -> Policy:
    return policy


def main() -> None:
    from wsproxy.demo.faulty import endpoint as faulty_endpoint
    from wsproxy.demo.faulty import policies as faulty_policies

    options = part.parser("control_plane", "A control plane that runs one policy.", "endpoint", "policy")
    options.add_argument("--policy", choices=sorted(POLICIES), default="noop")
    options.add_argument("--judge-url", default="", metavar="URL", help="base URL of the judge's server")
    args = options.parse_args()
    sound = POLICIES[args.policy]
    spoil = faulty_policies.POLICIES.get(args.fault, _unspoilt)
    connection = faulty_endpoint.CONNECTIONS.get(args.fault, Connection)
    part.run("control_plane", ControlPlane(lambda: spoil(sound()), args.judge_url, connection).application(), args)


if __name__ == "__main__":
    main()
