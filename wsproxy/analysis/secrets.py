"""What must not be shown: credentials in heads, in JSON and in text.

Strategy: three nets. Header fields and JSON keys that are known to carry credentials lose their value whatever it is; strings that are shaped
like keys lose it wherever they stand. A masked value keeps four characters, so that two keys can be told apart.
"""

from __future__ import annotations

import re
from typing import Any

_FIELDS = re.compile(
    r"(?i)^(proxy-)?authorization$|^(set-)?cookie$|api[-_]?key|secret|access[-_]?token|(^|[-_])token$|password|credential"
)
_KEYS = re.compile(
    r"(?i)^(proxy-)?authorization$|^(set-)?cookie$|(^|[-_])api[-_]?key$|(^|[-_])(access|refresh|id|auth|bearer|session)[-_]token$"
    r"|^token$|password$|^passwd$|client[-_]secret$|private[-_]key$"
)
_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?i:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"
    r"|sk-[A-Za-z0-9_-]{8,}|(?:ghp|gho|ghs|ghu)_[A-Za-z0-9]{16,}|xox[abps]-[A-Za-z0-9-]{8,}|AKIA[0-9A-Z]{12,}|AIza[0-9A-Za-z_-]{20,}"
    r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r")"
)
_IN_TEXT = re.compile(
    r'(?i)("(?:(?:proxy-)?authorization|(?:set-)?cookie|[a-z_-]*api[-_]?key|(?:access|refresh|id|auth|bearer|session)[-_]token|token'
    r'|[a-z_-]*password|client[-_]secret|private[-_]key)"\s*:\s*")((?:[^"\\]|\\.)*)'
)


def masked(value: str) -> str:
    """A secret as it may be shown: its first four characters, if it is long enough to keep the rest a secret."""
    return f"{value[:4]}…masked" if len(value) >= 12 else "…masked"


def mask_field(name: str, value: str) -> str:
    """The value of a header field as it may be shown."""
    if not _FIELDS.search(name):
        return mask_text(value)
    scheme, space, rest = value.partition(" ")
    return f"{scheme} {masked(rest)}" if space and scheme.lower() in ("bearer", "basic") else masked(value)


def mask_text(text: str) -> str:
    """Free text, or JSON as text: key-shaped strings, and the values of JSON keys that carry credentials."""
    text = _IN_TEXT.sub(lambda match: match[1] + masked(match[2]), text)
    return _SHAPES.sub(_mask_shape, text)


def _mask_shape(match: re.Match[str]) -> str:
    scheme, space, rest = match[0].partition(" ")
    return f"{scheme} {masked(rest)}" if space else masked(match[0])


def mask_json(value: Any) -> Any:
    """A JSON value with its secrets masked. Depth is that of the parser, which is bounded."""
    if isinstance(value, dict):
        return {
            key: masked(item)
            if isinstance(item, str) and isinstance(key, str) and _KEYS.search(key)
            else mask_json(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [mask_json(item) for item in value]
    return mask_text(value) if isinstance(value, str) else value
