"""What differs between two runs without being a difference: ids, times, tokens, addresses.

Strategy: a value is volatile by the name of its key, where the pipeline's names are known, or by its form, wherever
it stands in a text. Of a message three things can be asked: a *masked key* from its bytes (one regular expression
over the known names; no JSON is parsed), a *canonical key* from its value (every leaf looked at by name and by form),
and the volatile values themselves, in an order that depends on the key alone: two messages of one key have values
that correspond one to one. Whether these are the same thing renamed is `renaming`'s to say.

Cost: a masked key of a 450-byte chunk takes 3 µs, a canonical key 30 µs; so only what has no partner by its masked
key is parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from .structure import Path

Kind: TypeAlias = Literal["id", "secret", "time", "span"]


class Volatile(NamedTuple):
    """A volatile value.

    An "id" is a name for something, a "secret" one that is not to be shown; a "time" is in seconds since the epoch where that can be told; a "span"
    is how long something is, in time or in bytes.
    """

    kind: Kind
    value: Any


_IDS = (
    *("id", "litellm_call_id", "litellm_trace_id", "call_id", "tool_call_id", "request_id", "trace_id", "span_id", "session_id"),
    *("response_id", "item_id", "previous_item_id", "event_id", "message_id", "conversation_id", "stream_id", "run_id", "thread_id"),
    *("sec-websocket-key", "sec-websocket-accept", "host", "x-litellm-call-id"),
)  # fmt: skip
_SECRETS = ("api_key", "authorization", "proxy-authorization", "cookie", "x-api-key")
_TIMES = (
    *("created", "created_at", "post_time_ns", "timestamp", "arrival_time", "started_at", "start_time", "end_time", "expires_at"),
    *("last_refreshed_at", "litellm_received_at", "date", "t_wall_ns", "t_mono_ns"),
)  # fmt: skip
_SPANS = (
    *("queue_time_seconds", "response_ms", "_response_ms", "duration_ms", "latency_ms", "litellm_overhead_time_ms"),
    "content-length",  # of a body that is compared itself
)
_NAMES: dict[str, Kind] = {
    **dict.fromkeys(_IDS, "id"),
    **dict.fromkeys(_SECRETS, "secret"),
    **dict.fromkeys(_TIMES, "time"),
    **dict.fromkeys(_SPANS, "span"),
}


def _alternatives(names: Iterable[str]) -> str:
    """An expression for any of these, decided by the first letter: half the time of a plain list of them."""
    tails: dict[str, list[str]] = {}
    for name in sorted(names, key=len, reverse=True):
        tails.setdefault(name[0], []).append(re.escape(name[1:]))
    return f"(?=[{''.join(tails)}])(?:{'|'.join(f'{first}(?:{chr(124).join(rest)})' for first, rest in tails.items())})"


_NAMED = re.compile(rf'"{_alternatives(_NAMES)}"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*)'.encode())
_FORMS = re.compile(
    r"(?P<time>"
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
    r"|(?<![\w.])1\d{9}(?:\d{3}|\d{6}|\d{9})?(?:\.\d+)?(?![\w.])"
    r")|(?P<secret>(?<![0-9A-Za-z])sk-[A-Za-z0-9_-]{8,}"
    r")|(?P<id>"
    r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])(?:chatcmpl|call|resp|req|evt|event|item|msg|run|toolu|sess|conv|rs|fc|gen)[-_](?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{8,}"
    r"|(?<![0-9A-Za-z])(?=[A-Fa-f]*\d)[0-9A-Fa-f]{16,}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z])0x[0-9A-Fa-f]{6,16}(?![0-9A-Za-z])"
    r"|(?<![0-9A-Za-z.])(?:\d{1,3}(?:\.\d{1,3}){3}|localhost|\[[0-9A-Fa-f:]{2,39}\]):\d{2,5}(?![\d.])"
    r")"
)
_SHORTEST = 8  # characters of a text in which a form is looked for
_EPOCH = range(10**9, 2 * 10**9)  # seconds, 2001 to 2033; other units by their powers of a thousand
_LONGEST = 1 << 20  # characters of a text in which forms are looked for


def masked(data: bytes) -> tuple[int, tuple[bytes, ...]]:
    """A key of a message's bytes without the values of volatile names, and these values."""
    parts = _NAMED.split(data)
    if len(parts) == 1:
        return hash(data), ()
    return hash(tuple(parts[::2])), tuple(parts[1::2])


