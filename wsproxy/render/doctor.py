"""The lines of `wsproxy doctor`: a sign, what was looked at, what was seen; below it what to do."""

from __future__ import annotations

from typing import Any

from ..doctor.checks import Finding
from .screen import Line
from .text import escape

_SIGNS = {"fine": ("✓", "green"), "wrong": ("✗", "bold red"), "unknown": ("–", "dim")}
_CHECK = 11  # cells of the longest name of a check


def finding_lines(found: Finding) -> list[Line]:
    """One finding; the sign alone says how it stands."""
    sign, style = _SIGNS[found.state]
    lines: list[Line] = [[(f"{sign} ", style), (f"{found.check:<{_CHECK}}", "dim"), (escape(found.words), "")]]
    if found.advice:
        lines.append(
            [(" " * (2 + _CHECK), ""), (f"→ {escape(found.advice)}", "bold" if found.state == "wrong" else "dim")]
        )
    return lines


def finding_object(found: Finding) -> dict[str, Any]:
    """The same for programs."""
    return {
        "kind": "check",
        "check": found.check,
        "state": found.state,
        "words": found.words,
        "advice": found.advice or None,
    }
