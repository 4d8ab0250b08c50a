"""Where a stream id is mentioned: in paths, heads, bodies, messages; and another one in its place.

Strategy: an id is text that stands as a word of its own, so it is found without knowing what it stands in, as it is or quoted for a URL. A short
id is also an ordinary word or number: it counts only as a whole JSON string or as a whole part of a path.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from urllib.parse import quote

_LONG = 8  # characters


class Renaming:
    """Puts one id in place of another wherever that is mentioned.

    Args:
        old: the recorded id.
        new: the one to say now.
    """

    def __init__(self, old: str, new: str) -> None:
        self._quoted = _quoted(old)
        self._new, self._new_quoted = _json_texts(new)[0], _quoted(new)
        self._is_plain = self._quoted in _json_texts(old)
        self._pattern = mention(old)

    def __call__(self, data: bytes) -> bytes:
        """Data with the new id in it."""
        return self._pattern.sub(self._put, data)

    def in_head(self, head: bytes) -> bytes:
        """A request or response head with the new id in it: quoted, so that no id can add a line."""
        return self._pattern.sub(lambda _: self._new_quoted, head)

    def _put(self, match: re.Match[bytes]) -> bytes:
        return self._new_quoted if match[0] == self._quoted and not self._is_plain else self._new


@lru_cache(maxsize=4096)
def mention(stream_id: str) -> re.Pattern[bytes]:
    """Finds an id: as it stands in a JSON string, or quoted for a URL."""
    spellings = sorted({*_json_texts(stream_id), _quoted(stream_id)}, key=len, reverse=True)
    forms = b"|".join(map(re.escape, spellings))
    if len(stream_id) < _LONG:
        return re.compile(rb'(?<=")(?:' + forms + rb')(?=")|(?<=[/=])(?:' + forms + rb")(?=[/?#&\s]|$)")
    return re.compile(rb"(?<![A-Za-z0-9])(?:" + forms + rb")(?![A-Za-z0-9])")


def _quoted(text: str) -> bytes:
    """Text as it stands in a URL."""
    return quote(text, safe="", errors="backslashreplace").encode()


def _json_texts(text: str) -> list[bytes]:
    """Text as it stands inside a JSON string, raw and in ASCII."""
    spellings = (json.dumps(text, ensure_ascii=ascii)[1:-1] for ascii in (False, True))
    return [spelling.encode("utf-8", "backslashreplace") for spelling in spellings]


def shape_of(target: str, stream_id: str | None) -> tuple[str, re.Pattern[str]] | None:
    """The shape of a target with the id as a wildcard, as text and as a pattern with the group `id`; None where the id is not in it."""
    if not stream_id:
        return None
    raw = target.encode("utf-8", "backslashreplace")
    spots = [(match.start(), match.end()) for match in mention(stream_id).finditer(raw)]
    if not spots:
        return None
    name, pattern, at = "", "", 0
    for start, stop in spots:
        before = raw[at:start].decode("utf-8", "replace")
        pattern += re.escape(before) + ("(?P=id)" if at else "(?P<id>[^/?#]+)")
        name += before + "<id>"
        at = stop
    rest = raw[at:].decode("utf-8", "replace")
    return name + rest, re.compile(pattern + re.escape(rest))
