"""The few events whose content is to be shown, fetched when it is known which they are.

Strategy: a second reading, up to the last of them. A frame that is not wanted is looked into only where a later one depends on it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ...recording.events import Gap
from ...recording.messages import Assembler, Message
from ...wire.events import Dir, End, Frame, Opaque, Part, Response
from .reading import LIMIT, Item, Source

_PICKED = 64 << 10  # bytes of an item that is to be shown


def pick(recording: Source, numbers: Collection[int]) -> dict[int, Item]:
    """The few items that are to be shown, by event number. A long message is cut.

    Frames that are not wanted are only read where what comes later depends on them: in compressed streams and in open messages.
    """
    wanted = set(numbers)
    found: dict[int, Item] = {}
    assembler = Assembler(LIMIT)
    compressed: set[int] = set()
    unfinished: set[tuple[int, Dir]] = set()
    for number, event in enumerate(recording.events() if wanted else (), 1):
        messages: list[Message] = []
        if isinstance(event, Frame):
            key = (event.conn, event.dir)
            whole = event.fin and len(event.payload) == event.length
            if number in wanted or not whole or key in unfinished or event.conn in compressed:
                messages = assembler.feed(number, event)
                (unfinished.discard if messages else unfinished.add)(key)
        elif isinstance(event, Part | Gap | End | Response | Opaque):
            messages = assembler.feed(number, event)
            if isinstance(event, Response) and b"sec-websocket-extensions" in event.raw.lower():
                compressed.add(event.conn)
        if number in wanted and not isinstance(event, Frame | Part):
            found[number] = event
        _keep(messages, wanted, found)
        if len(found) == len(wanted):
            return found
    _keep(assembler.finish(), wanted, found)
    return found


def _keep(messages: list[Message], wanted: set[int], found: dict[int, Item]) -> None:
    for message in messages:
        if message.number in wanted:
            long = len(message.data) > _PICKED
            found[message.number] = replace(message, data=message.data[:_PICKED]) if long else message
