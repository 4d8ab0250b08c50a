"""`wsproxy show`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click

from ..analysis.selection import Selection
from ..patterns import compiled
from ..recording.folder import open_recording
from ..recording.reader import Recording
from ..recording.view import Item, in_time_order, items
from ..render.ending import ending_lines
from ..render.jsonl import dump, item_object
from ..render.screen import Line, Screen
from ..render.timeline import Timeline
from .completing import complete_rec
from .progress import Progress


@click.command(
    epilog="""\b
Examples:
  wsproxy show @last                    the newest recording
  wsproxy show 7f3a --grep BLOCKED      what mentions it in stream 7f3a...
  wsproxy show @last --type CHUNK --json | jq .payload
"""
)
@click.argument("rec", shell_complete=complete_rec)
@click.option(
    "--dir",
    "folder",
    default="recordings",
    show_default=True,
    metavar="DIR",
    help="Folder of the recordings; c2s or s2c mean --only.",
)
@click.option("--only", type=click.Choice(["c2s", "s2c"]), help="One direction: client to server, or server to client.")
@click.option("--grep", metavar="REGEX", help="Items whose content matches.")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="START, CHUNK, text, binary, close, ping, request, body, marker ...; repeatable.",
)
@click.option("--messages/--frames", default=True, help="Messages (default), or frames as they stood on the wire.")
@click.option("--full", is_flag=True, help="The whole content below each line.")
@click.option("--hex", is_flag=True, help="A hex dump below each line.")
@click.option("--follow", is_flag=True, help="Wait for more while the relay is recording.")
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, one object per item.")
@click.option("--show-secrets", is_flag=True, help="Do not mask credentials.")
@click.option("--no-pager", is_flag=True, help="Never start a pager.")
def command(rec: str, folder: str, only: str | None, **options: Any) -> int:
    """Show a recording: messages of both directions, one order.

    The columns are event number, seconds since the start, seconds since the line before, direction (→ client to server, ← server to
    client), what it is, its size, and its content.
    """
    if folder in ("c2s", "s2c"):
        folder, only = "recordings", folder
    try:
        grep = compiled(options["grep"]) if options["grep"] else None
    except ValueError as error:
        raise click.ClickException(f"--grep: {error}") from None
    recording = open_recording(rec, folder)
    follow = options["follow"]
    events = recording.events(follow=(lambda: True) if follow else None)
    numbered: Iterable[Item] = items(events, frames=not options["messages"])
    if not follow:
        numbered = in_time_order(numbered)
    chosen = Selection(only, grep, tuple(options["types"])).of(numbered)
    with Progress() as progress:
        if not follow:
            progress.watch(recording)
        _show(recording, progress.until_shown(chosen), options)
    return 0


def _show(recording: Recording, chosen: Iterable[Item], options: dict[str, Any]) -> None:
    screen, follow = Screen(), options["follow"]
    if options["as_json"]:
        for number, item in chosen:
            screen.write(dump(item_object(number, item, secrets=options["show_secrets"])))
            if follow:
                screen.flush()
        return
    timeline = Timeline(screen.width, secrets=options["show_secrets"], full=options["full"], hex=options["hex"])
    lines = _lines(recording, chosen, timeline)
    if follow or options["no_pager"]:
        for line in lines:
            screen.print(line)
            if follow:
                screen.flush()
    else:
        screen.page(lines)


def _lines(recording: Recording, chosen: Iterable[Item], timeline: Timeline) -> Iterator[Line]:
    for number, item in chosen:
        yield from timeline.lines(number, item)
    if recording.ending is not None:
        yield from ending_lines(recording.ending)