def named(data: bytes) -> list[Volatile]:
    """The values that `masked` left out, in their order."""
    found = []
    for match in _NAMED.finditer(data):
        name = match[0][1 : match[0].index(b'"', 1)].decode()
        try:
            value = json.loads(match[1])
        except ValueError:
            value = match[1].decode("utf-8", "replace")
        found.append(_named(_NAMES[name], value))
    return found


def leaf(path: Path, value: Any) -> tuple[Any, list[Volatile]]:
    """A scalar without what is volatile in it, in a form that equals that of a scalar which differs in nothing else; and what is volatile."""
    name = path[-1] if path and isinstance(path[-1], str) else None
    kind = _NAMES.get(name.lower()) if name is not None else None
    if kind is not None and value is not None and not isinstance(value, bool) and value != "":
        return (f"\0{kind}", type(value) is str), [_named(kind, value)]
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = _epoch(value)
        if seconds is not None:
            return ("\0time", False), [Volatile("time", seconds)]
    return value, []


def text(value: str) -> tuple[str, list[Volatile]]:
    """A text with its volatile parts masked by form, and these parts."""
    if not _SHORTEST <= len(value) <= _LONGEST:
        return value, []
    found: list[Volatile] = []

    def mask(match: re.Match[str]) -> str:
        if match["time"]:
            found.append(_time(match[0]))
            return "\0time"
        kind: Kind = "secret" if match["secret"] else "id"
        found.append(Volatile(kind, match[0]))
        return f"\0{kind}"

    shown = _FORMS.sub(mask, value)
    return shown, found


def canonical(value: Any, skip: Callable[[Path], bool] | None = None) -> tuple[int, list[Volatile]]:
    """A key of a JSON value without what is volatile in it, and what is, in the order of sorted keys.

    Args:
        skip: paths that are to be left out, with all below them.
    """
    found: list[Volatile] = []
    shape: list[Any] = []
    for path, item in leaves(value):
        if skip is not None and skip(path):
            continue
        kept, some = leaf(path, item)
        found += some
        shape.append((path, type(kept) is bool, kept))
    return hash(tuple(shape)), found


def leaves(value: Any) -> Iterator[tuple[Path, Any]]:
    """The scalars of a JSON value with their paths, in the order of sorted keys; an empty container is a leaf that equals no scalar."""
    stack: list[tuple[Path, Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        if type(item) is dict and item:
            stack += [((*path, key), item[key]) for key in sorted(item, reverse=True)]
        elif type(item) is list and item:
            stack += [((*path, index), item[index]) for index in range(len(item) - 1, -1, -1)]
        elif type(item) is dict or type(item) is list:
            yield path, "\0{}" if type(item) is dict else "\0[]"
        else:
            yield path, item


def _named(kind: Kind, value: Any) -> Volatile:
    if kind == "time":
        return _time(value)
    return Volatile(kind, value)


def _time(value: Any) -> Volatile:
    """A time in seconds since the epoch; one of unknown form as it stands, if it is a number, else as a name."""
    if isinstance(value, str):
        try:
            return Volatile("time", _parsed(value))
        except (ValueError, OverflowError):
            return Volatile("id", value)
    seconds = _epoch(value)
    return (
        Volatile("time", float(value) if seconds is None else seconds) if abs(value) < 1e300 else Volatile("id", value)
    )


def _parsed(value: str) -> float:
    if value[:1].isalpha():
        return parsedate_to_datetime(value).timestamp()
    if value.replace(".", "", 1).isdigit():
        number = float(value)
        seconds = _epoch(number)
        return number if seconds is None else seconds
    moment = datetime.fromisoformat(value.replace(",", "."))
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _epoch(value: float) -> float | None:
    """Seconds since the epoch of a number that is a time of this age in seconds, milli-, micro- or nanoseconds; else None."""
    if not _EPOCH.start <= value < _EPOCH.stop * 10**9:
        return None
    for power in (1, 10**3, 10**6, 10**9):
        if _EPOCH.start <= value / power < _EPOCH.stop:
            return value / power
    return None
