"""`wsproxy verify`."""

from __future__ import annotations

import click

from ..analysis.exactness import check
from ..errors import RecordingError
from ..recording.folder import open_recording
from ..render.exactness import verdict_lines, verdict_object
from ..render.jsonl import dump
from ..render.screen import Screen
from ..secrets.masking import mask_text
from .completing import complete_rec
from .progress import Progress


@click.command(
    epilog="""\b
Examples:
  wsproxy verify @last                  the newest
  wsproxy verify recordings/*.msgpack && echo all whole and exact

\b
Exit status: 0 whole and exact, 1 not, 2 not a recording.
"""
)
@click.argument("recs", metavar="REC...", nargs=-1, required=True, shell_complete=complete_rec)
@click.option(
    "--dir", "folder", default="recordings", show_default=True, metavar="DIR", help="Folder of the recordings."
)
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, one object per recording.")
def command(recs: tuple[str, ...], folder: str, as_json: bool) -> int:
    """Prove that a recording is whole and exact.

    The wire bytes are rebuilt from the events and hashed; the relay hashed them as it read them. Equal digests mean: nothing was lost,
    changed or misread between the socket and the file.
    """
    with Progress(len(recs)) as progress:
        return _verify(recs, folder, progress, as_json=as_json)


def _verify(recs: tuple[str, ...], folder: str, progress: Progress, *, as_json: bool) -> int:
    screen = Screen()
    worst = 0
    for rec in recs:
        try:
            recording = progress.watch(open_recording(rec, folder))
            result = check(recording.events(), recording.header.digest)
        except RecordingError as error:
            if len(recs) == 1:
                raise click.ClickException(str(error)) from None
            progress.says(f"wsproxy: {mask_text(str(error))}")
            worst = 2
            continue
        ending = recording.ending
        assert ending is not None
        progress.shows()
        if as_json:
            click.echo(dump(verdict_object(str(recording.path), result, ending)))
        else:
            for line in verdict_lines(str(recording.path), result, ending):
                screen.print(line)
        progress.finish_one()
        if ending.state != "finished" or result.problems:
            worst = max(worst, 1)
    return worst
