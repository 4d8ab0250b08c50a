"""Choosing items of a recording: by direction, type and content.

Strategy: a predicate over items. Types are the words that the timeline shows: the pipeline's (START …), the opcodes' (text …), the events'.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..recording.format import Event, Marker, Unknown
from ..recording.messages import Message
from ..recording.view import HttpBody, Item
from ..wire.events import Frame, Request, Response
from .pipeline import read_message

_OPCODES = {0: "continuation", 1: "text", 2: "binary", 8: "close", 9: "ping", 10: "pong"}


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
