"""Which recorded connection, and which recorded exchange, a live request gets.

Strategy: where the recording's stream id stands in a path, any id may stand: a path is an exact text and a pattern. A request is looked
up by its exact target, then by the pattern (which tells the live id). Among several that fit, the one that was given least often comes first,
then the order of the recordings. In bodies, the id's places are learned from the recorded body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ..secrets.masking import Masker, rules
from .handshake import content_of
from .identities import Place, at_place
from .mentions import shape_of
from .script import Exchange, Scenario, Script

_DEPTH = 12
_NO_SUCH_PATH = "no such path"


@dataclass(slots=True)
class Served:
    """A connection that can be given, and how often it was."""

    script: Script
    scenario: Scenario
    order: int
    given: int = 0


@dataclass(slots=True)
class Answer:
    """An exchange that can be given. `places` are where the stream id stands in the JSON of its request."""

    exchange: Exchange
    scenario: Scenario
    places: list[Place]
    given: int = 0


class Places:
    """All that is served.

    Args:
        repeat: give a connection again when all that fit were given.
    """

    def __init__(self, scenarios: Iterable[Scenario], *, repeat: bool) -> None:
        self.repeat = repeat
        self.websockets: list[Served] = []
        self.answers: list[Answer] = []
        self._exact: dict[str, list[Served]] = {}
        self._shapes: dict[str, tuple[re.Pattern[str], list[Served]]] = {}
        self._ask: dict[tuple[str, str], list[Answer]] = {}
        self._ask_shapes: dict[tuple[str, str], tuple[re.Pattern[str], list[Answer]]] = {}
        for scenario in scenarios:
            stream_id = scenario.id
            for script in scenario.scripts:
                if script.upgrade is not None:
                    self._add_websocket(
                        Served(script, scenario, len(self.websockets)), script.upgrade.target, stream_id
                    )
                for exchange in script.exchanges:
                    if exchange.response is not None:
                        places = list(_places(_json(exchange), stream_id)) if stream_id else []
                        self._add_answer(Answer(exchange, scenario, places), stream_id)

    def _add_websocket(self, served: Served, target: str, stream_id: str | None) -> None:
        self.websockets.append(served)
        self._exact.setdefault(target, []).append(served)
        shape = shape_of(target, stream_id)
        if shape is not None:
            self._shapes.setdefault(shape[0], (shape[1], []))[1].append(served)

    def _add_answer(self, answer: Answer, stream_id: str | None) -> None:
        method, target = answer.exchange.request.method, answer.exchange.target
        self.answers.append(answer)
        self._ask.setdefault((method, target), []).append(answer)
        shape = shape_of(target, stream_id)
        if shape is not None:
            self._ask_shapes.setdefault((method, shape[0]), (shape[1], []))[1].append(answer)

    def websocket(self, target: str) -> tuple[Served, str | None] | str:
        """(what a WebSocket to this target gets, the live id that the target names), or why it gets nothing."""
        found = self._websocket(target)
        masked = _masked(target)
        if found == _NO_SUCH_PATH and masked != target:
            found = self._websocket(masked)
        return found

    def _websocket(self, target: str) -> tuple[Served, str | None] | str:
        exact = self._exact.get(target, [])
        live: str | None = None
        candidates = [served for served in exact if self.repeat or not served.given]
        if candidates:
            live = candidates[0].scenario.id
        else:
            for shape, some in self._shapes.values():
                match = shape.fullmatch(target)
                if match:
                    exact = exact or some
                    candidates = [served for served in some if self.repeat or not served.given]
                    live = unquote(match["id"])
                    break
        if not candidates:
            return "all recordings of this path were played; --repeat plays them again" if exact else _NO_SUCH_PATH
        chosen = min(candidates, key=lambda served: (served.given, served.order))
        chosen.given += 1
        return chosen, live

    def answer(self, method: str, target: str, body: bytes) -> tuple[Answer, str | None] | None:
        """(what a request gets, the live id that it names): in recorded order, the last one again and again."""
        return self._answer(method, target, body) or self._answer(method, _masked(target), body)

    def _answer(self, method: str, target: str, body: bytes) -> tuple[Answer, str | None] | None:
        live: str | None = None
        candidates = self._ask.get((method, target), [])
        if not candidates:
            for (asked, _), (shape, some) in self._ask_shapes.items():
                match = shape.fullmatch(target)
                if asked == method and match:
                    candidates, live = some, unquote(match["id"])
                    break
        if not candidates:
            return None
        fresh = [answer for answer in candidates if not answer.given]
        chosen = fresh[0] if fresh else candidates[-1]
        chosen.given += 1
        return chosen, live or live_id(body, chosen.places)

    def listing(self) -> list[str]:
        """What is served, one line each: paths with the id as a wildcard, and how many recordings each has."""
        counts: dict[str, int] = {}
        for served in self.websockets:
            assert served.script.upgrade is not None
            shape = shape_of(served.script.upgrade.target, served.scenario.id)
            name = shape[0] if shape else served.script.upgrade.target
            counts[name] = counts.get(name, 0) + 1
        for answer in self.answers:
            shape = shape_of(answer.exchange.target, answer.scenario.id)
            name = f"{answer.exchange.request.method} {shape[0] if shape else answer.exchange.target}"
            counts[name] = counts.get(name, 0) + 1
        return [f"{name} ({count})" if count > 1 else name for name, count in counts.items()]


def _masked(target: str) -> str:
    """A target as a redacted recording has it."""
    return Masker(rules()).url(target)


def live_id(body: bytes, places: list[Place]) -> str | None:
    """The id that a JSON body names at one of these places."""
    if not places:
        return None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for place in places:
        for value in at_place(document, place):
            if isinstance(value, str) and value:
                return value
    return None


def _json(exchange: Exchange) -> Any:
    try:
        return json.loads(content_of(exchange.request.raw, exchange.request_body))
    except (ValueError, RecursionError):
        return None


def _places(value: Any, wanted: str, place: Place = ()) -> Iterable[Place]:
    """Where a string stands in a JSON value, the shallowest first within each branch."""
    if value == wanted and place:
        yield place
    elif len(place) < _DEPTH and isinstance(value, dict | list):
        pairs: Iterable[tuple[str | int, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from _places(inner, wanted, (*place, key))
