"""`wsproxy rm`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from ..analysis.listing import Choice, rows
from ..errors import RecordingError
from ..recording.catalogue import Entry, began, catalogue, is_recording, remove
from ..recording.folder import resolve
from ..render.text import count, escape, size
from .amounts import Age
from .choosing import choice, choosing
from .completing import complete_rec

_NAMED_BEFORE = 5  # of those that would go, in the question


@click.command(
    epilog="""\b
Examples:
  wsproxy rm @last                      the newest recording
  wsproxy rm --older-than 7d            what was last written a week ago
  wsproxy rm --status torn --dry-run    what would go
  wsproxy rm --stream test- --yes       without being asked

\b
Exit status: 0 removed, 1 some could not be (a relay writes them), 2 trouble.
"""
)
@click.argument("recs", metavar="[REC...]", nargs=-1, shell_complete=complete_rec)
@click.option(
    "--dir", "folder", default="recordings", show_default=True, metavar="DIR", help="Folder of the recordings."
)
@click.option("--older-than", type=Age(), metavar="AGE", help="Last written so long ago: 12h, 7d.")
@choosing
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(
    recs: tuple[str, ...], folder: str, older_than: int | None, dry_run: bool, yes: bool, **options: Any
) -> int:
    """Remove recordings, and say what that freed.

    Those named, those that the options choose in DIR, or of those named the ones that the options choose. What a relay is writing
    stays.
    """
    chosen = choice(options, older_than)
    if not recs and chosen == Choice():
        raise click.UsageError("say which: a REC, or --older-than, --since, --until, --stream, --status")
    entries = _named(recs, folder) if recs else catalogue(folder)
    found = _wanted(entries, chosen)
    if not found:
        click.echo("no recording is meant by that; nothing removed", err=True)
        return 0
    what = f"{count(len(found), 'recording')}, {size(sum(entry.size for entry in found))}"
    if dry_run:
        for entry in found:
            click.echo(entry.path)
        click.echo(f"would remove {what}", err=True)
        return 0
    if not yes:
        _ask(found, what)
    return _remove(found)


def _named(recs: tuple[str, ...], folder: str) -> list[Entry]:
    """The files that are meant. Raises RecordingError where one is no recording: nothing else is removed here."""
    paths = dict.fromkeys(resolve(rec, folder) for rec in recs)
    entries = []
    for path in paths:
        if not is_recording(str(path)):
            raise RecordingError(f"{path}: not a wsproxy recording, so not removed; rm(1) removes any file")
        status = os.stat(path)
        entries.append(Entry(str(path), path.name, status.st_size, began(path.name), status.st_mtime_ns))
    return entries


def _wanted(entries: list[Entry], chosen: Choice) -> list[Entry]:
    if chosen.statuses:
        return [found.entry for found in rows(entries, chosen)]
    return [entry for entry in entries if chosen.admits(entry) and is_recording(entry.path)]


def _ask(found: list[Entry], what: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what}: --yes removes them without being asked, --dry-run lists them")
    for entry in found[:_NAMED_BEFORE]:
        click.echo(f"  {escape(Path(entry.path).name)}", err=True)
    if len(found) > _NAMED_BEFORE:
        click.echo(f"  … and {len(found) - _NAMED_BEFORE} more", err=True)
    click.confirm(f"Remove {what}?", abort=True, err=True)


def _remove(found: list[Entry]) -> int:
    gone: list[Entry] = []
    for entry in found:
        try:
            if remove(entry):
                gone.append(entry)
            elif os.path.lexists(entry.path):
                click.echo(f"wsproxy: {entry.path}: a relay is writing it; not removed", err=True)
        except OSError as error:
            click.echo(f"wsproxy: {entry.path}: {(error.strerror or str(error)).lower()}", err=True)
    click.echo(f"removed {count(len(gone), 'recording')}, {size(sum(entry.size for entry in gone))} freed")
    return 0 if not any(os.path.lexists(entry.path) for entry in found) else 1
