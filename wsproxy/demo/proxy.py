"""A small LiteLLM: the OpenAI API to the client, the callback and its hooks towards the control plane.

Strategy: one handler. It gives the call an id, posts the pre-call hook, calls the backend and, when the
client streams, hands the backend's chunks to `callback.stream_through_control_plane` and the outcome to the
client as server-sent events. The client's `[DONE]` comes when the callback's generator has ended, its close
handshake included.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import aiohttp
from aiohttp import web

from wsproxy.demo import part
from wsproxy.demo.callback import ControlStream, post_hook, stream_through_control_plane
from wsproxy.demo.litellm_shapes import hook_body, request_data, routed, with_defaults, without_nulls
from wsproxy.demo.outcome import Chunk

_BACKEND = web.AppKey("backend", aiohttp.ClientSession)
_EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


def application(
    *, backend: str, control_plane: str, fixed: bool, control_stream: type[ControlStream] = ControlStream
) -> web.Application:
    """The server; both URLs without a path. `fixed` and `control_stream` are the callback's."""

    async def completions(request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
        except ValueError as error:
            return web.json_response({"error": {"message": str(error)}}, status=400)
        call_id = str(uuid.uuid4())
        headers = {name.lower(): value for name, value in request.headers.items()}
        data = request_data(body, call_id=call_id, url=str(request.url), headers=headers)
        await post_hook(control_plane, "async_pre_call_hook", hook_body(data, call_type="acompletion"))
        data = routed(data, backend=backend)
        try:
            upstream = await request.app[_BACKEND].post(f"{backend}/v1/chat/completions", json=body)
        except aiohttp.ClientError as error:
            return web.json_response({"error": {"message": f"no backend: {error}"}}, status=502)
        async with upstream:
            if upstream.status != 200:
                return web.Response(status=upstream.status, body=await upstream.read())
            if body.get("stream"):
                return await _streamed(request, call_id, data, upstream)
            return await _whole(call_id, data, await upstream.json())

    async def _streamed(
        request: web.Request, call_id: str, data: dict[str, Any], upstream: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={**_EVENT_STREAM, "x-litellm-call-id": call_id})
        await response.prepare(request)
        response_chunks = backend_chunks(upstream)
        chunks = stream_through_control_plane(
            control_plane, call_id, data, response_chunks, fixed=fixed, control_stream=control_stream
        )
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    await response.write(_event(without_nulls(chunk)))
            await response.write(b"data: [DONE]\n\n")
        except ConnectionResetError:
            pass  # the client left first: the callback has closed its stream, and nobody is there to be told
        return response

    async def _whole(call_id: str, data: dict[str, Any], completion: dict[str, Any]) -> web.Response:
        answer = await post_hook(control_plane, "async_post_call_success_hook", hook_body(data, response=completion))
        result = (answer or {}).get("response", completion)
        return web.json_response(result, headers={"x-litellm-call-id": call_id})

    async def health(_: web.Request) -> web.Response:
        return web.json_response("I'm alive!")

    async def session(app: web.Application) -> AsyncIterator[None]:
        unlimited = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
        async with aiohttp.ClientSession(connector=unlimited, timeout=timeout) as app[_BACKEND]:
            yield

    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_post("/v1/chat/completions", completions)
    app.router.add_get("/health/liveliness", health)
    return app


async def backend_chunks(response: aiohttp.ClientResponse) -> AsyncIterator[Chunk]:
    """The chunks of a server-sent event stream, each with LiteLLM's default fields, until its `[DONE]`."""
    async for line in response.content:
        if not line.startswith(b"data: "):
            continue
        event = line.removeprefix(b"data: ").strip()
        if event == b"[DONE]":
            return
        yield with_defaults(json.loads(event))


def _event(chunk: Chunk) -> bytes:
    return b"data: " + json.dumps(chunk, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def main() -> None:
    from wsproxy.demo.faulty import callback as faulty

    options = part.parser("proxy", "A small LiteLLM with the control plane's callback.", "callback")
    options.add_argument("--backend", required=True, metavar="URL")
    options.add_argument("--control-plane", required=True, metavar="URL")
    options.add_argument("--fixed", action="store_true", help="run the callback without its bug")
    args = options.parse_args()
    app = application(
        backend=args.backend,
        control_plane=args.control_plane,
        fixed=args.fixed,
        control_stream=faulty.CONTROL_STREAMS.get(args.fault, ControlStream),
    )
    part.run("proxy", app, args)


if __name__ == "__main__":
    main()
