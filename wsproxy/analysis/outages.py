"""When an upstream was away: what several recordings, put into one order of time, say of it.

Strategy: each recording gives its contacts with upstreams: a connection that one took, or refused, or broke off. Those of all
recordings are sorted by the wall clock. An outage begins with the first refusal, or with connections that break together, and lasts until the next
connection is taken. One connection that breaks, with no refusal after it, is no outage: its own diagnosis tells.

Cost: a contact per change and recording, not per connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..secrets.masking import mask_text
from ..wire.events import S2C
from .diagnosis.findings import span
from .journey.attempt import Attempt

TAKEN, REFUSED, BROKE = "taken", "refused", "broke"
TOGETHER_NS = 1_000_000_000  # connections that break within this time break together
SOON_NS = 60_000_000_000  # a refusal so long after them belongs to them
RESTART = (1001, 1012)  # close codes of a server that goes away


@dataclass(slots=True)
class Contact:
    """What became of `count` connections to an upstream, one after the other. Times in nanoseconds since the Unix epoch."""

    first: int
    last: int
    upstream: str
    how: str
    why: str = ""
    count: int = 1


@dataclass(slots=True)
class Outage:
    """A time without an upstream; `back` is when it took a connection again, None if it was not seen to."""

    upstream: str
    begin: int
    refused: int = 0
    broken: int = 0
    why: str = ""
    last: int = 0
    back: int | None = None

    @property
    def sentence(self) -> str:
        """In plain English."""
        told = []
        if self.broken:
            told.append(f"{_streams(self.broken)} broke")
        if self.refused:
            within = f" within {span(self.last - self.begin)}" if self.refused > 1 else ""
            told.append(f"{self.refused:,} connection{'' if self.refused == 1 else 's'} refused{within} ({self.why})")
        end = "and it was not seen again"
        if self.back is not None:
            end = f"then it took one, {span(self.back - self.begin)} after the first"
        return mask_text(f"{self.upstream} was away at {_clock(self.begin)}: {', '.join(told)}, {end}")

    def to_json(self) -> dict[str, Any]:
        """For programs; times in seconds since the Unix epoch."""
        return {
            "kind": "outage",
            "upstream": mask_text(self.upstream),
            "begin": self.begin / 1e9,
            "back": None if self.back is None else self.back / 1e9,
            "refused": self.refused,
            "broken": self.broken,
            "why": mask_text(self.why),
            "sentence": self.sentence,
        }


def breaks(attempts: Iterable[Attempt], upstream: str, start: int) -> Iterable[Contact]:
    """The streams of a recording that its upstream broke off: no close frame, or one that says that the server goes away."""
    for attempt in attempts:
        end, close = attempt.ended.get(S2C), attempt.closes.get(S2C)
        ends = [one.t for one in attempt.ended.values()]
        if attempt.answered is None or attempt.status != 101:
            continue
        if close is not None and close.code in RESTART and close.t == min(c.t for c in attempt.closes.values()):
            yield Contact(start + close.t, start + close.t, upstream, BROKE, f"closed with {close.code}")
        elif end is not None and not attempt.closes and end.t == min(ends) and end.how not in ("aborted", "stopped"):
            yield Contact(start + end.t, start + end.t, upstream, BROKE, end.how)


def outages(contacts: Iterable[Contact]) -> list[Outage]:
    """Those of all upstreams, in the order of time."""
    points: list[tuple[int, str, str, str, int]] = []
    for one in contacts:
        points.append(
            (one.first, one.upstream, one.how, one.why, one.count if one.last == one.first else one.count - 1)
        )
        if one.last != one.first:
            points.append((one.last, one.upstream, one.how, one.why, 1))
    found: list[Outage] = []
    open_: dict[str, Outage] = {}
    for t, upstream, how, why, count in sorted(points):
        outage = open_.get(upstream)
        patience = SOON_NS if how == REFUSED else TOGETHER_NS
        if outage is not None and (how == TAKEN or (not outage.refused and t - outage.last > patience)):
            outage.back = t if how == TAKEN else None
            if outage.refused or outage.broken > 1:
                found.append(outage)
            del open_[upstream]
            outage = None
        if how == TAKEN:
            continue
        if outage is None:
            outage = open_[upstream] = Outage(upstream, t)
        outage.last = t
        if how == REFUSED:
            outage.refused += count
            outage.why = outage.why or why
        else:
            outage.broken += count
    found += [outage for outage in open_.values() if outage.refused or outage.broken > 1]
    return sorted(found, key=lambda outage: outage.begin)


def _streams(count: int) -> str:
    return f"{count:,} stream{'' if count == 1 else 's'}"


def _clock(ns: int) -> str:
    """`2026-11-24 14:03:11.204 UTC`."""
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
