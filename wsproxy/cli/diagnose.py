"""`wsproxy diagnose`."""

from __future__ import annotations

import gc

import click

from ..analysis.diagnose import diagnose
from ..errors import RecordingError
from ..recording.folder import open_recording
from ..render.diagnosis import Summary, diagnosis_lines, listing_line
from ..render.jsonl import dump
from ..render.screen import Screen
from .completing import complete_rec


@click.command(
    epilog="""\b
Examples:
  wsproxy diagnose @last                what became of the newest stream
  wsproxy diagnose recordings/*.msgpack one line each, and a summary

\b
Exit status: 0 nothing lost, 1 something lost or in doubt, 2 no recording.
"""
)
@click.argument("recs", metavar="REC...", nargs=-1, required=True, shell_complete=complete_rec)
@click.option(
    "--dir", "folder", default="recordings", show_default=True, metavar="DIR", help="Folder of the recordings."
)
@click.option("--json", "as_json", is_flag=True, help="JSON Lines: a diagnosis per recording, a line per finding.")
def command(recs: tuple[str, ...], folder: str, as_json: bool) -> int:
    """Say what went wrong, where, and by how much.

    The first line is the answer; then come the events that prove it, as 'wsproxy show' prints them, what could not be known and which
    hook would tell, and what to try.
    """
    gc.set_threshold(100_000)  # a journey is all tuples that stay: looking for cycles in them took 0.4 s of 2
    screen = Screen()
    summary = Summary()
    worst = 0
    for rec in recs:
        try:
            result = diagnose(open_recording(rec, folder))
        except RecordingError as error:
            if len(recs) == 1:
                raise
            click.echo(f"wsproxy: {error}", err=True)
            summary.failed()
            worst = 2
            continue
        worst = max(worst, result.exit_status)
        if as_json:
            for line in result.to_json():
                click.echo(dump(line))
        elif len(recs) == 1:
            for shown in diagnosis_lines(result, screen.width, wrap=screen.is_terminal):
                screen.print(shown)
        else:
            summary.add(result)
            screen.print(listing_line(result, screen.width))
    if len(recs) > 1 and not as_json:
        for shown in summary.lines(screen.width):
            screen.print(shown)
    return worst
