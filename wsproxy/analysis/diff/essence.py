"""The essence of a diff in one line, in the words of somebody who tells it.

Strategy: what was lost comes first, with how it ended, then what was added, what is another, what the words spell,
the handshake, the time; a clause each, with the first message in its own words. What was recorded on one side only
because nobody was asked (markers) is no difference and is not told here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from ...secrets.masking import mask_text
from ...wire.events import Dir
from ..pipeline import read_message, words
from .model import Content, Diff, Entry, Row
from .structure import Path, path_text

_PREVIEW = 60  # characters of a message
_WHO = {"s2c": "server", "c2s": "client"}  # what the server said is what somebody misses
_KEYS = 3  # that are named
_NOUNS = {"message": "message", "frame": "frame", "body": "HTTP body"}


def essence(diff: Diff) -> str:
    """One line; what it quotes is masked, not escaped."""
    return "; ".join(clauses(diff))


def clauses(diff: Diff) -> list[str]:
    """The same, clause by clause; there is at least one."""
    rows = diff.differences
    lost, end = _only(diff, rows, "removed"), _end(diff)
    if lost and end:  # they belong together more often than not
        lost[0], end = f"{lost[0]}, {end[0]}", []
    told = [
        *lost,
        *_only(diff, rows, "added"),
        *_changed(rows),
        *_elsewhere(rows),
        *_spelled(diff, rows),
        *_heads(rows),
        *end,
        *_stages(diff),
    ]
    late = _time(diff)
    if told:
        return told + (late if diff.options.strict_time else [])
    if late:
        return [f"the same but for time: {late[0]}"]
    return ["the same" + (" but for renamed ids and times" if diff.renamed else "")]


def says(entry: Entry, content: Content | None) -> str:
    """A message in few words: its label and what it says."""
    if content is None:
        return entry.label
    message = read_message(content.value) if content.is_json else None
    if message is not None:
        said = words(message)
    elif entry.label == "binary" or entry.kind == "frame":
        said = f"{entry.size:,} bytes"
    else:
        said = content.data[: 4 * _PREVIEW].decode("utf-8", "replace")
    said = mask_text(said)
    return f"{entry.label} {said[:_PREVIEW]}{'…' if len(said) > _PREVIEW else ''}".rstrip()


def _only(diff: Diff, rows: Sequence[Row], op: str) -> list[str]:
    verb = "B lost" if op == "removed" else "B has in addition"
    contents = diff.contents_a if op == "removed" else diff.contents_b
    told = []
    for dir, who in _WHO.items():
        found = [row.entry for row in rows if row.op == op and row.entry.dir == dir and _is_message(row.entry)]
        if not found:
            continue
        first = found[0]
        more = (
            "" if len(found) == 1 else f" and {found[1].label}" if len(found) == 2 else f" and {len(found) - 1:,} more"
        )
        of = "A" if op == "removed" else "B"
        told.append(
            f"{verb} {count(len(found), f'{who} {diff.a.unit}')}: "
            f"{says(first, contents.get(first.number))} ({of}: {first.t / 1e9:.4f} s){more}"
        )
    heads = sum(row.op == op and row.entry.kind in ("request", "response", "body") for row in rows)
    if heads:
        told.append(f"{verb} {count(heads, 'part')} of HTTP exchanges")
    controls = sum(row.op == op and row.entry.kind == "control" for row in rows)
    if controls:
        told.append(f"{verb} {count(controls, 'ping or pong frame')}")
    return told


def _is_message(entry: Entry) -> bool:
    return entry.kind in ("message", "frame", "opaque")


def _changed(rows: Sequence[Row]) -> list[str]:
    found = [row for row in rows if row.op == "changed" and row.entry.kind in ("message", "body", "frame")]
    if not found:
        return []
    kinds = Counter(row.entry.kind for row in found)
    nouns = [count(kinds[kind], noun) for kind, noun in _NOUNS.items() if kinds[kind]]
    named = _named(found)
    return [f"{' and '.join(nouns)} differ{'s' if len(found) == 1 else ''}{f' ({named})' if named else ''}"]


def _named(rows: Sequence[Row]) -> str:
    """The keys that changed, each once: the last of a path says most."""
    tails = dict.fromkeys(_tail(change.path) for row in rows for change in row.changes if change.path)
    keys = [tail[0] if len(tail) == 1 and isinstance(tail[0], str) else path_text(tail) for tail in tails]
    return mask_text(", ".join(keys[:_KEYS]) + (" …" if len(keys) > _KEYS else ""))


def _tail(path: Path) -> Path:
    """From the last key on, with the indexes behind it."""
    keys = [place for place, step in enumerate(path) if isinstance(step, str)]
    return path[keys[-1] :] if keys else path


def _elsewhere(rows: Sequence[Row]) -> list[str]:
    moved = sum(row.op == "moved" for row in rows)
    reordered = sum(row.reordered and row.entry.kind not in ("close", "end") for row in rows)
    told = [f"{count(moved, 'message')} moved"] if moved else []
    return told + ([f"{reordered:,} in another order across the directions"] if reordered else [])


def _spelled(diff: Diff, rows: Sequence[Row]) -> list[str]:
    told = []
    for dir, who in _WHO.items():
        regrouped = [row for row in rows if row.op == "rechunked" and row.entry.dir == dir]
        if regrouped:
            before, after = sum(len(row.a) for row in regrouped), sum(len(row.b) for row in regrouped)
            told.append(f"the {who} says the same text, chunked differently ({before:,} → {after:,} messages)")
    return told


def _heads(rows: Sequence[Row]) -> list[str]:
    found = [row for row in rows if row.op == "changed" and row.entry.kind in ("request", "response")]
    return [f"another handshake or HTTP head ({_named(found)})"] if found else []


def count(number: int, noun: str) -> str:
    """1 message, 2 messages, 2 HTTP bodies."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _end(diff: Diff) -> list[str]:
    """Who closed, and how, where that is not the same."""
    ends = [_closing(side.closer, side.closes) for side in (diff.a, diff.b)]
    if ends[0] == ends[1]:
        how = [row for row in diff.differences if row.entry.kind == "end"]
        return ["the connection ended otherwise (FIN, reset)"] if how else []
    return [f"then {ends[1]} (A: {ends[0].removeprefix('closed with ')})"]


def _closing(closer: Dir | None, closes: Mapping[Dir, tuple[int, int, str]]) -> str:
    if closer is None:
        return "ended without a close frame"
    _, code, reason = closes[closer]
    said = f" “{mask_text(reason[:_PREVIEW])}”" if reason else ""
    return f"closed with {code}{said} by the {_WHO[closer]}"


def _stages(diff: Diff) -> list[str]:
    if not diff.stages:
        return []
    named = ", ".join(f"{one.name} {one.a:,} → {one.b:,}" for one in diff.stages[:_KEYS])
    return [f"stages: {named}{' …' if len(diff.stages) > _KEYS else ''}"]


def _time(diff: Diff) -> list[str]:
    gaps = [row for row in diff.rows if row.gap is not None]
    if not gaps:
        return []
    longest = max(gaps, key=lambda row: abs(row.gap or 0))
    gap = longest.gap or 0
    side = "B" if gap > 0 else "A"
    entry = longest.entry
    arrow = "→" if entry.dir == "c2s" else "←"
    more = f", and {len(gaps) - 1:,} more" if len(gaps) > 1 else ""
    return [f"{side} waited {abs(gap) / 1e6:,.0f} ms longer before {arrow} {entry.label} (event {entry.number}{more})"]
