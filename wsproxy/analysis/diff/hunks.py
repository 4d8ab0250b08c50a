"""The stretches of a diff that are worth reading: what is remarkable, with what stands around it."""

from __future__ import annotations

from collections.abc import Sequence

from .model import Row


def hunks(rows: Sequence[Row], context: int) -> list[Sequence[Row]]:
    """Stretches of rows around those that are remarkable; stretches that touch are one.

    Args:
        context: rows before and after each.
    """
    found: list[Sequence[Row]] = []
    start = end = 0  # of the stretch that is open
    for index, row in enumerate(rows):
        if not row.remarkable:
            continue
        if end and index - context > end:
            found.append(rows[start:end])
            end = 0
        if not end:
            start = max(index - context, 0)
        end = min(index + context + 1, len(rows))
    if end:
        found.append(rows[start:end])
    return found
