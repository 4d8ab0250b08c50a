"""`wsproxy diagnose`."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial

import click

from ..analysis.diagnose import Diagnosis, diagnose
from ..errors import RecordingError
from ..recording.folder import open_recording
from ..render.diagnosis import Summary, diagnosis_lines, listing_line
from ..render.jsonl import dump
from ..render.screen import Screen
from ..secrets.masking import mask_json, mask_text
from .completing import complete_rec
from .progress import Progress

_MANY = 48  # recordings for which other processes pay
_AT_ONCE = 8  # recordings that a process takes at once


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
    with Progress(len(recs)) as progress:
        return _diagnose(recs, folder, progress, as_json=as_json)


def _diagnose(recs: Sequence[str], folder: str, progress: Progress, *, as_json: bool) -> int:
    screen = Screen()
    summary = Summary()
    worst = 0
    for result in _judged(recs, folder, progress):
        progress.finish_one()
        if isinstance(result, RecordingError):
            if len(recs) == 1:
                raise result
            progress.says(f"wsproxy: {mask_text(str(result))}")
            summary.failed()
            worst = 2
            continue
        worst = max(worst, result.exit_status)
        summary.add(result)
        progress.shows()
        if as_json:
            for line in result.to_json():
                click.echo(dump(mask_json(line)))
        elif len(recs) == 1:
            for shown in diagnosis_lines(result, screen.width, wrap=screen.is_terminal):
                screen.print(shown)
        else:
            screen.print(listing_line(result, screen.width))
    if as_json:
        for outage in summary.outages():
            click.echo(dump(outage.to_json()))
    elif len(recs) > 1:
        for shown in summary.lines(screen.width):
            screen.print(shown)
    return worst


def _judged(recs: Sequence[str], folder: str, progress: Progress) -> Iterator[Diagnosis | RecordingError]:
    """The diagnosis of each, in their order; of many, on all processors: 1,000 recordings of 300 events took 3.8 s on one."""
    processors = len(os.sched_getaffinity(0))
    if len(recs) < _MANY or processors == 1:
        yield from (_judge(rec, folder, progress) for rec in recs)
        return
    import multiprocessing

    # Forked: nothing runs beside us yet, and a worker that starts anew takes as long as forty recordings.
    with multiprocessing.get_context("fork").Pool(processors, _leave_ctrl_c) as pool:
        yield from pool.imap(partial(_judge, folder=folder), recs, chunksize=_AT_ONCE)


def _judge(rec: str, folder: str, progress: Progress | None = None) -> Diagnosis | RecordingError:
    try:
        recording = open_recording(rec, folder)
        return diagnose(recording if progress is None else progress.watch(recording))
    except RecordingError as error:
        return error


def _leave_ctrl_c() -> None:
    """It ends the whole; a worker has nothing to say about it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
