"""The callback as its owners would instrument it: `wsproxy.hooks` at every call site (steps 1, 2, 5 and 6).

Strategy: the same callback with one override per call site, so that what a pipeline would add stands here alone. The bed
copies the file beside LiteLLM's config, as it does the callback's own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from control_plane_callback import ControlPlaneCallback, ControlPlaneStream, Message
from litellm.types.utils import ModelResponseStream

from wsproxy.hooks import get_callback_chunk_logger, get_websocket_logger, instrument_callback


class InstrumentedStream(ControlPlaneStream):
    """Says what goes up, what comes down, and what becomes of it."""

    taken = 0

    async def send(self, message: Message) -> None:
        get_websocket_logger().log_outgoing(self.stream_id, message)
        await super().send(message)

    def parse(self, text: str) -> Message:
        try:
            message = super().parse(text)
        except ValueError as error:
            get_websocket_logger().log_json_error(self.stream_id, text, error)
            raise
        get_websocket_logger().log_incoming(self.stream_id, message)
        get_callback_chunk_logger().log_control_chunk_received(self.stream_id, message, self.taken)
        self.taken += 1
        return message

    def normalize(self, chunk: dict[str, Any]) -> ModelResponseStream:
        try:
            normalized = super().normalize(chunk)
        except ValueError as error:
            get_callback_chunk_logger().log_chunk_normalized(self.stream_id, chunk, False, str(error))
            raise
        get_callback_chunk_logger().log_chunk_normalized(self.stream_id, normalized, True)
        return normalized


class InstrumentedCallback(ControlPlaneCallback):
    """Says that it was called, with what, and what it gives to the client."""

    stream_class = InstrumentedStream

    async_pre_call_hook = instrument_callback(ControlPlaneCallback.async_pre_call_hook)
    async_post_call_success_hook = instrument_callback(ControlPlaneCallback.async_post_call_success_hook)

    @instrument_callback
    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[ModelResponseStream, None]:
        stream_id: str = request_data["litellm_call_id"]
        chunks = super().async_post_call_streaming_iterator_hook(user_api_key_dict, response, request_data)
        number = 0
        async with aclosing(chunks) as given:
            async for chunk in given:
                get_callback_chunk_logger().log_chunk_to_client(stream_id, chunk, number)
                yield chunk
                number += 1


instance = InstrumentedCallback()
