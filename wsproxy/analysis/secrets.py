"""What must not be shown: credentials in heads, in JSON and in text.

Strategy: three nets. Header fields and JSON keys that are known to carry credentials lose their value whatever it is, in parsed values and in
text; strings that are shaped like keys lose it wherever they stand. A masked value keeps four characters, so that two keys can be told apart.
"""

from __future__ import annotations

import re
from typing import Any

_FIELDS = re.compile(
    r"(?i)^(proxy-)?authorization$|^(set-)?cookie$|api[-_]?key|secret|access[-_]?token|(^|[-_])token$|password|credential"
)
_NAMES = (
    r"(?:(?:proxy-)?authorization|(?:set-)?cookie|[a-z0-9_-]{0,40}api[-_]?key|(?:access|refresh|id|auth|bearer|session)[-_]token|token"
    r"|[a-z0-9_-]{0,40}password|passwd|client[-_]secret|private[-_]key)"
)
_KEYS = re.compile(rf"(?i){_NAMES}")
_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?i:bearer|basic)\s{1,4}[A-Za-z0-9._~+/=-]{8,}"
    r"|sk-[A-Za-z0-9_-]{8,}|(?:ghp|gho|ghs|ghu)_[A-Za-z0-9]{16,}|xox[abps]-[A-Za-z0-9-]{8,}|AKIA[0-9A-Z]{12,}|AIza[0-9A-Za-z_-]{20,}"
    r"|(?<![_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r")"
)
# Each of them: what stands before the secret, and the secret. All are linear: every start is a delimiter that no run can hold.
_IN_TEXT = [
    re.compile(rf'(?i)("{_NAMES}"\s{{0,8}}:\s{{0,8}}")((?:[^"\\]|\\.)*)'),  # JSON
    re.compile(rf'(?i)((?<!\\)\\++"{_NAMES}\\+"\s{{0,8}}:\s{{0,8}}\\+")([^"\\]*)'),  # JSON in a JSON string
    re.compile(rf"(?im)(^{_NAMES}:[ \t]{{0,8}})([^\r\n]+)"),  # a header line
    re.compile(r"(?i)([?&][a-z0-9_-]{0,40}(?:key|token|secret|password|signature)=)([^&\s\"#]+)"),  # a query
]


def masked(value: str) -> str:
    """A secret as it may be shown: its first four characters, if it is long enough to keep the rest a secret."""
    return f"{value[:4]}…masked" if len(value) >= 12 else "…masked"


def mask_field(name: str, value: str) -> str:
    """The value of a header field as it may be shown."""
    if not _FIELDS.search(name):
        return mask_text(value)
    return _mask_scheme(value)


def mask_text(text: str) -> str:
    """Free text, or JSON as text: key-shaped strings, and the values of JSON keys that carry credentials."""
    for pattern in _IN_TEXT:
        text = pattern.sub(_mask_value, text)
    return _SHAPES.sub(_mask_shape, text)


def _mask_value(match: re.Match[str]) -> str:
    return match[1] + _mask_scheme(match[2])


def _mask_scheme(value: str) -> str:
    """Mask a value, but for a scheme such as Bearer in front of it."""
    scheme, space, rest = value.partition(" ")
    return f"{scheme} {masked(rest)}" if space and scheme.lower() in ("bearer", "basic") else masked(value)


def _mask_shape(match: re.Match[str]) -> str:
    return _mask_scheme(match[0])


def mask_json(value: Any) -> Any:
    """A JSON value with its secrets masked. Depth is that of the parser, which is bounded."""
    if isinstance(value, dict):
        return {
            key: masked(item)
            if isinstance(item, str) and isinstance(key, str) and _KEYS.fullmatch(key)
            else mask_json(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [mask_json(item) for item in value]
    return mask_text(value) if isinstance(value, str) else value
