"""How a diff is to be shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """How a diff is to be shown.

    Args:
        width: cells of a line.
        beside: both sides beside each other, not one below the other.
        full: whole values, no runs folded.
        secrets: show credentials as they are.
        names: what A and B are called; their paths where that is empty.
    """

    width: int
    beside: bool = False
    full: bool = False
    secrets: bool = False
    names: tuple[str, str] = ("", "")
