"""The lines of `wsproxy ls`."""

from __future__ import annotations

import time
from typing import Any

from ..analysis.outcome import Outcome
from ..recording.reader import Ending
from ..secrets.masking import mask_text
from ..wire.events import C2S, S2C
from .screen import Line
from .text import preview, seconds
from .text import size as bytes_text

_WIDE = 110  # cells from which on whole stream ids and dates fit


def head_line(width: int, *, by_size: bool = False) -> Line:
    """The names of the columns of `listing_line`."""
    when, stream = _columns(width)
    much = "size" if by_size else "length"
    return [(f"{'time (UTC)':<{when}}  {'stream':<{stream}}  {'→':>6} {'←':>6} {'marks':>5} {much:>9}  outcome", "dim")]


def _columns(width: int) -> tuple[int, int]:
    return (19, 36) if width >= _WIDE else (14, 13)


def listing_line(
    stream: str, wall_ns: int, result: Outcome, ending: Ending | None, width: int, *, size: int | None = None
) -> Line:
    """One recording, in the columns of `head_line`; its size in place of its length where it is given."""
    when_width, stream_width = _columns(width)
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(wall_ns // 1_000_000_000))[-when_width:]
    counts = f"{result.frames[C2S]:>6,} {result.frames[S2C]:>6,} {result.markers:>5,}"
    length = seconds(result.seconds) if size is None else bytes_text(size)
    start = f"{preview(mask_text(stream), stream_width):<{stream_width}}  {counts} {length:>9}  "
    words = mask_text(_words(result, ending))
    bad = result.gaps or result.error or result.reset_by or (ending is not None and ending.state != "finished")
    return [
        (when + "  ", "dim"),
        (start, ""),
        (preview(words, max(width - when_width - 2 - len(start), 10)), "yellow" if bad else ""),
    ]


def _words(result: Outcome, ending: Ending | None) -> str:
    parts = [result.words]
    if result.gaps:
        parts.append("with gaps")
    if ending is not None and ending.state == "open":
        parts.append("recording")
    elif ending is not None and ending.state != "finished":
        parts.append("cut off" if ending.state in ("unfinished", "torn") else ending.state)
    if result.exchanges > 1 or (result.exchanges and not result.upgraded):
        parts.append(f"{result.exchanges} HTTP")
    return ", ".join(part for part in parts if part)


def listing_object(
    path: str, stream: str, wall_ns: int, result: Outcome, ending: Ending | None, *, size: int
) -> dict[str, Any]:
    """The same for programs."""
    return {
        "kind": "recording",
        "path": path,
        "stream": mask_text(stream),
        "start": wall_ns / 1e9,
        "seconds": round(result.seconds, 9),
        "size": size,
        "connections": result.connections,
        "exchanges": result.exchanges,
        "frames": dict(result.frames),
        "markers": result.markers,
        "gaps": result.gaps,
        "status": result.status,
        "close_code": result.close_code,
        "closed_by": result.closed_by or None,
        "reset_by": result.reset_by or None,
        "error": mask_text(result.error) or None,
        "state": ending.state if ending is not None else None,
        "outcome": mask_text(result.words),
    }
