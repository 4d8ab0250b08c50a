"""Which entry of A is which of B.

Strategy: connections are paired first, by what they ask for, in order. Within a pair of connections each direction is a lane of its own, so that the
pace of one never shifts the other. A lane is aligned three times, each time only what is still open: by the bytes as they stand (where the
recordings share most of them), by keys without volatile values, by likeness. What is left over and equal to something left over
elsewhere has moved. The work is done in an order of the two sides that depends on their contents alone, so that diff(A, B) mirrors diff(B, A).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TypeAlias

from ..align import align
from .keys import Keys
from .likeness import Likeness
from .model import Entry
from .side import Reading
from .volatile import text

_SHARED = 0.5  # of the shorter lane must be the same to the byte for bytes to be the guide


@dataclass(slots=True)
class Match:
    """Entries that belong together. `key` tells by which key they are equal: "exact", "masked", "canonical", or None where they may differ."""

    a: tuple[Entry, ...]
    b: tuple[Entry, ...]
    key: str | None = None
    moved: bool = False

    @property
    def rechunked(self) -> bool:
        return len(self.a) > 1 or len(self.b) > 1


@dataclass(slots=True)
class Pairing:
    """All matches, and the entries without one."""

    matches: list[Match] = field(default_factory=list)
    only_a: list[Entry] = field(default_factory=list)
    only_b: list[Entry] = field(default_factory=list)
    coarse: bool = False


Lane: TypeAlias = "tuple[list[Entry], list[Entry]]"


def pair(a: Reading, b: Reading, keys_a: Keys, keys_b: Keys) -> Pairing:
    """Pair the entries of two sides."""
    pairing = _Pairing(a, b, keys_a, keys_b)
    for lane in _lanes(a, b):
        pairing.lane(*lane)
    pairing.find_moves()
    return pairing.result


def _lanes(a: Reading, b: Reading) -> list[Lane]:
    """The lanes of paired connections and directions; a connection without a partner has lanes with one empty side."""
    partner = _connections(a.targets, b.targets)
    lanes: dict[tuple[int, str], Lane] = defaultdict(lambda: ([], []))
    for entry in a.entries:
        lanes[entry.conn, entry.dir][0].append(entry)
    for entry in b.entries:
        lanes[partner.get(entry.conn, -1 - entry.conn), entry.dir][1].append(entry)
    return list(lanes.values())


def _connections(a: list[str], b: list[str]) -> dict[int, int]:
    """B's connections → A's: by target without ids, in order; what is left between two pairs, in order too."""
    targets_a, targets_b = [text(one)[0] for one in a], [text(one)[0] for one in b]
    pairs = align(targets_a, targets_b).pairs
    found = {j: i for i, j in pairs}
    for gap_a, gap_b in gaps(pairs, len(a), len(b)):
        found |= dict(zip(gap_b, gap_a, strict=False))
    return found


def gaps(pairs: list[tuple[int, int]], len_a: int, len_b: int) -> list[tuple[range, range]]:
    """The stretches between pairs in which at least one side has something."""
    found = []
    i = j = 0
    for next_i, next_j in [*pairs, (len_a, len_b)]:
        if next_i > i or next_j > j:
            found.append((range(i, next_i), range(j, next_j)))
        i, j = next_i + 1, next_j + 1
    return found


class _Pairing:
    def __init__(self, a: Reading, b: Reading, keys_a: Keys, keys_b: Keys) -> None:
        self._keys = (keys_a, keys_b)
        self._knows = (a.knows, b.knows)
        self._like = Likeness(
            lambda entry: a.contents([entry.number])[entry.number],
            lambda entry: b.contents([entry.number])[entry.number],
        )
        self.result = Pairing()

    def lane(self, a: list[Entry], b: list[Entry]) -> None:
        """Pair one lane."""
        by_bytes = align([e.identity for e in a], [e.identity for e in b])
        if len(by_bytes.pairs) < _SHARED * min(len(a), len(b)):
            by_bytes = by_bytes._replace(pairs=[])
        else:
            self.result.coarse |= by_bytes.coarse
            self.result.matches += [Match((a[i],), (b[j],), "exact") for i, j in by_bytes.pairs]
        for gap_a, gap_b in gaps(by_bytes.pairs, len(a), len(b)):
            self._by_keys([a[i] for i in gap_a], [b[j] for j in gap_b])

    def _by_keys(self, a: list[Entry], b: list[Entry]) -> None:
        keys_a, keys_b = self._keys
        masked_a, masked_b = [keys_a.masked(e) for e in a], [keys_b.masked(e) for e in b]
        common = set(masked_a) & set(masked_b)
        of_a = [key if key in common else keys_a.canonical(e) for e, key in zip(a, masked_a, strict=True)] if b else []
        of_b = [key if key in common else keys_b.canonical(e) for e, key in zip(b, masked_b, strict=True)] if a else []
        aligned = align(of_a, of_b)
        self.result.coarse |= aligned.coarse
        for i, j in aligned.pairs:
            kind = "masked" if masked_a[i] in common else "canonical"
            self.result.matches.append(Match((a[i],), (b[j],), "exact" if a[i].exact == b[j].exact else kind))
        for gap_a, gap_b in gaps(aligned.pairs, len(a), len(b)):
            self._by_likeness([a[i] for i in gap_a], [b[j] for j in gap_b])

    def _by_likeness(self, a: list[Entry], b: list[Entry]) -> None:
        known_a, known_b = ([e for e in side if knows(e)] for side, knows in zip((a, b), self._knows, strict=True))
        if len(known_a) < len(a) or len(known_b) < len(b):
            self.result.coarse = True
            self.result.only_a += [entry for entry in a if not self._knows[0](entry)]
            self.result.only_b += [entry for entry in b if not self._knows[1](entry)]
            a, b = known_a, known_b
        taken_a: set[int] = set()
        taken_b: set[int] = set()
        for places_a, places_b in self._like.groups(a, b):
            self.result.matches.append(Match(tuple(a[i] for i in places_a), tuple(b[j] for j in places_b)))
            taken_a |= set(places_a)
            taken_b |= set(places_b)
        self.result.only_a += [entry for i, entry in enumerate(a) if i not in taken_a]
        self.result.only_b += [entry for j, entry in enumerate(b) if j not in taken_b]
        self.result.coarse |= self._like.coarse

    def find_moves(self) -> None:
        """Match what is left over on both sides and equal, wherever it stands."""
        keys_a, keys_b = self._keys
        if not self.result.only_a or not self.result.only_b or self.result.coarse:
            return  # in recordings that are too unlike, what is equal by chance has not moved
        for key in ("exact", "masked"):
            of_b: dict[object, list[Entry]] = defaultdict(list)
            for entry in sorted(self.result.only_b, key=lambda e: (e.t, e.number)):
                of_b[entry.identity if key == "exact" else keys_b.masked(entry)].append(entry)
            gone: set[int] = set()
            moved: set[int] = set()
            for entry in sorted(self.result.only_a, key=lambda e: (e.t, e.number)):
                found = of_b.get(entry.identity if key == "exact" else keys_a.masked(entry))
                if found:
                    other = found.pop(0)
                    self.result.matches.append(Match((entry,), (other,), key, moved=True))
                    gone.add(entry.number)
                    moved.add(other.number)
            self.result.only_a = [e for e in self.result.only_a if e.number not in gone]
            self.result.only_b = [e for e in self.result.only_b if e.number not in moved]
