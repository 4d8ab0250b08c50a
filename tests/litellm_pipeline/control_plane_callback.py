"""The callback of the real pipeline, as it runs inside LiteLLM: the client of everything that crosses the relay.

Strategy: this is other people's code, told again. The bed copies the file beside LiteLLM's config, so it stands alone:
stdlib, httpx, websockets and litellm, nothing of wsproxy, and runs with LiteLLM 1.77 and 1.106 alike. How its owners would
instrument it is `instrumented_callback.py`.

The famous bug is in here on purpose. After each backend chunk the control plane is polled for POLL_SECONDS and, when
the backend has ended, until nothing came for as long; then the receive is cancelled, END goes up and the socket is
closed. What the control plane says later reaches nobody. `CALLBACK_FIXED=1`, or a request with the header
`x-callback-fixed: 1`, makes it send END first and wait for the control plane's.

`CALLBACK_JOURNAL` names a file that gets one JSON line for every message sent and received, with its exact text: what
a recording of the same stream is held against. Times are CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx
from litellm.integrations.custom_logger import CustomLogger
from litellm.types.utils import ModelResponse, ModelResponseStream
from pydantic import BaseModel
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

CONTROL_PLANE_URL = os.environ.get("CONTROL_PLANE_URL", "http://control-plane:8081").rstrip("/")
FIXED = os.environ.get("CALLBACK_FIXED") == "1"
JOURNAL = os.environ.get("CALLBACK_JOURNAL")

POLL_SECONDS = 0.05
HOOK_TIMEOUT_SECONDS = 10.0
END_TIMEOUT_SECONDS = 30.0

REQUIRED = ("choices", "model", "created")

Message = dict[str, Any]


def journal(event: str, stream_id: str | None, text: str = "") -> None:
    """Append one line: what happened, to which stream, the exact text."""
    if JOURNAL is None:
        return
    line = {"t_ns": time.monotonic_ns(), "event": event, "stream_id": stream_id, "text": text}
    with open(JOURNAL, "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def plain(value: object) -> object:
    """What `json.dumps` cannot write by itself: a pydantic model as its fields, anything else as `str`."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def asks_for_the_fix(request_data: dict[str, Any]) -> bool:
    headers = (request_data.get("proxy_server_request") or {}).get("headers") or {}
    return headers.get("x-callback-fixed") == "1"


class ControlPlaneStream:
    """One stream's WebSocket, seen from the callback."""

    def __init__(self, stream_id: str, connection: ClientConnection) -> None:
        self.stream_id = stream_id
        self.connection = connection
        self.ended = False  # the control plane said END or ERROR, or hung up

    async def send(self, message: Message) -> None:
        text = json.dumps(message, default=str)
        try:
            await self.connection.send(text)
        except ConnectionClosed:
            pass  # what it said before it hung up is still to be read
        else:
            journal("sent", self.stream_id, text)

    async def poll(self, seconds: float) -> ModelResponseStream | None:
        """The next control chunk, or None after `seconds` without one, or at the end."""
        while not self.ended:
            try:
                text = await asyncio.wait_for(self.connection.recv(), seconds)
            except TimeoutError:
                return None
            except ConnectionClosed:
                self.ended = True
                return None
            if isinstance(text, bytes):
                journal("rejected", self.stream_id, "a binary message")
                continue
            journal("received", self.stream_id, text)
            try:
                message = self.parse(text)
                if message.get("type") != "CHUNK":
                    self.ended = True
                    return None
                return self.normalize(message["data"])
            except (KeyError, ValueError) as error:  # no JSON, no data, no valid chunk: pydantic's are ValueErrors
                journal("rejected", self.stream_id, str(error))
        return None

    def parse(self, text: str) -> Message:
        """The message in a text. Raises ValueError when it is no JSON."""
        message: Message = json.loads(text)
        return message

    def normalize(self, chunk: dict[str, Any]) -> ModelResponseStream:
        """A control chunk as LiteLLM has them. Raises ValueError for one that no client could be given.

        LiteLLM's own validation fills in what is missing, and would let an empty chunk through.
        """
        if missing := [name for name in REQUIRED if chunk.get(name) is None]:
            raise ValueError(f"no {', '.join(missing)}")
        return ModelResponseStream.model_validate(chunk)

    async def drain(self, seconds: float) -> AsyncIterator[ModelResponseStream]:
        """Control chunks until `seconds` pass without one, or the end."""
        while (chunk := await self.poll(seconds)) is not None:
            yield chunk

    async def close(self) -> None:
        try:
            await self.connection.close(code=1000)
        finally:  # LiteLLM 1.106 cancels this when the client has left
            journal("closed", self.stream_id)


class ControlPlaneCallback(CustomLogger):
    """Sends every request, response and stream of the LiteLLM proxy to the control plane."""

    stream_class = ControlPlaneStream

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any
    ) -> None:
        payload = {"user_api_key_dict": user_api_key_dict, "cache": cache, "data": data}
        await self._post_hook("async_pre_call_hook", payload | {"call_type": call_type})

    async def async_post_call_success_hook(self, data: dict[str, Any], user_api_key_dict: Any, response: Any) -> Any:
        payload = {"data": data, "user_api_key_dict": user_api_key_dict, "response": response}
        answer = await self._post_hook("async_post_call_success_hook", payload)
        if answer is None or not isinstance(response, ModelResponse):
            return response
        decided = ModelResponse.model_validate(answer["response"])
        response.choices = decided.choices
        return response

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[ModelResponseStream, None]:
        stream_id: str = request_data["litellm_call_id"]
        url = f"ws{CONTROL_PLANE_URL.removeprefix('http')}/stream/{stream_id}"
        try:
            connection = await connect(url)
        except (OSError, TimeoutError, WebSocketException) as error:
            journal("unfiltered", stream_id, repr(error))
            async for chunk in response:
                yield chunk
            return
        stream = self.stream_class(stream_id, connection)
        try:
            await stream.send({"type": "START", "data": request_data})
            async for backend_chunk in response:
                await stream.send({"type": "CHUNK", "data": backend_chunk.model_dump(mode="json")})
                control_chunk = await stream.poll(POLL_SECONDS)
                if control_chunk is not None:
                    yield control_chunk
                if stream.ended:
                    break
            if FIXED or asks_for_the_fix(request_data):
                if not stream.ended:
                    await stream.send({"type": "END"})
                async for control_chunk in stream.drain(END_TIMEOUT_SECONDS):
                    yield control_chunk
            else:
                async for control_chunk in stream.drain(POLL_SECONDS):
                    yield control_chunk
                if not stream.ended:
                    await stream.send({"type": "END"})
        finally:
            await stream.close()

    async def _post_hook(self, hook: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        """One hook over a connection of its own; None when the control plane is absent or not well."""
        stream_id = payload["data"].get("litellm_call_id")
        text = json.dumps(payload | {"post_time_ns": time.time_ns()}, default=plain)
        journal("hook_sent", stream_id, text)
        try:
            async with httpx.AsyncClient(timeout=HOOK_TIMEOUT_SECONDS) as client:
                answer = await client.post(
                    f"{CONTROL_PLANE_URL}/api/hooks/{hook}",
                    content=text,
                    headers={"content-type": "application/json"},
                )
                answer.raise_for_status()
        except httpx.HTTPError as error:
            journal("hook_failed", stream_id, repr(error))
            return None
        journal("hook_received", stream_id, answer.text)
        result: dict[str, Any] = answer.json()
        return result


instance = ControlPlaneCallback()
