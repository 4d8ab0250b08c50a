"""Choosing items of a recording: by direction, type and content; and, in one line of text, by place.

Strategy: a `Selection` is a predicate over items. Types are the words that the timeline shows: the pipeline's (START …), the opcodes'
(text …), the events'. A `Selector` is a selection that a person wrote in one line, with places counted among what it chooses; the words of
the language stand in one table, `LANGUAGE`, which is also its help.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..patterns import compiled
from ..recording.events import Event, Marker, Unknown
from ..recording.messages import Message
from ..recording.view import HttpBody, Item
from ..wire.events import C2S, S2C, Frame, Request, Response
from .pipeline import read_message

_OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}

#: The words of a selector, and what each chooses.
LANGUAGE = {
    "type:CHUNK": "of this type: START, CHUNK, text, binary, ping, close",
    "grep:REGEX": "whose content matches; takes the rest of the line",
    "client, server": "what this side said (also c2s, s2c)",
    "3, 3-5, 3-, last": "by place among what the other words choose",
    "#20": "event number 20 of 'wsproxy show'",
    "stage:policy.start": "the first after each marker of this stage",
}


class SelectorError(ValueError):
    """A selector that says nothing; the message says why, and what could be said."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What to keep; an empty selection keeps everything."""

    dir: str | None = None
    grep: re.Pattern[str] | None = None
    types: tuple[str, ...] = ()

    def of(self, numbered: Iterable[Item]) -> Iterator[Item]:
        """The items that are chosen."""
        wanted = {name.lower() for name in self.types}
        for number, item in numbered:
            if self.dir and getattr(item, "dir", None) != self.dir:
                continue
            if wanted and not wanted & names(item):
                continue
            if self.grep and not self.grep.search(content(item)):
                continue
            yield number, item


@dataclass(frozen=True, slots=True)
class Selector:
    """A selection with places.

    `places` are ranges from 1, both ends included (None: to the end; -1 is the last); `numbers` are event numbers; `stages` names of
    markers. Empty ones restrict nothing.
    """

    text: str
    selection: Selection = Selection()
    places: tuple[tuple[int, int | None], ...] = ()
    numbers: tuple[int, ...] = ()
    stages: tuple[str, ...] = ()

    def of(self, numbered: Iterable[Item], markers: Iterable[Marker] = ()) -> list[Item]:
        """The items that are chosen, out of those of one connection in their order."""
        chosen = list(self.selection.of(numbered))
        if self.numbers:
            chosen = [pair for pair in chosen if pair[0] in self.numbers]
        if self.stages:
            times = [marker.t for marker in markers if marker.stage in self.stages]
            chosen = _first_after(chosen, times)
        if not self.places:
            return chosen
        last = len(chosen)
        return [
            pair
            for place, pair in enumerate(chosen, 1)
            if any(place == last if low < 0 else low <= place <= (high or last) for low, high in self.places)
        ]


def _first_after(items: list[Item], times: list[int]) -> list[Item]:
    """Of each time, the first item that does not stand before it; each item once."""
    found = []
    for t in sorted(times):
        first = next((pair for pair in items if getattr(pair[1], "t", -1) >= t), None)
        if first is not None and first not in found:
            found.append(first)
    return found


def parse_selector(text: str) -> Selector:
    """Read a selector: words from `LANGUAGE` with spaces between them; all of them must hold.

    Raises:
        SelectorError: an unknown word, a bad regular expression, nothing at all.
    """
    dir: str | None = None
    grep: re.Pattern[str] | None = None
    types: list[str] = []
    places: list[tuple[int, int | None]] = []
    numbers: list[int] = []
    stages: list[str] = []
    rest = text.strip()
    if not rest:
        raise SelectorError("an empty selector: say for example type:CHUNK, grep:BLOCKED, 3-, last")
    while rest:
        if rest.startswith("grep:"):
            grep, rest = _pattern(rest.removeprefix("grep:")), ""
            continue
        word, _, rest = rest.partition(" ")
        rest = rest.lstrip()
        match = re.fullmatch(r"([0-9]{1,9})(-([0-9]{1,9})?)?", word)
        if word in ("client", C2S, "server", S2C):
            dir = C2S if word in ("client", C2S) else S2C
        elif word.startswith("type:") and len(word) > 5:
            types.append(word.removeprefix("type:"))
        elif word.startswith("stage:") and len(word) > 6:
            stages.append(word.removeprefix("stage:"))
        elif word == "last":
            places.append((-1, None))
        elif match:
            low = int(match[1])
            high = int(match[3]) if match[3] else None if match[2] else low
            if low < 1 or (high is not None and high < low):
                raise SelectorError(f"{word!r}: places count from 1, the smaller first")
            places.append((low, high))
        elif re.fullmatch(r"#[0-9]{1,9}", word):
            numbers.append(int(word[1:]))
        elif re.fullmatch(r"[A-Za-z_]\w*(\.\w+)+", word):
            stages.append(word)
        else:
            raise SelectorError(f"{word!r} chooses nothing; a selector is made of {', '.join(LANGUAGE)}")
    return Selector(text, Selection(dir, grep, tuple(types)), tuple(places), tuple(numbers), tuple(stages))


def _pattern(text: str) -> re.Pattern[str]:
    if not text:
        raise SelectorError("grep: without a regular expression behind it")
    try:
        return compiled(text)
    except ValueError as error:
        raise SelectorError(f"grep: {error}") from None


def names(item: Message | HttpBody | Event) -> set[str]:
    """All the type names that an item answers to, in lower case."""
    if isinstance(item, Unknown):
        return {item.kind.lower()}
    found = {"body" if isinstance(item, HttpBody) else type(item).__name__.lower()}
    if isinstance(item, Message | Frame):
        found.add(_OPCODES.get(item.opcode, f"opcode {item.opcode}"))
    if isinstance(item, Message) and item.opcode == 1:
        message = read_message(item.json)
        if message is not None:
            found.add(message.type.lower())
    if isinstance(item, Marker):
        found.add(item.stage.lower())
    return found


def content(item: Message | HttpBody | Event) -> str:
    """The content of an item as text, for matching."""
    if isinstance(item, Message | HttpBody):
        return item.data.decode("utf-8", "replace")
    if isinstance(item, Request | Response):
        return item.raw.decode("latin-1")
    if isinstance(item, Frame):
        return item.payload.decode("utf-8", "replace")
    return " ".join(str(value) for value in item if value is not None)
