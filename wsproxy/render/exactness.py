"""The verdict of `wsproxy verify`: the answer first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..analysis.exactness import Exactness, Stretch
from ..recording.reader import Ending
from ..secrets.masking import mask_text
from .ending import ending_lines
from .screen import Line
from .text import count, escape

_SHOWN = 20  # connections


def _proof(stretch: Stretch) -> str:
    if stretch.exact is None:
        return (
            f"as redacted ({count(stretch.redacted, 'event')})" if stretch.redacted and stretch.relay else "not proved"
        )
    return "exact" if stretch.exact else "DIFFERS"


def verdict_lines(path: str, result: Exactness, ending: Ending) -> Iterator[Line]:
    """One verdict line, then evidence."""
    good = ending.state == "finished" and not result.problems
    sound = "whole and exact" if not result.redacted else "whole, redacted"
    answer = sound if good else "not whole" if ending.state != "finished" or result.gaps else "NOT EXACT"
    yield [
        (escape(path), "bold"),
        (": ", ""),
        (answer, "green" if good else "red"),
        (f"  {count(result.events, 'event')}", "dim"),
    ]
    for stretch in result.stretches[:_SHOWN]:
        if stretch.bytes or stretch.relay is None or stretch.relay.bytes:
            yield [
                (f"  connection {stretch.conn} {stretch.dir}  ", ""),
                (f"{stretch.bytes:>12,} bytes  {count(stretch.frames, 'frame'):>14}  ", ""),
                (_proof(stretch), "green" if stretch.exact else "yellow"),
                (f"  {result.digest} {stretch.digest}", "dim"),
            ]
    if len(result.stretches) > _SHOWN:
        yield [(f"  … and {len(result.stretches) - _SHOWN} more", "dim")]
    for problem in result.problems:
        yield [("  " + escape(mask_text(problem)), "red")]
    for note in result.notes:
        yield [("  " + escape(note), "yellow")]
    yield from ending_lines(ending)


def verdict_object(path: str, result: Exactness, ending: Ending) -> dict[str, Any]:
    """The same for programs."""
    return {
        "kind": "verdict",
        "path": path,
        "whole": ending.state == "finished" and not result.gaps,
        "exact": not result.problems and all(stretch.exact is not False for stretch in result.stretches),
        "state": ending.state,
        "events": result.events,
        "markers": result.markers,
        "gaps": len(result.gaps),
        "redacted": result.redacted,
        "connections": [
            {
                "conn": stretch.conn,
                "dir": stretch.dir,
                "bytes": stretch.bytes,
                "frames": stretch.frames,
                "digest": f"{result.digest}:{stretch.digest}",
                "exact": stretch.exact,
                "redacted": stretch.redacted,
            }
            for stretch in result.stretches
        ],
        "problems": [mask_text(problem) for problem in result.problems],
        "notes": result.notes,
    }
