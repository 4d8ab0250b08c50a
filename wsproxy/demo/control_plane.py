"""The control plane: hooks over HTTP, streams over WebSocket, one policy over both.

Strategy: for each stream one task reads the socket into a queue, whatever else happens, so that pings and a
close frame are answered while a policy thinks; the handler drives the policy from the queue and sends what
it yields. Sending is as careless as in the original: when the peer has closed, the policy goes on, decides,
and the log says "sent". That log is the witness that misled everybody; it is kept, and `GET /decisions`
gives it out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from aiohttp import WSMsgType, web

from wsproxy.demo import part
from wsproxy.demo.outcome import Chunk, Decision, Folded
from wsproxy.demo.policies import POLICIES, PolicyContext

log = logging.getLogger("control-plane")

_MAX_MESSAGE = 16 * 1024 * 1024
_PING_SECONDS = 20.0
_CLOSED = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


class Stream:
    """One response under a policy: its chunks in, and the account of what went out."""

    def __init__(self, stream_id: str, policy: str, judge_url: str, request: dict[str, Any]) -> None:
        self.policy = policy
        self.context = PolicyContext(stream_id=stream_id, request=request, judge_url=judge_url)
        self.incoming: asyncio.Queue[Chunk | None] = asyncio.Queue()
        self.sent = Folded()
        self.sent_at: float | None = None
        self.last_chunk_at: float | None = None

    def feed(self, chunk: Chunk) -> None:
        self.last_chunk_at = time.time()
        self.incoming.put_nowait(chunk)

    def end(self) -> None:
        self.incoming.put_nowait(None)

    async def outgoing(self) -> AsyncIterator[Chunk]:
        """The policy's chunks. Between two of them the previous one was sent, or so the log will say."""
        async for chunk in POLICIES[self.policy]().generate_response_stream(self.context, self._chunks_in()):
            yield chunk
            self.sent.add(chunk)
            self.sent_at = time.time()

    async def _chunks_in(self) -> AsyncIterator[Chunk]:
        while (chunk := await self.incoming.get()) is not None:
            yield chunk

    def decision(self) -> Decision:
        return Decision(
            stream_id=self.context.stream_id,
            policy=self.policy,
            decided=self.context.decided or "failed",
            text=self.sent.text,
            tool_arguments=self.sent.tool_arguments,
            chunks=self.sent.chunks,
            at=self.context.decided_at or time.time(),
            sent_at=self.sent_at,
            last_chunk_at=self.last_chunk_at,
        )


class ControlPlane:
    """The server's handlers and what it remembers."""

    def __init__(self, policy: str, judge_url: str) -> None:
        self.policy = policy
        self.judge_url = judge_url
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
                log.warning("HOOK policy %s failed: %r", self.policy, error)
                return _json({"detail": str(error)}, status=500)
        return _json(body)

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        """`/stream/{id}`: START, then chunks both ways, END, close."""
        ws = web.WebSocketResponse(max_msg_size=_MAX_MESSAGE, heartbeat=_PING_SECONDS, compress=True)
        await ws.prepare(request)
        start = _message(await ws.receive())
        if start.get("type") != "START":
            await ws.close(code=1002, message=b"the first message must be START")
            return ws
        stream = Stream(request.match_info["stream_id"], self.policy, self.judge_url, start.get("data") or {})
        reader = asyncio.create_task(_read(ws, stream))
        try:
            async for chunk in stream.outgoing():
                await _send(ws, {"type": "CHUNK", "data": chunk})
            await _send(ws, {"type": "END"})
        except Exception as error:
            log.warning("STREAM [%s] policy %s failed: %r", stream.context.stream_id, self.policy, error)
            await _send(ws, {"type": "ERROR", "error": str(error)})
        finally:
            await self._remember(stream.decision())
            # One reader at a time: while this one waits, close() would not wait for the peer's close frame.
            reader.cancel()
            await asyncio.wait((reader,))
            await ws.close()
        return ws

    async def decisions(self, request: web.Request) -> web.Response:
        """What was decided; `?stream_id=ID&wait=SECONDS` waits until that stream is."""
        stream_id = request.query.get("stream_id")
        wait = float(request.query.get("wait", 0))
        if stream_id is not None and wait > 0:
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
        stream = Stream(str(data.get("litellm_call_id")), self.policy, self.judge_url, data)
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


async def _read(ws: web.WebSocketResponse, stream: Stream) -> None:
    """Feed the stream until its END, and go on reading until the socket closes."""
    try:
        while (frame := await ws.receive()).type not in _CLOSED:
            message = _message(frame)
            if message.get("type") == "CHUNK":
                stream.feed(message["data"])
            elif message.get("type") == "END":
                stream.end()
    finally:
        stream.end()


async def _send(ws: web.WebSocketResponse, message: dict[str, Any]) -> None:
    try:
        await ws.send_str(_compact(message))
    except ConnectionError:
        pass  # the original does not notice either: this is how its log comes to say "sent"


def _message(frame: Any) -> dict[str, Any]:
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


def main() -> None:
    options = part.parser("control_plane", "A control plane that runs one policy.")
    options.add_argument("--policy", choices=sorted(POLICIES), default="noop")
    options.add_argument("--judge-url", default="", metavar="URL", help="base URL of the judge's server")
    args = options.parse_args()
    part.run("control_plane", ControlPlane(args.policy, args.judge_url).application(), args.port)


if __name__ == "__main__":
    main()
