"""Stage markers from inside other people's processes: what a pipeline calls to be seen in its recordings.

    from wsproxy.hooks import instrument_callback, get_websocket_logger, get_endpoint_logger
    from wsproxy.hooks import get_policy_logger, get_callback_chunk_logger
    from wsproxy.hooks import instrument_policy_stream, instrument_websocket, StreamMarkers, mark

Everything here does nothing unless `WSPROXY_MARKERS=http://relay:port` (the relay's control port) is set when it is first
used; `WSPROXY_TOKEN` is the relay's `--token`. The host never waits for it and never sees an exception of it. Each mark is
also a line of log, logger `wsproxy.hooks`, level INFO. LiteLLM's YAML names `wsproxy.hooks.litellm`: see there.

Strategy: standard library and msgpack, duck typing for everything else, so that the import costs milliseconds and no
version of anything is asked for.
"""

from __future__ import annotations

from .asgi import StreamMarkers
from .callback import instrument_callback
from .loggers import (
    CallbackChunkLogger,
    PolicyStreamLogger,
    StreamingEndpointLogger,
    WebSocketMessageLogger,
    get_callback_chunk_logger,
    get_endpoint_logger,
    get_policy_logger,
    get_websocket_logger,
)
from .marks import mark
from .policy import PolicyStream, instrument_policy_stream
from .websocket import instrument_websocket

__all__ = [
    "CallbackChunkLogger",
    "PolicyStream",
    "PolicyStreamLogger",
    "StreamMarkers",
    "StreamingEndpointLogger",
    "WebSocketMessageLogger",
    "get_callback_chunk_logger",
    "get_endpoint_logger",
    "get_policy_logger",
    "get_websocket_logger",
    "instrument_callback",
    "instrument_policy_stream",
    "instrument_websocket",
    "mark",
]
