"""Which stream an HTTP exchange or a WebSocket belongs to.

Strategy: three places are asked in turn: the path of the request, a header of it, a place in its JSON body. The defaults are
those of the LiteLLM pipeline: `/stream/<id>`, `x-litellm-call-id`, and `litellm_call_id` at the top or below `data`.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from ..patterns import compiled
from ..wire.http1 import head_fields

DEFAULT_PATH = r"/stream/(?P<id>[^/?#]+)"
DEFAULT_HEADER = "x-litellm-call-id"
DEFAULT_BODY = ("data.litellm_call_id", "litellm_call_id", "data.request_data.litellm_call_id")
BODY_LIMIT = 8 << 20  # bytes of a request body that are searched for an id


class StreamRule:
    """Finds stream ids.

    Args:
        path: a regular expression that is searched in the request target; its group `id` (or its first, or all of it) is the id.
        header: a field name, or "" for none.
        body: dotted paths into a JSON body.

    Raises:
        ValueError: `path` is no regular expression.
    """

    def __init__(
        self, path: str = DEFAULT_PATH, header: str = DEFAULT_HEADER, body: tuple[str, ...] = DEFAULT_BODY
    ) -> None:
        try:
            self._path = compiled(path)
        except ValueError as error:
            raise ValueError(f"--stream-path: {error}") from None
        self._header = header.lower()
        self._body = [tuple(place.split(".")) for place in body]
        self.text = ", ".join(
            text for text in (f"path {path}", header and f"header {header}", body and f"body {' '.join(body)}") if text
        )
        group: str | int = "id" if "id" in self._path.groupindex else min(self._path.groups, 1)
        self._group = group

    def of_head(self, target: str, raw: bytes) -> str | None:
        """The id that a request head carries."""
        match = self._path.search(target)
        if match and match[self._group]:
            return unquote(match[self._group], errors="backslashreplace")
        if self._header:
            for name, value in head_fields(raw):
                if name.lower() == self._header and value:
                    return value
        return None

    def may_be_in_body(self, raw: bytes) -> bool:
        """Whether the request announces a JSON body that could carry an id."""
        fields = {name.lower(): value.lower() for name, value in head_fields(raw)}
        return bool(self._body) and "json" in fields.get("content-type", "") and "content-encoding" not in fields

    def of_body(self, body: bytes) -> str | None:
        """The id that a JSON body carries."""
        try:
            document: Any = json.loads(body)
        except (ValueError, RecursionError):
            return None
        for place in self._body:
            value = document
            for key in place:
                value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, str) and value:
                return value
        return None
