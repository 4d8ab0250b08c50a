"""`wsproxy ls`."""

from __future__ import annotations

from typing import Any

import click

from ..analysis.listing import ORDERS, rows
from ..errors import RecordingError
from ..recording.catalogue import catalogue
from ..render.jsonl import dump
from ..render.listing import head_line, listing_line, listing_object
from ..render.screen import Screen
from ..secrets.masking import mask_text
from .choosing import choice, choosing
from .completing import complete_folder
from .progress import Progress


@click.command(
    epilog="""\b
Examples:
  wsproxy ls                            all of ./recordings, the newest last
  wsproxy ls --since 1h --status lost   what was lost within the last hour
  wsproxy ls --sort size --limit 10     the ten largest
  wsproxy ls --stream 7f3a --json | jq .outcome
"""
)
@click.argument("folder", metavar="[DIR]", default="recordings", shell_complete=complete_folder)
@click.option("--sort", type=click.Choice(ORDERS), default="time", show_default=True, help="The most of it comes last.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the last N of that order.")
@choosing
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, one object per recording.")
def command(folder: str, sort: str, limit: int | None, as_json: bool, **options: Any) -> int:
    """List recordings: time, stream, frames, markers, outcome.

    The newest is last; @last and @2 count from the end.
    """
    entries = catalogue(folder)
    chosen = choice(options)
    screen = Screen()
    by_size = sort == "size"
    if not entries:
        click.echo(f"no recordings in {folder} yet; 'wsproxy record' or 'wsproxy demo' makes some", err=True)
    elif not as_json:
        screen.print(head_line(screen.width, by_size=by_size))
    with Progress(len(entries)) as progress:

        def complain(error: RecordingError) -> None:
            progress.says(f"wsproxy: {mask_text(str(error))}")

        for found in progress.until_shown(rows(entries, chosen, sort, limit, complain, progress.finish_one)):
            figures = (found.stream, found.start_wall_ns, found.outcome, found.ending)
            if as_json:
                click.echo(dump(listing_object(found.entry.path, *figures, size=found.entry.size)))
            else:
                screen.print(listing_line(*figures, screen.width, size=found.entry.size if by_size else None))
    return 0
