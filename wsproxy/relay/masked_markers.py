"""A batch of stage markers without its secrets, before anything of it is kept (`record --redact`).

Strategy: the request's body is masked as a whole and read like any other. What is no batch stays as it is: it will be refused.
"""

from __future__ import annotations

import json
from typing import Any

import msgpack

from ..secrets.masking import Masker

_pack = msgpack.Packer(use_bin_type=True, unicode_errors="backslashreplace").pack


def masked_batch(body: bytes, content_type: str, masker: Masker) -> bytes:
    """The body of a request to /v1/markers with the secrets of its markers' data masked."""
    packed = "msgpack" in content_type
    try:
        batch: Any = msgpack.unpackb(body, raw=False, strict_map_key=False) if packed else json.loads(body)
        return bytes(_pack(masker.json(batch))) if packed else json.dumps(masker.json(batch)).encode()
    except (ValueError, TypeError, RecursionError, OverflowError, msgpack.exceptions.UnpackException):
        return body
