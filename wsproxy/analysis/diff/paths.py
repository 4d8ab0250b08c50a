"""Where a value stands in a JSON value, as text, and patterns of such places.

Strategy: a path is a tuple of object keys (`str`) and array indexes (`int`). Its text is what one would write in JavaScript:
`choices[0].delta.content`, and a key that is no plain word is quoted: `headers["user-agent"]`. The whole value is `$`.
A pattern is written in the same way, with `*` for any key, `[*]` for any index and `**` for any number of both. Matching walks the
path once and keeps the set of places in the pattern that it may have reached.

Cost: O(length of the path x length of the pattern).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STEP = re.compile(
    r"""
      \[ (?: (?P<index>[0-9]+) | (?P<item>\*) | (?P<quoted>"(?:[^"\\]|\\.)*") ) \]
    | (?P<name>[^.\[\]"\s]+)
    """,
    re.VERBOSE | re.DOTALL,
)


def path_text(path: Path) -> str:
    """A path as one reads it, and as `PathPattern.parse` takes it: `choices[0].delta`, `headers["user-agent"]`, `$`."""
    parts: list[str] = []
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif _PLAIN.fullmatch(step):
            parts.append(f".{step}" if parts else step)
        else:
            parts.append(f"[{json.dumps(step, ensure_ascii=False)}]")
    return "".join(parts) or "$"


class Wildcard(Enum):
    """What a step of a pattern leaves open."""

    KEY = "*"
    INDEX = "[*]"
    DEPTH = "**"


@dataclass(frozen=True)
class PathPattern:
    """Places in JSON values, with everything below them."""

    text: str
    steps: tuple[str | int | Wildcard, ...]

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Read a pattern such as `choices[*].delta.**` or `**.id`.

        Args:
            text: keys with dots between, `[3]`, `[*]` (any index), `*` (any key), `**` (any depth, none included),
                `["any key"]` in JSON's spelling, `$` for the whole value.

        Raises:
            ValueError: saying what is wrong and where.
        """
        return cls(text, tuple(_steps(text)))

    def matches(self, path: Path) -> bool:
        """Whether the place, or one that it stands in, is meant."""
        reached = self._onwards({0})
        for step in path:
            if len(self.steps) in reached:
                return True
            moved = set()
            for at in reached:
                wanted = self.steps[at]
                if wanted is Wildcard.DEPTH:
                    moved.add(at)
                elif wanted is Wildcard.KEY:
                    if isinstance(step, str):
                        moved.add(at + 1)
                elif wanted is Wildcard.INDEX:
                    if isinstance(step, int):
                        moved.add(at + 1)
                elif wanted == step:
                    moved.add(at + 1)
            reached = self._onwards(moved)
        return len(self.steps) in reached

    def _onwards(self, places: set[int]) -> set[int]:
        """`**` may also stand for nothing."""
        reached = set()
        for at in places:
            reached.add(at)
            while at < len(self.steps) and self.steps[at] is Wildcard.DEPTH:
                at += 1
                reached.add(at)
        return reached


def _steps(text: str) -> Iterator[str | int | Wildcard]:
    if not text:
        raise ValueError("an empty path; the whole value is written $")
    at = 1 if text.startswith("$") else 0
    while at < len(text):
        if text[at] == ".":
            if not at or text[at - 1] == ".":
                raise ValueError(f"{text!r}: a key is missing before the dot at position {at}")
            at += 1
            if at == len(text) or text[at] == "[":
                raise ValueError(f"{text!r}: a key is missing after the dot at position {at - 1}")
            continue
        found = _STEP.match(text, at)
        if found is None:
            raise ValueError(f"{text!r}: {_trouble(text[at:])} at position {at}")
        if found["name"] and at and text[at - 1] != ".":
            raise ValueError(f"{text!r}: a dot is missing before {found['name']!r} at position {at}")
        yield _step(text, found)
        at = found.end()


def _step(text: str, found: re.Match[str]) -> str | int | Wildcard:
    if found["index"]:
        return int(found["index"])
    if found["item"]:
        return Wildcard.INDEX
    if found["quoted"]:
        try:
            return str(json.loads(found["quoted"], strict=False))
        except ValueError:
            raise ValueError(f"{text!r}: {found['quoted']} is no JSON string at position {found.start()}") from None
    name = found["name"]
    if name in ("*", "**"):
        return Wildcard(name)
    if "*" in name:
        raise ValueError(f"{text!r}: * stands for a whole key, not for a part of one, at position {found.start()}")
    return name


def _trouble(rest: str) -> str:
    if rest.startswith("["):
        inside, closed, _ = rest[1:].partition("]")
        return f"[{inside}] is no index, no [*] and no quoted key" if closed else "a [ that is not closed"
    if rest.startswith("]"):
        return "a ] without its ["
    return f"{rest[0]!r} must stand in a quoted key"
