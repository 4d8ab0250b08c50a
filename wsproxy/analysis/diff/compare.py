"""Two recordings in, a diff out.

Strategy: read both sides, pair their entries, let volatile values meet, look into the pairs, put the rows into order, add up what the whole tells:
what the deltas spell, which stages were seen, how long the hops took, what `diagnose` says of each. The pairing is made in an order of the sides
that their contents decide, and turned round where that is not the order asked for: so diff(A, B) and diff(B, A) are mirrors.

Cost: about 12 µs a message and side where most are alike; memory of some 0.5 KiB a message and side, and for contents up to 96 MiB a side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ...errors import WsproxyError
from ...wire.events import Dir
from ..diagnose import diagnose
from ..journey.reading import Source
from ..journey.ways import hops
from ..trace import trace
from .changes import Changes
from .essence import essence
from .hunks import hunks
from .keys import Keys, Skip, skipping
from .model import Count, Diff, Entry, HopTime, Op, Options, Row, Side, Spelled
from .pairing import Match, pair
from .sequence import in_order, set_times
from .side import Reading
from .spelling import joined, spell
from .structure import Change, mirrored

JUDGED = 30_000  # entries of a side for which `diagnose` and `trace` are asked
SPELLED = 30_000  # messages of a direction that are put together
_STATES = ("finished", "", "open")


def diff(a: Source, b: Source, options: Options | None = None) -> Diff:
    """Compare two recordings.

    Raises:
        WsproxyError: a path of the options is none.
    """
    options = options or Options()
    try:
        skip = skipping(options.ignore, options.only)
    except ValueError as error:
        raise WsproxyError(f"{error} (a path is like choices[*].delta.content, headers.date or **.created)") from None
    sides = (Reading(a, options), Reading(b, options))
    for side, other in (sides, sides[::-1]):
        side.settle(other)
    turned = sides[0].digest > sides[1].digest
    left, right = sides[::-1] if turned else sides
    rows, renamed, coarse = _rows(left, right, options, skip)
    if turned:
        rows = [_turned(row) for row in rows]
        renamed = [(there, here) for here, there in renamed]
    rows = in_order(rows, sides[1].entries)
    set_times(rows, options.tolerance, turned=turned)
    shown = [row for hunk in hunks(rows, options.context) for row in hunk]
    made = Diff(
        sides[0].side,
        sides[1].side,
        options,
        rows,
        sides[0].contents(entry.number for row in shown for entry in row.a),
        sides[1].contents(entry.number for row in shown for entry in row.b),
        _spelled(sides, rows),
        _stages(sides),
        [],
        renamed,
        coarse,
        [],
    )
    _judge(made, (a, b))
    made.notes += _notes(made)
    made.essence = essence(made)
    return made


def _rows(
    left: Reading, right: Reading, options: Options, skip: Skip | None
) -> tuple[list[Row], list[tuple[Any, Any]], bool]:
    """Rows in no order, what is only renamed, and whether the pairing is coarse. What that takes is given back when it is done."""
    keys = tuple(Keys(side, exact=options.exact, skip=skip) for side in (left, right))
    pairing = pair(left, right, *keys)
    changes = Changes(left, right, *keys, exact=options.exact, skip=skip)
    changes.meet(pairing.matches)
    rows = [_row(match, changes) for match in pairing.matches]
    rows += [Row("removed", (entry,), ()) for entry in pairing.only_a]
    rows += [Row("added", (), (entry,)) for entry in pairing.only_b]
    return rows, changes.renaming.renamed, pairing.coarse


def _row(match: Match, changes: Changes) -> Row:
    if match.rechunked:
        return Row("rechunked", match.a, match.b)
    found, renames = changes.differences(match)
    op: Op = "moved" if match.moved else "changed" if found else "same"
    return Row(op, match.a, match.b, found, renames)


def _turned(row: Row) -> Row:
    turned: dict[Op, Op] = {"removed": "added", "added": "removed"}
    return Row(turned.get(row.op, row.op), row.b, row.a, tuple(mirrored(row.changes)), row.renames)


def _spelled(sides: Sequence[Reading], rows: Sequence[Row]) -> list[Spelled]:
    """What the deltas of each direction spell, where messages of that direction differ."""
    found = []
    dirs: tuple[Dir, ...] = ("c2s", "s2c")
    for dir in dirs:
        if not any(row.differs and row.entry.kind == "message" and row.entry.dir == dir for row in rows):
            continue
        entries = [[e for e in side.entries if e.kind == "message" and e.dir == dir] for side in sides]
        if max(map(len, entries)) > SPELLED:
            continue
        texts, chunks = zip(*(_channels(side, some) for side, some in zip(sides, entries, strict=True)), strict=True)
        for channel in dict.fromkeys([*texts[0], *texts[1]]):
            a, b = texts[0].get(channel, ""), texts[1].get(channel, "")
            found.append(Spelled(dir, channel, a, b, chunks[0].get(channel, 0), chunks[1].get(channel, 0)))
    return found


def _channels(side: Reading, entries: list[Entry]) -> tuple[dict[str, str], dict[str, int]]:
    contents = side.contents(entry.number for entry in entries)
    spells = [
        spell(entry.label, content)
        for entry in entries
        if isinstance((content := contents[entry.number]).value, dict)  # other payloads are shown where they stand
    ]
    counts: dict[str, int] = defaultdict(int)
    for one in spells:
        for channel, _ in one.pieces:
            counts[channel] += 1
    return {channel: text for channel, text in joined(spells).items() if isinstance(text, str)}, counts


def _stages(sides: Sequence[Reading]) -> list[Count]:
    """The stages that were not seen as often on one side; none where one side has no markers at all: nobody was asked there."""
    a, b = (side.stages for side in sides)
    if not a or not b:
        return []
    return [Count(name, a[name], b[name]) for name in sorted(a | b) if a[name] != b[name]]


def _judge(made: Diff, recordings: Sequence[Source]) -> None:
    """What `diagnose` says of both; the times of the hops, where both have markers."""
    if len(made.rows) > JUDGED:
        made.notes.append("too long to be diagnosed beside: 'wsproxy diagnose' does that")
        return
    for side, recording in zip((made.a, made.b), recordings, strict=True):
        verdict = diagnose(recording)
        side.verdict, side.answer = verdict.label, verdict.answer
    if made.a.markers and made.b.markers:
        of_a, of_b = (_hops(recording) for recording in recordings)
        made.hops = [HopTime(*hop, of_a[hop], of_b[hop]) for hop in of_a if hop in of_b]


def _hops(recording: Source) -> dict[tuple[str, str], float]:
    tracks = trace(recording).tracks
    return {(hop.before, hop.after): hop.p50 for hop in (hops(tracks[-1].course) if tracks else ())}


def _notes(made: Diff) -> list[str]:
    notes = []
    for name, side in (("A", made.a), ("B", made.b)):
        if side.lost:
            notes.append(f"{name}'s recorder lost {side.lost:,} events: what is missing in it may have been there")
        if side.state not in _STATES:
            notes.append(f"{name} is {side.state}: its end may be missing")
    if (made.a.markers and not made.b.markers) or (made.b.markers and not made.a.markers):
        with_markers, without = ("A", "B") if made.a.markers else ("B", "A")
        notes.append(f"{with_markers} has stage markers and {without} has none: stages are not compared")
    if made.coarse:
        notes.append(
            "the recordings are too unlike to be paired in every place: some of what is shown as removed and added may be one changed message"
        )
    return notes


__all__ = ["Change", "Diff", "Options", "Row", "Side", "diff"]
