"""What if: edits of what one side of a recording says.

Strategy: an edit is a function from the steps of one side of one connection to other steps, wrapped with its name and a count of what it
touched, so that one that chose nothing can be told. Edits compose by being applied one after the other. Steps keep their time:
what is left out becomes silent, so that everything behind it stays where it was.

Places and numbers count data messages of the side that is played; control frames are chosen by their type (`type:close`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..analysis.selection import Selector, SelectorError, parse_selector
from ..recording.events import Marker
from ..recording.messages import Message
from ..recording.view import Item
from ..wire.events import C2S, OP_CLOSE, Dir, End, Frame
from .problems import ReplayError
from .script import SILENCE, Need, Script, Step

_DELAY = re.compile(r"(?P<selector>.+)=\+(?P<number>[0-9]+(\.[0-9]+)?)(?P<unit>ms|s)", re.DOTALL)
_PLAYED = {"c2s": "client", "s2c": "server"}


@dataclass(slots=True)
class Touched:
    """The steps after an edit, how many messages it touched, and whether what is said is not what was recorded any more."""

    steps: list[Step]
    messages: int
    rewritten: bool


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit. `text` is how a person would write it."""

    text: str
    make: Callable[[list[Step], list[Item], list[Marker]], Touched]
    selector: Selector | None = None


def delay(selector: str, seconds: float) -> Edit:
    """Hold each chosen message back for so long, beside the recorded pause; what this side says later waits behind it."""
    hold = round(seconds * 1e9)

    def change(steps: list[Step]) -> list[Step]:
        return [replace(steps[0], hold=steps[0].hold + hold), *steps[1:]]

    return each(f"--delay '{selector}=+{seconds * 1e3:g}ms'", selector, change, rewritten=False)


def drop(selector: str) -> Edit:
    """Leave each chosen message out."""
    return each(f"--drop '{selector}'", selector, lambda steps: [replace(step, silent=True) for step in steps])


def duplicate(selector: str) -> Edit:
    """Say each chosen message twice."""

    def change(steps: list[Step]) -> list[Step]:
        message = replace(steps[0].message) if steps[0].message else None
        return [*steps, *(replace(step, message=message, delay=0, hold=0) for step in steps)]

    return each(f"--duplicate '{selector}'", selector, change)


def corrupt(selector: str) -> Edit:
    """Invert the middle byte of each chosen message: valid frames, wrong content (a text is no UTF-8 any more)."""

    def change(steps: list[Step]) -> list[Step]:
        return said(steps, lambda data: _inverted(data))

    return each(f"--corrupt '{selector}'", selector, change)


def swap(selector: str) -> Edit:
    """Say each chosen message after the data message that follows it."""
    text = f"--swap '{selector}'"
    parsed = _parse(selector, text)

    def make(steps: list[Step], items: list[Item], markers: list[Marker]) -> Touched:
        chosen = _chosen(parsed, items, markers)
        order = [number for number, item in items if isinstance(item, Message) and not item.is_control]
        touched = 0
        for number in [number for number in order if number in chosen]:
            at = order.index(number)
            if at + 1 < len(order):
                steps = _swapped(steps, number, order[at + 1])
                order[at], order[at + 1] = order[at + 1], order[at]
                touched += 1
        return Touched(steps, touched, rewritten=touched > 0)

    return Edit(text, make, parsed)


def truncate_after(n: int) -> Edit:
    """Say nothing any more after the n-th data message: no close frame, no end; the connection stays open."""

    def tail(like: Step) -> list[Step]:
        return [Step(like.dir, End(like.act.conn, like.dir, like.act.t, SILENCE), like.need, 0)]

    return _after(f"--truncate-after {n}", n, tail)


def close_with(code: int, reason: str = "", *, after: int) -> Edit:
    """Close with this code after the n-th data message."""
    payload = code.to_bytes(2, "big") + reason.encode()
    if len(payload) > 125:
        raise ReplayError("a close reason has at most 123 bytes")

    def tail(like: Step) -> list[Step]:
        mask = bytes(4) if like.dir == C2S else None
        frame = Frame(like.act.conn, like.dir, like.act.t, 0x80 | OP_CLOSE, mask, len(payload), 7, payload)
        return [
            Step(like.dir, frame, like.need, 0),
            Step(like.dir, End(like.act.conn, like.dir, like.act.t, "fin"), like.need._replace(close=True), 0),
        ]

    return _after(f"--close-with {code} --after {after}", after, tail)


def reset_after(n: int) -> Edit:
    """Abort the TCP connection after the n-th data message."""

    def tail(like: Step) -> list[Step]:
        return [Step(like.dir, End(like.act.conn, like.dir, like.act.t, "reset"), like.need, 0)]

    return _after(f"--reset-after {n}", n, tail)


