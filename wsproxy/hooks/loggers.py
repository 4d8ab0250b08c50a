"""The four loggers that an instrumented pipeline calls already: same names, same signatures.

Strategy: each method is one mark, whose log line has the words that the pipeline's scripts grep. A chunk's mark holds
the chunk itself, because stages are matched by it; a request is summed up, never copied.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from wsproxy import stages

from .marks import quiet, record
from .messages import failure, safe, summary, type_of
from .snapshot import text_of

Chunk = dict[str, Any]

STREAMS_COUNTED: Final = 4_096


class WebSocketMessageLogger:
    """The callback's side of the wire (steps 2 and 5)."""

    def __init__(self) -> None:
        self._sent, self._received = _Counter(), _Counter()

    @quiet
    def log_outgoing(self, stream_id: str, message: Chunk) -> None:
        """A message goes to the control plane: `ws.sent`. Of START a summary; a CHUNK has its index."""
        index = self._sent.next(stream_id) if type_of(message) == "CHUNK" else None
        record(stream_id, stages.WS_SENT, index, safe(message))

    @quiet
    def log_incoming(self, stream_id: str, message: Chunk) -> None:
        """A message came from the control plane: `ws.received`."""
        index = self._received.next(stream_id) if type_of(message) == "CHUNK" else None
        record(stream_id, stages.WS_RECEIVED, index, safe(message))

    @quiet
    def log_json_error(self, stream_id: str, raw_data: str | bytes, error: Exception | str) -> None:
        """What came is not JSON: `ws.json_error`."""
        record(stream_id, stages.WS_JSON_ERROR, None, {"raw": text_of(raw_data), **_failure(error)})


class StreamingEndpointLogger:
    """The control plane's endpoint (step 3)."""

    @quiet
    def log_start_message(self, stream_id: str, request_data: Chunk) -> None:
        """START was read: `endpoint.start`, with a summary of the request."""
        record(stream_id, stages.ENDPOINT_START, None, summary(request_data))

    @quiet
    def log_incoming_chunk(self, stream_id: str, chunk: Chunk, index: int) -> None:
        """A CHUNK was read: `endpoint.chunk_in`."""
        record(stream_id, stages.ENDPOINT_CHUNK_IN, index, chunk)

    @quiet
    def log_policy_invocation(self, stream_id: str, policy_class: str, request_data: Chunk) -> None:
        """The policy is called: `endpoint.policy`."""
        data = {"policy": _name(policy_class), "request": summary(request_data)}
        record(stream_id, stages.ENDPOINT_POLICY, None, data)

    @quiet
    def log_outgoing_chunk(self, stream_id: str, chunk: Chunk, index: int) -> None:
        """A CHUNK goes out: `endpoint.chunk_out`."""
        record(stream_id, stages.ENDPOINT_CHUNK_OUT, index, chunk)

    @quiet
    def log_end_message(self, stream_id: str) -> None:
        """END goes out: `endpoint.end`."""
        record(stream_id, stages.ENDPOINT_END)

    @quiet
    def log_error(self, stream_id: str, error: Exception | str) -> None:
        """The endpoint failed or says ERROR: `endpoint.error`."""
        record(stream_id, stages.ENDPOINT_ERROR, None, _failure(error))


class PolicyStreamLogger:
    """A policy, from inside (step 4)."""

    @quiet
    def log_stream_start(self, stream_id: str, policy_class: str) -> None:
        """The policy begins: `policy.start`."""
        name = _name(policy_class)
        record(stream_id, stages.POLICY_START, None, {"policy": name}, policy=name)

    @quiet
    def log_chunk_in(self, stream_id: str, policy_class: str, chunk: Chunk, index: int) -> None:
        """The policy took a chunk: `policy.chunk_in`."""
        record(stream_id, stages.POLICY_CHUNK_IN, index, chunk, policy=_name(policy_class))

    @quiet
    def log_chunk_out(self, stream_id: str, policy_class: str, chunk: Chunk, index: int) -> None:
        """The policy gives a chunk: `policy.chunk_out`."""
        record(stream_id, stages.POLICY_CHUNK_OUT, index, chunk, policy=_name(policy_class))

    @quiet
    def log_stream_end(self, stream_id: str, policy_class: str, total_chunks: int) -> None:
        """The policy has ended: `policy.end`."""
        name = _name(policy_class)
        data = {"policy": name, "total_chunks": total_chunks}
        record(stream_id, stages.POLICY_END, None, data, policy=name)


class CallbackChunkLogger:
    """What becomes of the control plane's messages in the callback (step 6)."""

    def __init__(self) -> None:
        self._normalized, self._rejected = _Counter(), _Counter()

    @quiet
    def log_control_chunk_received(self, stream_id: str, message: Chunk, index: int) -> None:
        """A control message was taken off the socket: `client.control_in`."""
        record(stream_id, stages.CLIENT_CONTROL_IN, index, safe(message))

    @quiet
    def log_chunk_normalized(
        self, stream_id: str, chunk: Any, success: bool, error: Exception | str | None = None
    ) -> None:
        """It was validated, `client.normalized`, or was not, `client.rejected` with the reason and the chunk."""
        if success:
            record(stream_id, stages.CLIENT_NORMALIZED, self._normalized.next(stream_id), chunk)
        else:
            data = {**_failure(error or ""), "chunk": chunk}
            record(stream_id, stages.CLIENT_REJECTED, self._rejected.next(stream_id), data)

    @quiet
    def log_chunk_to_client(self, stream_id: str, chunk: Any, index: int) -> None:
        """It is yielded to the client: `client.to_client`."""
        record(stream_id, stages.CLIENT_TO_CLIENT, index, chunk)


class _Counter:
    """Indices per stream, for methods that are given none; the streams seen last are remembered."""

    def __init__(self) -> None:
        self._next: OrderedDict[str, int] = OrderedDict()

    def next(self, stream_id: object) -> int:
        key = stream_id if isinstance(stream_id, str) else ""
        index = self._next.pop(key, 0)
        self._next[key] = index + 1
        if len(self._next) > STREAMS_COUNTED:
            try:
                self._next.popitem(last=False)
            except KeyError:
                pass  # another thread did
        return index


def _name(policy_class: object) -> str:
    return policy_class.__name__ if isinstance(policy_class, type) else text_of(policy_class, 200)


def _failure(error: object) -> dict[str, object]:
    return failure(error) if isinstance(error, BaseException) else {"error": text_of(error)}


_websocket_logger = WebSocketMessageLogger()
_endpoint_logger = StreamingEndpointLogger()
_policy_logger = PolicyStreamLogger()
_callback_chunk_logger = CallbackChunkLogger()


def get_websocket_logger() -> WebSocketMessageLogger:
    """The process's one."""
    return _websocket_logger


def get_endpoint_logger() -> StreamingEndpointLogger:
    """The process's one."""
    return _endpoint_logger


def get_policy_logger() -> PolicyStreamLogger:
    """The process's one."""
    return _policy_logger


def get_callback_chunk_logger() -> CallbackChunkLogger:
    """The process's one."""
    return _callback_chunk_logger
