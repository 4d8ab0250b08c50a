"""The control plane as its owners would instrument it: calls of the loggers at every call site (steps 3 and 4).

Strategy: the same control plane with one override per call site, so that what a pipeline would add stands here alone. The
middleware and the wrapper of the policy are not installed: each stage is marked once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, WebSocket

from wsproxy.demo.outcome import Chunk
from wsproxy.hooks import get_endpoint_logger, get_policy_logger

from .control_plane import ControlPlane, main


class InstrumentedControlPlane(ControlPlane):
    """Says what it does at each step."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.chunks_in = Counter[str]()
        self.chunks_out = Counter[str]()

    def application(self) -> FastAPI:
        return self.routes()

    async def receive(self, websocket: WebSocket, stream_id: str) -> dict[str, Any] | None:
        message = await super().receive(websocket, stream_id)
        kind = message.get("type") if message else None
        if message and kind == "START":
            get_endpoint_logger().log_start_message(stream_id, message["data"])
        elif message and kind == "CHUNK":
            get_endpoint_logger().log_incoming_chunk(stream_id, message["data"], self.chunks_in[stream_id])
            self.chunks_in[stream_id] += 1
        return message

    async def send(self, websocket: WebSocket, stream_id: str, message: dict[str, Any], *, cut: bool = False) -> None:
        if message["type"] == "CHUNK":
            get_endpoint_logger().log_outgoing_chunk(stream_id, message["data"], self.chunks_out[stream_id])
            self.chunks_out[stream_id] += 1
        elif message["type"] == "END":
            get_endpoint_logger().log_end_message(stream_id)
        else:
            get_endpoint_logger().log_error(stream_id, message["error"])
        await super().send(websocket, stream_id, message, cut=cut)

    async def policy_stream(
        self, stream_id: str, request_data: dict[str, Any], incoming: AsyncIterator[Chunk]
    ) -> AsyncIterator[Chunk]:
        policy, context = self.policy(stream_id, request_data)
        name, seen = type(policy).__name__, get_policy_logger()

        async def observed() -> AsyncIterator[Chunk]:
            number = 0
            async for chunk in incoming:
                seen.log_chunk_in(stream_id, name, chunk, number)
                yield chunk
                number += 1

        get_endpoint_logger().log_policy_invocation(stream_id, name, request_data)
        seen.log_stream_start(stream_id, name)
        total = 0
        async for chunk in policy.generate_response_stream(context, observed()):
            seen.log_chunk_out(stream_id, name, chunk, total)
            yield chunk
            total += 1
        seen.log_stream_end(stream_id, name, total)


if __name__ == "__main__":
    main(InstrumentedControlPlane)
