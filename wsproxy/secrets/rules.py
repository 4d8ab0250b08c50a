"""What is taken for a secret: names of header fields and JSON keys, places in JSON, shapes of keys. Built in, and added by configuration.

Strategy: everything is compiled once into a few regular expressions. All of them are linear: a start is a delimiter that no run can hold, runs are
bounded. Rules of a user are checked when they are read; what they match is their affair.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable
from enum import IntEnum

from ..patterns import compiled

_FIELDS = r"^(?:proxy-)?authorization$|^(?:set-)?cookie$|api[-_]?key|secret|access[-_]?token|(?:^|[-_])token$|password|credential"
NAMES = (
    r"(?:(?:proxy-)?authorization|(?:set-)?cookie|[a-z0-9_-]{0,40}api[-_]?key|(?:access|refresh|id|auth|bearer|session)[-_]token|token"
    r"|[a-z0-9_-]{0,40}password|passwd|passphrase|(?:[a-z0-9_-]{0,40}[-_])?secret|[a-z0-9_-]{0,40}secret[-_](?:access[-_])?key"
    r"|(?:private|master|signing)[-_]key)"
)
_PAIRED = r"(?:(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?api-key)"
_QUERY = r"[a-z0-9_-]{0,40}(?:key|token|secret|password|signature)"
_URL_START = r"\b[a-z][a-z0-9+.-]{0,20}://"
_USER_INFO = [
    r"[^\s/?#@:\"'\\]{0,256}:)([^\s/?#@\"'\\]{1,256})(?=@",
    r")([^\s/?#@:\"'\\]{16,256})(?=@",
]  # a password; a user as long as a key
# A key may follow a delimiter, a percent-encoded character, or the escape of a line end.
_START = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f][0-9A-Fa-f])|(?<=\\[nrt]))"
SHAPES = re.compile(
    _START + r"(?:"
    r"(?i:bearer|basic)(?:\s|%20|\+){1,4}[A-Za-z0-9._~+/=-]{8,}"
    r"|sk-[A-Za-z0-9_-]{8,}|(?:ghp|gho|ghs|ghu)_[A-Za-z0-9]{16,}|xox[abps]-[A-Za-z0-9-]{8,}|AKIA[0-9A-Z]{12,}|AIza[0-9A-Za-z_-]{20,}"
    r"|(?<![_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r")"
)


class Reach(IntEnum):
    """How much of a JSON value under some key is a secret."""

    NOTHING = 0
    TEXTS = 1  # its strings, however deep: the built-in names also stand for numbers that are none ("token": 17)
    ALL = 2


class Rules:
    """The built-in rules and those of a user.

    Args:
        keys: names of JSON keys and header fields, `*` and `?` are wildcards; case does not matter.
        paths: dotted ends of places in JSON: `litellm_params.api_key`, `*.session`; lists do not count, `*` is any one key.
        patterns: regular expressions; of one with groups the first is the secret, else all that it matches.

    Raises:
        ValueError: a rule that is none; the message names it.
    """

    def __init__(self, keys: Collection[str] = (), paths: Collection[str] = (), patterns: Collection[str] = ()) -> None:
        self._own_keys = re.compile(_any(fnmatch.translate(key) for key in keys), re.IGNORECASE) if keys else None
        self._paths = [_segments(path) for path in paths]
        self.patterns = [_pattern(text) for text in patterns]
        self._fields = re.compile(_FIELDS, re.IGNORECASE)
        self._names = re.compile(NAMES, re.IGNORECASE)
        self._reach_of: dict[str, Reach] = {}
        self.has_own = bool(keys or paths or patterns)
        # Each of them: what any match holds; what stands before the secret (the first group), and the secret (the last).
        names = _any([NAMES, *map(_loose, keys)])
        query = _any([_QUERY, *map(_loose, keys)])
        self._by_name = [
            (held, re.compile(expression, re.IGNORECASE | re.DOTALL | re.MULTILINE))
            for held, expression in (
                # JSON, and JSON in a JSON string
                ('"', rf'("{names}"\s{{0,8}}:\s{{0,8}}")((?:[^"\\]|\\.)*)'),
                ('\\"', rf'((?<!\\)\\++"{names}\\+"\s{{0,8}}:\s{{0,8}}\\+")([^"\\]*)'),
                # Python's objects and dicts, printed
                ("='", rf"((?<![a-z0-9_-]){names}=')((?:[^'\\]|\\.)*)"),
                ("'", rf"('{names}'\s{{0,8}}:\s{{0,8}}')((?:[^'\\]|\\.)*)"),
                # a list of fields, a header line, a query
                (",", rf"((['\"]){_PAIRED}\2,\s{{0,8}}b?\2)((?:(?!\2)[^\\]|\\.)*)"),
                (":", rf"(^{names}:[ \t]{{0,8}})([^\r\n]+)"),
                ("=", rf"((?:\A|[?&]){query}=)([^&\s\"#]+)"),
            )
        ]
        self._in_urls = [re.compile(rf"(?i)({_URL_START}{part})") for part in _USER_INFO]

    def in_text(self, text: str) -> list[re.Pattern[str]]:
        """The expressions that may find something in this text, by names that stand beside it or its place in a URL."""
        named = self.has_own or has_name(text.lower())
        found = [pattern for held, pattern in self._by_name if held in text] if named else []
        return [*found, *self._in_urls] if "://" in text and "@" in text else found

    def hides_something(self, text: str) -> bool:
        """Whether a text could hold any secret that these rules know: quick, and wrong on one side only."""
        low = text.lower()
        return (
            self.has_own
            or has_name(low)
            or has_shape(low)
            or ("://" in low and "@" in low)
            or "\\u00" in low
            or "\x00" in low
        )

    def is_field(self, name: str) -> bool:
        """Whether a header field of this name holds a secret."""
        return bool(self._fields.search(name) or (self._own_keys and self._own_keys.fullmatch(name)))

    def reach(self, keys: list[str]) -> Reach:
        """How much of the JSON value at these keys, outermost first, is a secret."""
        name = keys[-1]
        found = self._reach_of.get(name)
        if found is None:
            found = Reach.TEXTS if self._names.fullmatch(name) else Reach.NOTHING
            if self._own_keys and self._own_keys.fullmatch(name):
                found = Reach.ALL
            if len(self._reach_of) < 10_000:
                self._reach_of[name] = found
        if self._paths and any(_ends_with(keys, path) for path in self._paths):
            return Reach.ALL
        return found


# Without one of these words, in lower case, there is nothing for the expressions to find: looking for the words is a hundred times as fast. They are
# written out because a loop over them takes four times as long, and both are asked of every string that is shown.


def has_name(low: str) -> bool:
    """Whether a text in lower case could hold one of NAMES."""
    return (
        "key" in low
        or "token" in low
        or "secret" in low
        or "passw" in low
        or "cookie" in low
        or "authorization" in low
        or "signature" in low
        or "passphrase" in low
    )


def has_shape(low: str) -> bool:
    """Whether a text in lower case could match SHAPES."""
    return (
        "sk-" in low
        or "eyj" in low
        or "bearer" in low
        or "basic" in low
        or "akia" in low
        or "aiza" in low
        or "xox" in low
        or "ghp_" in low
        or "gho_" in low
        or "ghs_" in low
        or "ghu_" in low
    )


def _any(expressions: Iterable[str]) -> str:
    return f"(?:{'|'.join(expressions)})"


def _loose(key: str) -> str:
    """A name with wildcards, as it may stand in text."""
    return re.escape(key).replace(r"\*", r"[a-z0-9_.-]{0,40}").replace(r"\?", r"[a-z0-9_.-]")


def _segments(path: str) -> list[str]:
    segments = re.sub(r"\[[^\]]*\]", "", path).lower().split(".")
    if not all(segments):
        raise ValueError(f"paths: {path!r} is no place in JSON: write it as litellm_params.api_key")
    return segments


def _ends_with(keys: list[str], path: list[str]) -> bool:
    return len(keys) >= len(path) and all(
        fnmatch.fnmatchcase(key.lower(), part) for key, part in zip(keys[-len(path) :], path, strict=True)
    )


def _pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = compiled(text)
    except ValueError as error:
        raise ValueError(f"patterns: {error}") from None
    if pattern.match(""):
        raise ValueError(f"patterns: {text!r} matches where nothing stands: it would mask everything")
    return pattern
