"""A fake LLM backend that speaks the OpenAI API, and the judge model beside it.

Strategy: what is answered is a pure function of the request, ids and times included, so that two runs can
be compared byte for byte; the server around it only adds the pace. The last user message picks the answer:
a wish to destroy something gets a tool call that does, "long" gets two hundred words, anything else a short
text. A request for the model `judge` gets a verdict on the text of its last message instead.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from aiohttp import web

from wsproxy.demo import part
from wsproxy.demo.outcome import Chunk

CREATED = 1_700_000_000
"""The `created` of every answer: a real clock would make no two runs alike."""

_TEXT = ("Hello", ", this is ", "the demo's ", "backend: ", "all is well", " \u2615\u00e9.")
_ARGUMENTS = ('{"que', 'ry": ', '"DROP TABLE', ' users"}')
_WORDS = ("one", "stream", "of", "many", "small", "words", "goes", "by")
_LONG = 200
_HARMFUL = re.compile(r"delete|drop|harmful", re.IGNORECASE)
_DESTRUCTIVE = re.compile(r"\b(DROP|DELETE)\b", re.IGNORECASE)


def last_user_message(request: dict[str, Any]) -> str:
    """The text of the last message whose role is user ("" if there is none)."""
    for message in reversed(request.get("messages") or []):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                return "".join(piece.get("text") or "" for piece in content)
            return content or ""
    return ""


def deltas(prompt: str) -> Iterator[dict[str, Any]]:
    """The deltas that answer `prompt`, without the finish."""
    if _HARMFUL.search(prompt):
        name = {
            "index": 0,
            "id": "call_1",
            "type": "function",
            "function": {"name": "run_sql", "arguments": ""},
        }
        yield {"role": "assistant", "content": None, "tool_calls": [name]}
        for fragment in _ARGUMENTS:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": fragment}}]}
        return
    long = "long" in prompt.lower()
    words = (f"{_WORDS[n % len(_WORDS)]}-{n} " for n in range(_LONG)) if long else iter(_TEXT)
    for n, word in enumerate(words):
        yield {"role": "assistant", "content": word} if n == 0 else {"content": word}


def chunks(request: dict[str, Any]) -> Iterator[Chunk]:
    """The whole streamed answer to `request`, the finish included."""
    head = _head(request, "chat.completion.chunk")
    calls_tool = False
    for delta in deltas(last_user_message(request)):
        calls_tool = calls_tool or "tool_calls" in delta
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {
        **head,
        "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls_tool else "stop"}],
    }


def completion(request: dict[str, Any]) -> dict[str, Any]:
    """The same answer in one piece."""
    prompt = last_user_message(request)
    if _is_judge(request):
        return _whole(request, {"role": "assistant", "content": json.dumps(verdict(prompt))}, "stop")
    if _HARMFUL.search(prompt):
        function = {"name": "run_sql", "arguments": "".join(_ARGUMENTS)}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        return _whole(request, {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls")
    text = "".join(delta["content"] for delta in deltas(prompt))
    return _whole(request, {"role": "assistant", "content": text}, "stop")


def verdict(text: str) -> dict[str, Any]:
    """The judge's opinion of `text`."""
    found = _DESTRUCTIVE.search(text)
    if found is None:
        return {"verdict": "allow", "probability": 0.03, "explanation": "nothing destructive"}
    return {"verdict": "block", "probability": 0.97, "explanation": f"destructive SQL ({found[0].upper()})"}


def _is_judge(request: dict[str, Any]) -> bool:
    model = str(request.get("model"))
    return model == "judge" or model.startswith("openai/judge")


def _head(request: dict[str, Any], kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    return {
        "id": f"chatcmpl-{digest[:24]}",
        "object": kind,
        "created": CREATED,
        "model": str(request.get("model")),
    }


def _whole(request: dict[str, Any], message: dict[str, Any], finish_reason: str) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {**_head(request, "chat.completion"), "choices": [choice]}


async def paced(answer: Iterable[Chunk], interval: float) -> AsyncIterator[Chunk]:
    """An answer as it is streamed: `interval` seconds after each chunk."""
    for chunk in answer:
        yield chunk
        await asyncio.sleep(interval)


Pace = Callable[[Iterable[Chunk], float], AsyncIterator[Chunk]]


def application(*, chunk_interval: float, judge_delay: float, pace: Pace = paced) -> web.Application:
    """The server; both times in seconds. A request's `x-judge-delay` header overrides `judge_delay`."""

    async def completions(request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
            delay = float(request.headers.get("x-judge-delay", judge_delay))
        except ValueError as error:
            return web.json_response({"error": {"message": str(error)}}, status=400)
        if _is_judge(body):
            await asyncio.sleep(delay)
            return web.json_response(completion(body))
        if not body.get("stream"):
            return web.json_response(completion(body))
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
        await response.prepare(request)
        try:
            async for chunk in pace(chunks(body), chunk_interval):
                await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            await response.write(b"data: [DONE]\n\n")
        except ConnectionResetError:
            pass  # the client left, which is its right
        return response

    async def models(_: web.Request) -> web.Response:
        listed = [{"id": name, "object": "model", "created": CREATED, "owned_by": "demo"} for name in ("demo", "judge")]
        return web.json_response({"object": "list", "data": listed})

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application()
    app.router.add_post("/v1/chat/completions", completions)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/health", health)
    return app


def main() -> None:
    from wsproxy.demo.faulty import backend as faulty

    options = part.parser("backend", "A fake OpenAI-compatible backend and judge.", "backend")
    options.add_argument("--chunk-interval", type=float, default=0.01, metavar="SECONDS")
    options.add_argument("--judge-delay", type=float, default=0.3, metavar="SECONDS")
    args = options.parse_args()
    pace = faulty.PACES[args.fault] if args.fault else paced
    app = application(chunk_interval=args.chunk_interval, judge_delay=args.judge_delay, pace=pace)
    part.run("backend", app, args)


if __name__ == "__main__":
    main()
