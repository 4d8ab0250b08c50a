"""The vocabulary of stage markers: where in the pipeline something was seen.

Strategy: names, nothing else. What runs inside other people's processes imports this module too, so it stays with the
standard library. A name that is not in here is kept and shown all the same, as long as `is_stage` says so.
"""

from __future__ import annotations

import re
from typing import Final, TypeGuard

CALLBACK_INVOKED: Final = "callback.invoked"
CALLBACK_BACKEND_CHUNK: Final = "callback.backend_chunk"
CALLBACK_YIELDED: Final = "callback.yielded"
CALLBACK_COMPLETED: Final = "callback.completed"
CALLBACK_FAILED: Final = "callback.failed"

WS_SENT: Final = "ws.sent"
WS_RECEIVED: Final = "ws.received"
WS_JSON_ERROR: Final = "ws.json_error"
WS_SEND_FAILED: Final = "ws.send_failed"
"""The library refused to send: the connection was closed. Not in DESIGN.md; without it a failed send would be silent."""

ENDPOINT_START: Final = "endpoint.start"
ENDPOINT_CHUNK_IN: Final = "endpoint.chunk_in"
ENDPOINT_POLICY: Final = "endpoint.policy"
ENDPOINT_CHUNK_OUT: Final = "endpoint.chunk_out"
ENDPOINT_END: Final = "endpoint.end"
ENDPOINT_ERROR: Final = "endpoint.error"

POLICY_START: Final = "policy.start"
POLICY_CHUNK_IN: Final = "policy.chunk_in"
POLICY_CHUNK_OUT: Final = "policy.chunk_out"
POLICY_END: Final = "policy.end"

CLIENT_CONTROL_IN: Final = "client.control_in"
CLIENT_NORMALIZED: Final = "client.normalized"
CLIENT_REJECTED: Final = "client.rejected"
CLIENT_TO_CLIENT: Final = "client.to_client"

HOOKS_DROPPED: Final = "hooks.dropped"
"""`{"count": n}`: so many markers of this stream were made and could not be delivered."""

CALLBACK: Final = (CALLBACK_INVOKED, CALLBACK_BACKEND_CHUNK, CALLBACK_YIELDED, CALLBACK_COMPLETED, CALLBACK_FAILED)
WS: Final = (WS_SENT, WS_RECEIVED, WS_JSON_ERROR, WS_SEND_FAILED)
ENDPOINT: Final = (
    *(ENDPOINT_START, ENDPOINT_CHUNK_IN, ENDPOINT_POLICY),
    *(ENDPOINT_CHUNK_OUT, ENDPOINT_END, ENDPOINT_ERROR),
)
POLICY: Final = (POLICY_START, POLICY_CHUNK_IN, POLICY_CHUNK_OUT, POLICY_END)
CLIENT: Final = (CLIENT_CONTROL_IN, CLIENT_NORMALIZED, CLIENT_REJECTED, CLIENT_TO_CLIENT)

KNOWN: Final = frozenset((*CALLBACK, *WS, *ENDPOINT, *POLICY, *CLIENT, HOOKS_DROPPED))
"""Every stage that wsproxy itself knows the meaning of."""

LONGEST: Final = 64

_is_dotted = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+").fullmatch


def is_stage(name: object) -> TypeGuard[str]:
    """Whether `name` can be a stage: a dotted lower-case ASCII name (`place.what`) of at most 64 characters."""
    return isinstance(name, str) and len(name) <= LONGEST and _is_dotted(name) is not None