def parse_delay(text: str) -> Edit:
    """Read SELECTOR=+130ms (or +1.5s). Raises ReplayError."""
    match = _DELAY.fullmatch(text)
    if match is None:
        raise ReplayError(
            f"--delay {text!r}: not SELECTOR=+TIME; write for example 'grep:BLOCKED=+300ms' or 'last=+1.5s'"
        )
    factor = 1e-3 if match["unit"] == "ms" else 1.0
    return delay(match["selector"], float(match["number"]) * factor)


def apply(script: Script, dir: Dir, edits: tuple[Edit, ...], markers: list[Marker]) -> list[int]:
    """Change what one side of a script says; how many messages each edit touched.

    Raises:
        ReplayError: an edit chooses what the other side says.
    """
    touched = []
    for edit in edits:
        wanted = edit.selector.selection.dir if edit.selector else None
        if wanted and wanted != dir:
            raise ReplayError(
                f"{edit.text}: only what is played can be edited, and that is the {_PLAYED[dir]}: leave '{_PLAYED[wanted]}' out"
            )
        own, others = script.steps_of(dir), [step for step in script.steps if step.dir != dir]
        items: list[Item] = [(m.number, m) for m in script.messages if m.dir == dir]
        result = edit.make(own, items, markers)
        script.steps = others + result.steps
        if result.rewritten and result.messages:
            script.rewritten |= {dir}
        touched.append(result.messages)
    return touched


def said(steps: list[Step], change: Callable[[bytes], bytes]) -> list[Step]:
    """The steps of one message with its data changed; the same steps where nothing changes."""
    message = steps[0].message
    if message is None or message.error is not None:
        return steps
    data = change(message.data)
    if data == message.data:
        return steps
    message = replace(message, data=data)
    return [replace(step, message=message, edited=True) for step in steps]


def _inverted(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :] if data else b"\xff"


def _parse(selector: str, option: str) -> Selector:
    try:
        return parse_selector(selector)
    except SelectorError as error:
        raise ReplayError(f"{option}: {error}") from None


def _chosen(selector: Selector, items: list[Item], markers: list[Marker]) -> set[int]:
    """Numbers of the chosen messages: data messages, unless types are named."""
    named = bool(selector.selection.types or selector.numbers)
    candidates = [pair for pair in items if named or (isinstance(pair[1], Message) and not pair[1].is_control)]
    return {number for number, _ in selector.of(candidates, markers)}


def each(text: str, selector: str, change: Callable[[list[Step]], list[Step]], *, rewritten: bool = True) -> Edit:
    """An edit of each chosen message for itself.

    Args:
        text: how a person would write it.
        change: gets all steps of a message, and returns what stands in their place; the very same list for no change.
        rewritten: what is said is not what was recorded any more.
    """
    parsed = _parse(selector, text)

    def make(steps: list[Step], items: list[Item], markers: list[Marker]) -> Touched:
        chosen = _chosen(parsed, items, markers)
        out = list(steps)
        touched = 0
        for number in chosen:
            own = [step for step in out if step.message is not None and step.message.number == number]
            new = change(own) if own else own
            if new is not own:
                out = _replaced(out, own, new)
                touched += 1
        return Touched(out, touched, rewritten)

    return Edit(text, make, parsed)


def _replaced(steps: list[Step], own: list[Step], new: list[Step]) -> list[Step]:
    """Each step in its own place, those that are new behind the last."""
    places = {id(step): new[at : at + 1] for at, step in enumerate(own)}
    places[id(own[-1])] = new[len(own) - 1 :]
    return [one for step in steps for one in places.get(id(step), [step])]


def _swapped(steps: list[Step], first: int, second: int) -> list[Step]:
    """Two messages in each other's place; each takes the time of the place."""
    of: dict[int, list[Step]] = {first: [], second: []}
    for step in steps:
        if step.message is not None and step.message.number in of:
            of[step.message.number].append(step)
    if not of[first] or not of[second]:
        return steps
    out: list[Step] = []
    for step in steps:
        number = step.message.number if step.message is not None else None
        if number not in of:
            out.append(step)
        elif step is of[number][0]:
            other = of[second if number == first else first]
            head = replace(other[0], need=step.need, delay=step.delay, hold=step.hold)
            out += [head, *(replace(one, need=step.need, delay=0, hold=0) for one in other[1:])]
    return out


def _after(text: str, n: int, tail: Callable[[Step], list[Step]]) -> Edit:
    """Everything up to the n-th data message, then the tail."""

    def make(steps: list[Step], items: list[Item], markers: list[Marker]) -> Touched:
        data = [number for number, item in items if isinstance(item, Message) and not item.is_control]
        if n > len(data) or not steps:
            return Touched(steps, 0, rewritten=False)
        at = -1
        if n:
            at = max(
                place
                for place, step in enumerate(steps)
                if step.message is not None and step.message.number == data[n - 1]
            )
        like = steps[at] if n else replace(steps[0], need=Need())
        return Touched(steps[: at + 1] + tail(like), 1, rewritten=False)

    return Edit(text, make)
