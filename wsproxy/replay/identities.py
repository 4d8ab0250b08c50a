"""Other names and values in what is played: a stream id renewed everywhere, a JSON value set, a variable filled in.

Strategy: an id is replaced as text, wherever it stands (path, fields, bodies, messages), so that all mentions stay one. A value is set
by its path in messages that have that path; the JSON is written again in the style that it had. Nothing is changed
that need not be: a message without the id stays the recorded one, to the byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..wire.events import Dir
from .mentions import Renaming
from .problems import ReplayError
from .script import Script, Step
from .whatif import Edit, each, said

_TOKEN = re.compile(
    r"\.?(?P<name>[A-Za-z_$][\w$-]*)|\[(?P<index>-?[0-9]{1,6})\]|\[(?P<quote>['\"])(?P<key>.*?)(?P=quote)\]"
)
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
MASKED = "…masked"  # what stands at the end of a value that was masked in a copy of a recording

Place = tuple[str | int, ...]


def renamed(script: Script, dir: Dir, renaming: Renaming) -> Script:
    """A script in which one side says the new id where it said the old one; the same one where it never did."""
    own: dict[int, list[Step]] = {}
    for step in script.steps_of(dir):
        if step.message is not None and not step.message.is_control:
            own.setdefault(id(step.message), []).append(step)
    changed: dict[int, Step] = {}
    for steps in own.values():
        for before, after in zip(steps, said(steps, renaming), strict=True):
            if after is not before:
                changed[id(before)] = after
    if not changed:
        return script
    steps = [changed.get(id(step), step) for step in script.steps]
    return replace(script, steps=steps, rewritten=script.rewritten | {dir})


def read_place(path: str) -> Place:
    """Read a JSONPATH: `data.choices[0].delta`, `$.data['a key']`. Raises ReplayError."""
    rest = path.removeprefix("$")
    rest = rest if rest.startswith((".", "[")) else f".{rest}"
    place: list[str | int] = []
    at = 0
    while at < len(rest):
        match = _TOKEN.match(rest, at)
        if match is None or (match["name"] and rest[at] != "."):
            raise ReplayError(
                f"{path!r} is no JSONPATH at {rest[at:]!r}; write for example data.choices[0].delta.content"
            )
        place.append(int(match["index"]) if match["index"] else match["name"] or match["key"])
        at = match.end()
    return tuple(place)


def at_place(value: Any, place: Place) -> list[Any]:
    """What stands there, in a list of one; an empty list where nothing does."""
    for key in place:
        try:
            if isinstance(value, dict) != isinstance(key, str):
                return []
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return []
    return [value]


def set_value(path: str, value: Any) -> Edit:
    """Set a value in every message that has one there."""
    place = read_place(path)

    def change(data: bytes) -> bytes:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return data
        if not at_place(document, place):
            return data
        if not place:
            return _as_it_was(value, data)
        holder = at_place(document, place[:-1])[0]
        holder[place[-1]] = value
        return _as_it_was(document, data)

    return each(f"--set {path}", "1-", lambda steps: said(steps, change))


def parse_set(text: str, variables: Mapping[str, str]) -> Edit:
    """Read JSONPATH=VALUE; a VALUE that is no JSON is a string. Raises ReplayError."""
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise ReplayError(f"--set {text!r}: not JSONPATH=VALUE; write for example data.model=demo")
    value = filled(value, variables)
    try:
        return set_value(path, json.loads(value))
    except (ValueError, RecursionError):
        return set_value(path, value)


def filled(text: str, variables: Mapping[str, str]) -> str:
    """Text with each ${NAME} of the variables replaced; others stay."""
    return _VARIABLE.sub(lambda match: variables.get(match[1], match[0]), text)


def read_variables(names: tuple[str, ...], environment: Mapping[str, str]) -> dict[str, str]:
    """The values of these variables. Raises ReplayError for one that is not set."""
    for name in names:
        if name not in environment:
            raise ReplayError(f"--var {name}: not set in the environment; export {name}=... first")
    return {name: environment[name] for name in names}


def _as_it_was(document: Any, data: bytes) -> bytes:
    """JSON with the separators and escapes of what it replaces."""
    spaced = re.match(rb'\s*[\[{]\s*("(?:[^"\\]|\\.)*"\s*:|[^"]*,) ', data) is not None
    separators = (", ", ": ") if spaced else (",", ":")
    return json.dumps(document, ensure_ascii=data.isascii(), separators=separators).encode()
