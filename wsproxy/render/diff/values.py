"""The differences within a pair as they may be shown: masked, and the same ones together.

Strategy: secrets are masked *before* two values are compared, so that no word of one stands in what changed; values that are alike only then say
so. Changes that are the same at several places (a header that a message carries six times) are one difference with several places.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from ...analysis.diff.model import Row
from ...analysis.diff.paths import path_text
from ...analysis.diff.structure import Change, Path
from ...secrets.masking import mask_field, mask_json, mask_text
from ..text import escape

_HEADS = ("request", "response")
_CREDENTIALS = "(credentials: --show-secrets shows the bytes)"


# Ids that are no secrets, whatever key they stood under: UUIDs, ids that their prefix names, addresses.


class Values(NamedTuple):
    """Both values of a change: JSON values or bytes, masked. `quiet` says that only what is masked differs."""

    a: Any
    b: Any
    quiet: bool


def values(change: Change, kind: str, *, secrets: bool) -> Values:
    """Both values of a change as they may be shown.

    Args:
        kind: of the entry that the change is in: the fields of a head are masked by their names.
        secrets: show them as they are.
    """
    if secrets:
        return Values(change.a, change.b, False)
    a, b = _masked(change.path, change.a, kind), _masked(change.path, change.b, kind)
    hidden = a == b and type(a) is type(b)
    return Values(a, b, change.op == "changed" and hidden)


def _masked(path: Path, value: Any, kind: str) -> Any:
    """A value that stands at a path: the key that it belongs to may say what it is."""
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace")
        return value if mask_text(text) == text else _CREDENTIALS
    key = next((step for step in reversed(path) if isinstance(step, str)), None)
    if kind in _HEADS and path[:1] == ("headers",):
        return _masked_field(key or "", value)
    if key is None or not isinstance(value, str):
        return mask_json(value)
    return mask_json({key: value})[key]


def _masked_field(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked_field(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked_field(name, item) for item in value]
    return mask_field(name, value) if isinstance(value, str) else value


def renamed_id(value: Any, *, secrets: bool) -> Any:
    """An id that has another name on the other side, as it may be shown."""
    return value if secrets else mask_json(value)


@dataclass(slots=True)
class Difference:
    """One difference within a pair, at one place or several: texts or bytes as they may be shown, not escaped."""

    op: Literal["changed", "added", "removed"]
    a: str | bytes
    b: str | bytes
    wordy: bool  # both are texts, whose words can be compared
    quiet: bool
    places: list[Path] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Where it is, escaped: the whole path, or from the last key on where there are several."""
        path = self.places[0]
        if len(self.places) > 1:
            path = path[_last_key(path) :]
        if len(path) == 1 and isinstance(path[0], str):
            return escape(mask_text(path[0]))
        return escape(mask_text(path_text(path))) if path else ""

    @property
    def parents(self) -> list[str]:
        """What it is in, place by place, escaped."""
        return [escape(mask_text(path_text(path[: _last_key(path)]))) for path in self.places]


def _last_key(path: Path) -> int:
    return max((at for at, step in enumerate(path) if isinstance(step, str)), default=0)


def differences(row: Row, *, secrets: bool) -> list[Difference]:
    """The differences of a pair, in the order of their first places."""
    found: dict[Any, Difference] = {}
    for change in row.changes:
        a, b, quiet = values(change, row.entry.kind, secrets=secrets)
        wordy = change.op == "changed" and isinstance(a, str) and isinstance(b, str)
        one = Difference(change.op, _text(change.path, a), _text(change.path, b), wordy, quiet)
        together = (one.op, change.path[_last_key(change.path) :], one.a, one.b, quiet)
        found.setdefault(together, one).places.append(change.path)
    return list(found.values())


def _text(path: Path, value: Any) -> str | bytes:
    """A JSON value as one reads it: strings in quotes, but as they are; what is no JSON has no path and no quotes."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return f'"{value}"' if path else value
    return json.dumps(value, ensure_ascii=False)
