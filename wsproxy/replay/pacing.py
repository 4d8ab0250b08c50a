"""Pauses between steps: tiny generators that compose, as a terminal player's do.

Strategy: a pace takes the recorded pauses (nanoseconds, one per step) and yields the ones to keep. Each does one thing; `compose` puts
them behind each other. Pauses count from what a step waits for, never from a start: so no pace can change the causal order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

Pace: TypeAlias = Callable[[Iterable[int]], Iterator[int]]


def recorded(pauses: Iterable[int]) -> Iterator[int]:
    """As they were."""
    yield from pauses


def at_once(pauses: Iterable[int]) -> Iterator[int]:
    """None at all: as fast as the peer takes it."""
    for _ in pauses:
        yield 0


def speed(factor: float) -> Pace:
    """All of them shorter by a factor (10 is ten times as fast; below 1 is slower)."""
    if not 0 < factor < float("inf"):
        raise ValueError(f"a speed of {factor:g}: give a number greater than 0")

    def faster(pauses: Iterable[int]) -> Iterator[int]:
        for pause in pauses:
            yield round(pause / factor)

    return faster


def max_idle(seconds: float) -> Pace:
    """None longer than this."""
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"at most {seconds:g} s of silence: give a number of seconds, 0 or more")
    limit = round(seconds * 1e9)

    def capped(pauses: Iterable[int]) -> Iterator[int]:
        for pause in pauses:
            yield min(pause, limit)

    return capped


def compose(*paces: Pace) -> Pace:
    """One behind the other, the first nearest to the recording."""

    def all_of_them(pauses: Iterable[int]) -> Iterator[int]:
        stream: Iterable[int] = pauses
        for pace in paces:
            stream = pace(stream)
        yield from stream

    return all_of_them
