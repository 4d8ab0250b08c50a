"""A diff as JSON Lines, for programs: one object per line, stable keys.

Strategy: the first object is the diff as a whole; then come the rows of its hunks, context included, then what the messages spell, the stages that
differ, the hops. Times are seconds since a recording's start, shifts and gaps milliseconds. What is masked on the screen is masked here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...analysis.diff.model import Content, Diff, Entry, Row, Side
from ...analysis.diff.paths import path_text
from ...secrets.masking import mask_text
from ..jsonl import payload
from .parts import in_hunks
from .spelled import texts
from .values import renamed_id, values


def diff_objects(diff: Diff, *, secrets: bool = False, names: tuple[str, str] = ("", "")) -> Iterator[dict[str, Any]]:
    """All of a diff."""
    yield summary_object(diff, secrets=secrets, names=names)
    for number, hunk in enumerate(in_hunks(diff, full=True)):
        for row in hunk.rows:
            yield _row_object(diff, number, row, secrets=secrets)
    for one in diff.spelled:
        a, b = texts(one, secrets=secrets)
        yield {
            "kind": "spelled", "dir": one.dir, "channel": one.channel, "same": one.same,
            "a": a, "b": b, "a_chunks": one.a_chunks, "b_chunks": one.b_chunks,
        }  # fmt: skip
    for stage in diff.stages:
        yield {"kind": "stage", "stage": stage.name, "a": stage.a, "b": stage.b}
    for hop in diff.hops:
        yield {
            "kind": "hop",
            "from": hop.before,
            "to": hop.after,
            "a_p50_ms": round(hop.a, 3),
            "b_p50_ms": round(hop.b, 3),
        }


def summary_object(diff: Diff, *, secrets: bool = False, names: tuple[str, str] = ("", "")) -> dict[str, Any]:
    """The diff as a whole."""
    return {
        "kind": "diff",
        "essence": diff.essence,
        "same": diff.same,
        "differences": len(diff.differences),
        "a": _side_object(diff.a, names[0]),
        "b": _side_object(diff.b, names[1]),
        "renamed": [[renamed_id(value, secrets=secrets) for value in pair] for pair in diff.renamed],
        "coarse": diff.coarse,
        "notes": diff.notes,
    }


def _side_object(side: Side, name: str) -> dict[str, Any]:
    closer = side.closer
    _, code, reason = side.closes[closer] if closer else (0, None, None)
    return {
        "path": name or side.path, "stream": side.stream, "start": side.started_ns / 1e9, "seconds": round(side.duration / 1e9, 9),
        "up": side.up, "down": side.down, "markers": side.markers, "closed_by": closer, "close_code": code,
        "close_reason": None if reason is None else mask_text(reason), "state": side.state or None, "lost": side.lost,
        "verdict": side.verdict, "answer": side.answer or None,
    }  # fmt: skip


def _row_object(diff: Diff, hunk: int, row: Row, *, secrets: bool) -> dict[str, Any]:
    alone = row.op in ("removed", "added")
    changes = []
    for change in row.changes:
        a, b, quiet = values(change, row.entry.kind, secrets=secrets)
        path = path_text(change.path)
        changes.append({
            "op": change.op, "path": path if secrets else mask_text(path), "a": _plain(a), "b": _plain(b), "masked": quiet,
        })  # fmt: skip
    return {
        "kind": "row",
        "hunk": hunk,
        "op": row.op,
        "a": _entry_object(row.a, diff.contents_a if alone else {}, secrets=secrets),
        "b": _entry_object(row.b, diff.contents_b if alone else {}, secrets=secrets),
        "shift_ms": None if row.shift is None else row.shift / 1e6,
        "gap_ms": None if row.gap is None else row.gap / 1e6,
        "reordered": row.reordered,
        "renames": row.renames,
        "changes": changes,
    }


def _plain(value: Any) -> Any:
    return payload(value, secrets=True) if isinstance(value, bytes) else value


def _entry_object(entries: tuple[Entry, ...], contents: dict[int, Content], *, secrets: bool) -> dict[str, Any] | None:
    """The first of the entries, and how many there are; with what it holds where it has no partner."""
    if not entries:
        return None
    first = entries[0]
    content = contents.get(first.number)
    return {
        "number": first.number, "t": round(first.t / 1e9, 9), "dir": first.dir, "type": first.kind, "label": first.label,
        "size": first.size, "count": len(entries), "last": entries[-1].number,
        "payload": None if content is None else payload(content.data, secrets=secrets),
    }  # fmt: skip
