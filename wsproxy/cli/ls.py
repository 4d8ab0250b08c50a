"""`wsproxy ls`."""

from __future__ import annotations

import click

from ..analysis.outcome import outcome
from ..errors import RecordingError
from ..recording.folder import id_in_name, recordings
from ..recording.reader import Recording
from ..render.jsonl import dump
from ..render.listing import head_line, listing_line, listing_object
from ..render.screen import Screen
from ..secrets.masking import mask_text


@click.command()
@click.argument("folder", metavar="[DIR]", default="recordings")
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, one object per recording.")
def command(folder: str, as_json: bool) -> int:
    """List recordings: time, stream, frames, markers, outcome.

    The newest is last; @last and @2 count from the end.
    """
    paths = recordings(folder)
    screen = Screen()
    if not as_json and paths:
        screen.print(head_line(screen.width))
    if not paths:
        click.echo(f"no recordings in {folder} yet; 'wsproxy record' or 'wsproxy demo' makes some", err=True)
    for path in paths:
        try:
            recording = Recording(path)
            header, result = recording.header, outcome(recording.events())
            ending = recording.ending
        except RecordingError as error:
            click.echo(f"wsproxy: {mask_text(str(error))}", err=True)
            continue
        stream = header.stream_id or id_in_name(path)
        if as_json:
            click.echo(dump(listing_object(str(path), stream, header.start_wall_ns, result, ending)))
        else:
            screen.print(listing_line(stream, header.start_wall_ns, result, ending, screen.width))
    return 0
