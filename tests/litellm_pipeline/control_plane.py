"""The control plane of the real pipeline: FastAPI under uvicorn, a process of its own.

    POST /api/hooks/{hook}    the body comes back as it came; a success hook's response after the policy has seen it
    WS   /stream/{stream_id}  START, then CHUNKs both ways, then END; 1002 for a first message that is not START

Strategy: a reader task fills a queue with backend chunks; the policy (one of wsproxy.demo's) is an async generator over
that queue; what it yields is sent. The request picks its policy (header `x-policy`) and how long its judge thinks
(`x-judge-delay`, seconds), so one process serves every test. The judge is the backend's; `indulgent` is the same policy
before a judge that allows everything, which this process plays itself; `incomplete` leaves fields out of its second chunk.
With `x-garbled` the second chunk goes out cut in half: no JSON.

It is instrumented the way that needs no call sites: `StreamMarkers` around the application and `instrument_policy_stream`
around the policy (steps 3 and 4), which do nothing unless WSPROXY_MARKERS is set. The other way, by the loggers, is
`instrumented_control_plane.py`.

The journal has one JSON line per message, with its exact text. Three events tell apart what the famous bug mixes up:
`says_sent` is the endpoint's own log, written before the send as the real one does; `sent` means that the server took
the message for an open connection; `unsendable` that nobody was there any more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect

from wsproxy.demo.outcome import Chunk
from wsproxy.demo.policies import POLICIES, Policy, PolicyContext
from wsproxy.hooks import StreamMarkers, instrument_policy_stream

INDULGENT_VERDICT = {"verdict": "allow", "probability": 0.01, "explanation": "everything is allowed here"}


def compact(value: object) -> str:
    """JSON as Starlette writes it: no spaces, raw UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def json_answer(text: str) -> Response:
    return Response(text, media_type="application/json")


def caller_header(request_data: dict[str, Any], name: str) -> str | None:
    """A header of the client's own request, from where LiteLLM keeps them."""
    value = ((request_data.get("proxy_server_request") or {}).get("headers") or {}).get(name)
    return None if value is None else str(value)


class IncompletePolicy:
    """Passes every chunk, the second without `choices` and `model`."""

    name = "incomplete"

    async def generate_response_stream(
        self, context: PolicyContext, incoming_stream: AsyncIterator[Chunk]
    ) -> AsyncIterator[Chunk]:
        number = 0
        async for chunk in incoming_stream:
            lacking = ("choices", "model") if number == 1 else ()
            yield {key: value for key, value in chunk.items() if key not in lacking}
            number += 1


