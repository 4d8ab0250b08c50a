"""`wsproxy redact`."""

from __future__ import annotations

from pathlib import Path

import click

from ..analysis.exactness import check
from ..recording.folder import open_recording
from ..render.copies import copy_lines, copy_object
from ..render.jsonl import dump
from ..render.screen import Screen
from ..secrets.copy import CannotCopy, copy_name, learn, write_copy
from ..secrets.masking import Masker, rules
from .completing import complete_rec


@click.command(
    epilog="""\b
Examples:
  wsproxy redact @last -o shared.msgpack
  wsproxy redact recordings/*.msgpack -o shared/    one secret, one mask

\b
Exit status: 0 copied, 1 an original is damaged or not exact, 2 trouble.
"""
)
@click.argument("recs", metavar="REC...", nargs=-1, required=True, shell_complete=complete_rec)
@click.option("-o", "--output", "goal", required=True, metavar="COPY", help="The copy; a folder, for several.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option(
    "--dir", "folder", default="recordings", show_default=True, metavar="DIR", help="Folder of the recordings."
)
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, one object per copy.")
def command(recs: tuple[str, ...], goal: str, force: bool, folder: str, as_json: bool) -> int:
    """Make a copy that can be shared.

    Every secret is masked wherever it stands: in heads, bodies, WebSocket messages, compressed or not, and markers. Equal secrets have equal
    masks. Times, order and sizes stay; what holds no secret stays exact, and 'wsproxy verify' proves it. What cannot be read is left out.
    """
    recordings = [open_recording(rec, folder) for rec in recs]
    masker = Masker(rules(), numbered=True)
    into = Path(goal)
    several = len(recs) > 1 or goal.endswith("/") or into.is_dir()
    if several:
        _make_folder(into)
    screen = Screen()
    status = 0
    checked = [(recording, check(learn(recording, masker), recording.header.digest)) for recording in recordings]
    for recording, result in checked:
        wrong = {(stretch.conn, stretch.dir) for stretch in result.stretches if stretch.exact is False}
        place = into / copy_name(recording, masker) if several else into
        copied = write_copy(recording, place, masker, wrong=wrong, force=force)
        if as_json:
            click.echo(dump(copy_object(str(recording.path), copied, result.problems)))
        else:
            for line in copy_lines(copied, result.problems):
                screen.print(line)
        if result.problems or copied.ending.state == "damaged":
            status = 1
    return status


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CannotCopy(f"{folder}: {why}: several copies need a folder; name one with -o") from None
