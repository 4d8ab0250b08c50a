"""What a shell offers for a REC: @last, @2 …, the stream ids of the folder, or files where a path is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_NUMBERED = 9  # @last, @2 … @9
_OFFERED = 500  # stream ids


def complete_rec(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The recordings that `incomplete` may become."""
    from click.shell_completion import CompletionItem

    from ..errors import RecordingError
    from ..recording.catalogue import catalogue

    if "/" in incomplete or incomplete.startswith("."):
        return [CompletionItem(incomplete, type="file")]
    try:
        newest = catalogue(_folder(context))[::-1]
    except RecordingError:
        newest = []
    found = [
        CompletionItem("@last" if number == 1 else f"@{number}", help=entry.stream)
        for number, entry in enumerate(newest[:_NUMBERED], 1)
    ]
    seen = dict.fromkeys(entry.stream for entry in newest)
    found += [CompletionItem(stream) for stream in list(seen)[:_OFFERED]]
    return [item for item in found if item.value.startswith(incomplete)] or [CompletionItem(incomplete, type="file")]


def complete_folder(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A folder."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="dir")]


def _folder(context: click.Context) -> str:
    for name in ("folder", "dir"):
        value = context.params.get(name)
        if isinstance(value, tuple):
            value = value[-1] if value else None
        if isinstance(value, str) and value not in ("c2s", "s2c"):
            return value
    return "recordings"