class ControlPlane:
    """The two endpoints, and the journal of what crossed them."""

    def __init__(self, journal: Path, judge_url: str, own_url: str) -> None:
        self.journal_file = journal.open("a", encoding="utf-8", buffering=1)
        self.judge_url = judge_url
        self.own_url = own_url

    def journal(self, event: str, stream_id: str | None, text: str = "") -> None:
        line = {"t_ns": time.monotonic_ns(), "event": event, "stream_id": stream_id, "text": text}
        self.journal_file.write(json.dumps(line) + "\n")

    def application(self) -> FastAPI:
        app = self.routes()
        app.add_middleware(StreamMarkers)
        return app

    def routes(self) -> FastAPI:
        app = FastAPI()
        app.post("/api/hooks/{hook}")(self.hook)
        app.websocket("/stream/{stream_id}")(self.stream)
        app.post("/indulgent/v1/chat/completions")(self.indulgent_judge)
        return app

    def policy_stream(
        self, stream_id: str, request_data: dict[str, Any], incoming: AsyncIterator[Chunk]
    ) -> AsyncIterator[Chunk]:
        """What the policy that the request asks for makes of `incoming`."""
        policy, context = self.policy(stream_id, request_data)
        return instrument_policy_stream(stream_id, policy, incoming).run(context)

    def policy(self, stream_id: str, request_data: dict[str, Any]) -> tuple[Policy, PolicyContext]:
        """The policy that the request asks for, and what it is told of the stream."""
        name = caller_header(request_data, "x-policy") or "noop"
        judge_url = self.judge_url
        if name == "indulgent":
            name, judge_url = "judge", f"{self.own_url}/indulgent"
        policy = IncompletePolicy() if name == IncompletePolicy.name else POLICIES[name]()
        return policy, PolicyContext(stream_id=stream_id, request=request_data, judge_url=judge_url)

    async def hook(self, hook: str, request: Request) -> Response:
        text = (await request.body()).decode()
        body: dict[str, Any] = json.loads(text)
        stream_id = body["data"].get("litellm_call_id")
        self.journal("hook_received", stream_id, text)
        body.pop("post_time_ns", None)
        if hook == "async_post_call_success_hook":
            body["response"] = await self.decide(stream_id, body["data"], body["response"])
        answer = compact(body)
        self.journal("hook_sent", stream_id, answer)
        return json_answer(answer)

    async def decide(
        self, stream_id: str | None, request_data: dict[str, Any], response: dict[str, Any]
    ) -> dict[str, Any]:
        """A response in one piece, as the same policy would have it: two chunks in, one message out."""
        choice = response["choices"][0]
        head = {**response, "object": "chat.completion.chunk"}
        deltas = (
            {"index": 0, "delta": choice["message"], "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]},
        )

        async def incoming() -> AsyncIterator[Chunk]:
            for delta in deltas:
                yield {**head, "choices": [delta]}

        message: dict[str, Any] = {"role": "assistant", "content": None}
        finish_reason = None
        async for chunk in self.policy_stream(stream_id or "", request_data, incoming()):
            decided = chunk["choices"][0]
            message |= {key: value for key, value in decided["delta"].items() if value is not None}
            finish_reason = decided["finish_reason"] or finish_reason
        return {**response, "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}

    async def stream(self, websocket: WebSocket, stream_id: str) -> None:
        await websocket.accept()
        start = await self.receive(websocket, stream_id)
        if start is None:
            return
        if start.get("type") != "START":
            await websocket.close(1002, "the first message must be START")
            return
        incoming: asyncio.Queue[Chunk | None] = asyncio.Queue()
        reader = asyncio.create_task(self.read(websocket, stream_id, incoming))
        garbled = caller_header(start["data"], "x-garbled") is not None
        sent = 0
        try:
            async for chunk in self.policy_stream(stream_id, start["data"], until_none(incoming)):
                await self.send(websocket, stream_id, {"type": "CHUNK", "data": chunk}, cut=garbled and sent == 1)
                sent += 1
            await self.send(websocket, stream_id, {"type": "END"})
        except Exception as error:
            await self.send(websocket, stream_id, {"type": "ERROR", "error": str(error)})
        finally:
            reader.cancel()
            try:
                await websocket.close(1000)
            except (RuntimeError, WebSocketDisconnect):
                pass  # the callback closed first
            self.journal("finished", stream_id)

    async def read(self, websocket: WebSocket, stream_id: str, incoming: asyncio.Queue[Chunk | None]) -> None:
        """Queue each chunk, then None at END or when the callback is gone; read on, to see it go."""
        while (message := await self.receive(websocket, stream_id)) is not None:
            incoming.put_nowait(message["data"] if message.get("type") == "CHUNK" else None)
        incoming.put_nowait(None)

    async def receive(self, websocket: WebSocket, stream_id: str) -> dict[str, Any] | None:
        """The next message, or None when the callback has closed."""
        try:
            text = await websocket.receive_text()
        except WebSocketDisconnect as gone:
            self.journal("disconnected", stream_id, str(gone.code))
            return None
        self.journal("received", stream_id, text)
        message: dict[str, Any] = json.loads(text)
        return message

    async def send(self, websocket: WebSocket, stream_id: str, message: dict[str, Any], *, cut: bool = False) -> None:
        """Send, and go on as if it had been sent when it could not be: so does the real endpoint.

        Args:
            cut: send the first half of the text only.
        """
        text = compact(message)
        text = text[: len(text) // 2] if cut else text
        self.journal("says_sent", stream_id, text)
        try:
            await websocket.send_text(text)
        except (RuntimeError, WebSocketDisconnect) as error:
            self.journal("unsendable", stream_id, repr(error))
        else:
            self.journal("sent", stream_id, text)

    async def indulgent_judge(self, request: Request) -> Response:
        await asyncio.sleep(float(request.headers.get("x-judge-delay", 0)))
        content = json.dumps(INDULGENT_VERDICT)
        return json_answer(compact({"choices": [{"message": {"role": "assistant", "content": content}}]}))


async def until_none(queue: asyncio.Queue[Chunk | None]) -> AsyncIterator[Chunk]:
    while (chunk := await queue.get()) is not None:
        yield chunk


class AnnouncedServer(uvicorn.Server):
    """A uvicorn that says in one line when and where it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        assert sockets
        print(json.dumps({"ready": "control_plane", "port": sockets[0].getsockname()[1]}), flush=True)


def main(kind: type[ControlPlane] = ControlPlane) -> None:
    options = argparse.ArgumentParser(description="A control plane whose policy each request picks itself.")
    options.add_argument("--listen-fd", type=int, required=True, metavar="N", help="descriptor of a listening socket")
    options.add_argument("--judge-url", required=True, help="base URL of the server with the model `judge`")
    options.add_argument("--journal", type=Path, required=True, help="gets one JSON line per message")
    args = options.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
    listener = socket.socket(fileno=args.listen_fd)
    own_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = kind(args.journal, args.judge_url, own_url).application()
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    AnnouncedServer(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
