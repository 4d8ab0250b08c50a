"""The one rewrite that the relay knows: the Host of a request head.

Strategy: the value of every Host line is replaced, and not a byte beside it: the field's name, its spacing, line ends, order and all other fields
stay as the client wrote them. A head without Host (HTTP/1.0) stays without. The recording holds what the client sent and the new value, so this
function is also what rebuilds the head that the upstream got.
"""

from __future__ import annotations

import re

_HOST = re.compile(rb"(?i)(\nhost[ \t]*:[ \t]*)[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*")


def with_host(raw: bytes, host: str) -> bytes:
    """A request head with another Host.

    Args:
        raw: the whole head.
        host: the new value, latin-1.
    """
    value = host.encode("latin-1", "replace")
    return _HOST.sub(lambda match: match[1] + value, raw)
