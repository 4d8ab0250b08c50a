"""Masks in place of secrets: in header fields, in JSON, in text, in bytes.

Strategy: three nets. Fields and JSON keys that are known to carry credentials lose their value whatever it is; strings that are shaped like keys
lose it wherever they stand, also inside base64 and UTF-16; and what one of these has found once is masked wherever it stands again. A masked
value keeps four characters, so that two keys can be told apart. What is no secret keeps its spelling, and a mask is left as it is: masking twice
is masking once.

Heads and URLs hold ASCII: there a mask is written `sk-p...masked`, elsewhere `sk-p…masked`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any
from urllib.parse import quote, unquote

from .json_text import rewritten
from .rules import SHAPES, Reach, Rules, has_shape

MASK = re.compile(r".{0,4}(?:…|\.\.\.)masked\d*", re.DOTALL)
_SHORTEST = 8  # characters of a string in JSON text, or of a shape
_DEEPEST = 200  # lists and maps in each other
_KNOWN_LIMIT = 200  # secrets that are looked for again
_MASKS_LIMIT = 10_000  # secrets with a number of their own
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}|[A-Za-z0-9_-]{24,}={0,2}")
_WIDE = re.compile(r"(?:[\x20-\x7e]\x00){8,}")  # UTF-16 of ASCII, whichever its byte order
_EVENT_DATA = re.compile(r"(?m)^data: ?(?=[{\[])([^\r\n]*)")  # a server-sent event that holds JSON


class Masker:
    """Masks secrets by rules.

    Args:
        numbered: different secrets that would look alike get a number behind the mask: `sk-p…masked`, `sk-p…masked2`.
    """

    def __init__(self, rules: Rules | None = None, *, numbered: bool = False) -> None:
        self._rules = rules or Rules()
        self._numbered = numbered
        self._masks: dict[str, str] = {}
        self._alike: dict[str, int] = {}
        self._known: set[str] = set()
        self._again: re.Pattern[str] | None = None

    def masked(self, secret: str) -> str:
        """A secret as it may be shown: its first four characters, if it is long enough to keep the rest a secret."""
        if not secret or MASK.fullmatch(secret):
            return secret
        bare = unquote(secret) if "%" in secret else secret
        self._learn(bare)
        mask = f"{secret[:4]}…masked" if len(bare) >= 12 and "%" not in secret[:4] else "…masked"
        if not self._numbered:
            return mask
        found = self._masks.get(bare)
        if found is None and len(self._masks) < _MASKS_LIMIT:
            number = self._alike[mask] = self._alike.get(mask, 0) + 1
            found = self._masks[bare] = mask if number == 1 else f"{mask}{number}"
        return found or mask

    def field(self, name: str, value: str) -> str:
        """The value of a header field."""
        if name.lower().endswith("cookie"):
            for pair in value.split(";"):
                self._learn(pair.partition("=")[2])
        return _ascii(self._value(value) if self._rules.is_field(name) else self.text(value))

    def head(self, raw: bytes) -> bytes:
        """An HTTP head, or half of one, line by line; what is not masked keeps its form."""
        lines = raw.decode("latin-1").split("\n")
        name = ""
        for number, line in enumerate(lines):
            end = "\r" if line.endswith("\r") else ""
            text = line[: len(line) - len(end)]
            if number and text[:1] in (" ", "\t"):  # folded: more of the field above
                start, value = "", text
            else:
                name, colon, value = text.partition(":") if number else ("", "", text)
                start = self._shapes(name) + colon
            bare = value.strip(" \t")
            shown = self.field(name, bare) if name else _ascii(self.text(bare))
            lines[number] = start + value.replace(bare, shown, 1) + end if shown != bare else start + value + end
        return "\n".join(lines).encode("latin-1", "replace")

    def url(self, text: str) -> str:
        """A URL, or the target of a request."""
        return _ascii(self.text(text))

    def data(self, data: bytes) -> bytes:
        """A message or a body: text, JSON, or bytes that may hold some."""
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
            shown = self.text(text)
            return data if shown == text else _ascii(shown).encode("latin-1", "replace")
        shown = self.text(text)
        return data if shown == text else shown.encode("utf-8")

    def text(self, text: str) -> str:
        """Free text, or JSON as text."""
        if self._rules.hides_something(text):
            text = self._searched(text)
        if len(text) >= 24:
            text = _BASE64.sub(self._base64, text)
        return self._seen_again(text)

    def _searched(self, text: str) -> str:
        if text.lstrip(" \t\r\n\ufeff")[:1] in ("{", "["):
            text = self._json_text(text)
        elif "data:" in text:
            text = _EVENT_DATA.sub(lambda match: match[0].replace(match[1], self._json_text(match[1])), text)
        if "\x00" in text:
            text = _WIDE.sub(self._wide, text)
        for pattern in self._rules.in_text(text):
            text = pattern.sub(lambda match: match[1] + self._value(match[match.re.groups]), text)
        text = self._shapes(text)
        for pattern in self._rules.patterns:
            text = pattern.sub(self._by_pattern, text)
        return text

    def json(self, value: Any) -> Any:
        """A parsed value: what JSON has, and bytes. What is nested deeper than `_DEEPEST` is left out: it can hold anything."""
        return self._json(value, [], Reach.NOTHING, 0)

    def _json(self, value: Any, keys: list[str], reach: Reach, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value) if reach is Reach.NOTHING else self._value(value)
        if isinstance(value, dict):
            if depth == _DEEPEST:
                return "…masked"
            return {
                self._shapes(key) if isinstance(key, str) else key: self._below(item, [*keys, str(key)], reach, depth)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._json(item, keys, reach, depth + 1) for item in value] if depth < _DEEPEST else "…masked"
        if isinstance(value, bytes):
            return self.data(value) if reach is Reach.NOTHING else self._value(value.decode("latin-1")).encode()
        if reach is Reach.ALL and value is not None and not isinstance(value, bool):
            return self._value(str(value))
        return value

    def _below(self, value: Any, keys: list[str], reach: Reach, depth: int) -> Any:
        here = self._rules.reach(keys)
        return self._json(value, keys, max(here, reach), depth + 1)

    def _json_text(self, text: str) -> str:
        return rewritten(text, self._rules.reach, self._value, self._inner)

    def _inner(self, value: str) -> str:
        """A string in JSON: too short ones hold no secret that a rule could find."""
        return self.text(value) if len(value) >= _SHORTEST or self._rules.patterns else value

    def _value(self, value: str) -> str:
        """Mask a value, but for a scheme such as Bearer in front of it."""
        scheme, space, rest = value.partition(" ")
        if space and scheme.lower() in ("bearer", "basic"):
            return f"{scheme} {self.masked(rest)}"
        return self.masked(value)

    def _shapes(self, text: str) -> str:
        if len(text) < _SHORTEST or not has_shape(text.lower()):
            return text
        return SHAPES.sub(lambda match: self._value(match[0]), text)

    def _by_pattern(self, match: re.Match[str]) -> str:
        if match.re.groups and match[1] is not None:
            before, after = match.start(1) - match.start(), match.end(1) - match.start()
            return match[0][:before] + self.masked(match[1]) + match[0][after:]
        return self.masked(match[0])

    def _wide(self, match: re.Match[str]) -> str:
        text = match[0][::2]
        shown = self.text(text)
        return match[0] if shown == text else "\x00".join(_ascii(shown)) + "\x00"

    def _base64(self, match: re.Match[str]) -> str:
        text = match[0]
        try:
            data = base64.b64decode(text.rstrip("=").replace("-", "+").replace("_", "/") + "===", validate=False)
        except (binascii.Error, ValueError):
            return text
        inside = data.decode("latin-1")
        if (has_shape(inside.lower()) and SHAPES.search(inside)) or (
            self._again is not None and self._again.search(inside)
        ):
            return self.masked(text)
        return text

    def _learn(self, secret: str) -> None:
        """Look for it everywhere from now on, if it is surely no ordinary word."""
        if (
            len(secret) >= 16
            and len(self._known) < _KNOWN_LIMIT
            and any(char.isdigit() for char in secret)
            and not any(char.isspace() or char in "…\\" for char in secret)
            and secret not in self._known
        ):
            self._known.add(secret)
            forms = {form for known in self._known for form in (known, quote(known, safe=""), json.dumps(known)[1:-1])}
            longest_first = sorted(forms, key=lambda form: (-len(form), form))
            self._again = re.compile("|".join(map(re.escape, longest_first)))

    def _seen_again(self, text: str) -> str:
        return self._again.sub(lambda match: self.masked(match[0]), text) if self._again is not None else text


def _ascii(text: str) -> str:
    return text.replace("…masked", "...masked")


_rules = Rules()
_shown = Masker(_rules)


def use(rules: Rules) -> None:
    """The rules by which this process masks what it shows; the command line says so once, at its start."""
    global _rules, _shown
    _rules, _shown = rules, Masker(rules)


def rules() -> Rules:
    """The rules of this process."""
    return _rules


def mask_field(name: str, value: str) -> str:
    """The value of a header field as it may be shown."""
    return _shown.field(name, value).replace("...masked", "…masked")


def mask_text(text: str) -> str:
    """Free text, or JSON as text: key-shaped strings, and the values of JSON keys that carry credentials."""
    return _shown.text(text)


def mask_data(data: bytes) -> bytes:
    """A payload as it may be shown."""
    return _shown.data(data)


def mask_head(raw: bytes) -> str:
    """A head as it may be shown."""
    return _shown.head(raw).decode("latin-1").replace("...masked", "…masked")


def mask_json(value: Any) -> Any:
    """A JSON value with its secrets masked."""
    return _shown.json(value)


def masked(value: str) -> str:
    """A secret as it may be shown."""
    return _shown.masked(value)
