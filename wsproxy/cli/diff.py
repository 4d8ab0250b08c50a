"""`wsproxy diff`."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import click

from ..analysis.diff.compare import diff
from ..analysis.diff.model import Diff, Options
from ..errors import RecordingError, WsproxyError
from ..recording.folder import open_recording
from ..render.diff.git import alone_lines, git_lines, unmerged_line
from ..render.diff.jsonl import diff_objects, summary_object
from ..render.diff.many import Compared, compared_line, group_lines, group_objects, head_of_many
from ..render.diff.page import diff_lines, summary_lines
from ..render.diff.stat import stat_lines, stat_objects
from ..render.diff.view import View
from ..render.jsonl import dump
from ..render.screen import Line, Screen
from .completing import complete_rec
from .git_call import GitCall, git_call
from .progress import Progress

_WIDE = 140  # cells of a terminal from which on both sides stand beside each other
_NARROW = 40  # cells that are taken, however small the terminal is
_UNITS = {"": 1e9, "s": 1e9, "ms": 1e6, "us": 1e3, "µs": 1e3}


class _Time(click.ParamType):  # type: ignore[type-arg]
    """A time with its unit, as nanoseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(s|ms|us|µs|)\s*", str(value))
        if match is None:
            self.fail(f"{value!r} is no time: write 50ms or 0.2s", param, ctx)
        return round(float(match[1]) * _UNITS[match[2]])


@click.command(
    epilog="""\b
Examples:
  wsproxy diff @2 @last                 the newest against the one before
  wsproxy diff 7f3a 91c2 --summary      the head and the essence
  wsproxy diff A B --dir s2c            only what the server said
  wsproxy diff A B --ignore '**.usage'  but for these places
  wsproxy diff A B C D                  which of B, C, D are alike

\b
Signs: - only A has it, + only B has it, ~ changed, > moved or in
another order, ≈ the same text in other chunks.

\b
Exit status: 0 the same, 1 something differs, 2 trouble.
"""
)
@click.argument("recs", metavar="A B [C...]", nargs=-1, shell_complete=complete_rec)
@click.option(
    "--dir",
    multiple=True,
    metavar="DIR",
    help="Folder of the recordings [default: recordings]; c2s or s2c: that direction only. Repeatable.",
)
@click.option("--ignore", multiple=True, metavar="PATH", help="A place in JSON that does not count: **.id. Repeatable.")
@click.option("--only", multiple=True, metavar="PATH", help="Nothing but this place in JSON counts. Repeatable.")
@click.option("--exact", is_flag=True, help="Ids, times and tokens count too; nothing is held equal.")
@click.option("--messages/--frames", default=True, help="Messages (default), or frames as they stood on the wire.")
@click.option(
    "--tolerance", type=_Time(), metavar="TIME", help="A gap that differs by more is a difference: 50ms, 0.2s."
)
@click.option("--context", type=click.IntRange(0), default=3, show_default=True, metavar="N", help="Rows around.")
@click.option("--full", is_flag=True, help="All rows, whole values.")
@click.option("--stat", is_flag=True, help="A table: how many of what differ.")
@click.option("--summary", is_flag=True, help="Only the head and the essence.")
@click.option("--side-by-side/--unified", default=None, help="[default: by the terminal's width]")
@click.option("--json", is_flag=True, help="JSON Lines: the diff, its rows, texts, stages, hops.")
@click.option("--show-secrets", is_flag=True, help="Do not mask credentials.")
@click.option("--no-pager", is_flag=True, help="Never start a pager.")
def command(recs: tuple[str, ...], **options: Any) -> int:
    """Two recordings, aligned: what differs, down to the field.

    Messages are paired by what they say, not by their number. Ids, times and tokens that are only renamed are held equal. The first line
    says what it comes to; then come the rows that differ, with what stands around them.
    """
    gc.set_threshold(100_000)  # entries and rows are made to stay: looking for cycles in them took a sixth of the time
    called = git_call(recs)
    if called is not None:
        return _for_git(called, options)
    if len(recs) < 2:
        raise click.UsageError("name two recordings: wsproxy diff A B")
    folder, compared = _what(options)
    screen = Screen()
    if len(recs) > 2:
        return _many(recs, folder, compared, _view(screen, options), screen, as_json=options["json"])
    with Progress() as progress:
        a, b = (progress.watch(open_recording(rec, folder)) for rec in recs)
        made = diff(a, b, compared)
    if options["json"]:
        _print_objects(made, options)
        return made.exit_status
    lines = _lines(made, _view(screen, options), options)
    if options["no_pager"]:
        for line in lines:
            screen.print(line)
    else:
        screen.page(lines)
    return made.exit_status


def _what(options: dict[str, Any]) -> tuple[str, Options]:
    """The folder, and what counts as a difference."""
    dirs = [dir for dir in ("c2s", "s2c") if dir in options["dir"]]
    folders = [dir for dir in options["dir"] if dir not in ("c2s", "s2c")]
    if len(folders) > 1:
        raise click.UsageError(f"--dir: one folder, not {' and '.join(folders)}")
    tolerance = options["tolerance"]
    standard = Options()
    return (folders or ["recordings"])[0], Options(
        ignore=options["ignore"],
        only=options["only"],
        exact=options["exact"],
        frames=not options["messages"],
        dirs=tuple(dirs) or standard.dirs,  # type: ignore[arg-type]
        tolerance=standard.tolerance if tolerance is None else tolerance,
        strict_time=tolerance is not None,
        context=sys.maxsize if options["full"] else options["context"],
    )


def _view(screen: Screen, options: dict[str, Any], names: tuple[str, str] = ("", "")) -> View:
    beside = options["side_by_side"]
    if beside is None:
        beside = screen.is_terminal and screen.width >= _WIDE
    return View(max(screen.width, _NARROW), beside, options["full"], options["show_secrets"], names)


def _lines(made: Diff, view: View, options: dict[str, Any]) -> Iterator[Line]:
    if options["summary"]:
        return summary_lines(made, view)
    return stat_lines(made, view) if options["stat"] else diff_lines(made, view)


def _print_objects(made: Diff, options: dict[str, Any]) -> None:
    secrets = options["show_secrets"]
    if options["stat"]:
        objects = stat_objects(made)
    elif options["summary"]:
        objects = iter([summary_object(made, secrets=secrets)])
    else:
        objects = diff_objects(made, secrets=secrets)
    for one in objects:
        click.echo(dump(one))


def _many(recs: tuple[str, ...], folder: str, compared: Options, view: View, screen: Screen, *, as_json: bool) -> int:
    """Each with the first; one that cannot be read is said and passed over."""
    with Progress(len(recs) - 1) as progress:
        return _each(recs, folder, compared, view, screen, progress, as_json=as_json)


def _each(
    recs: tuple[str, ...],
    folder: str,
    compared: Options,
    view: View,
    screen: Screen,
    progress: Progress,
    *,
    as_json: bool,
) -> int:
    first = open_recording(recs[0], folder)
    found: list[Compared] = []
    status = 0
    for rec in recs[1:]:
        try:
            made = diff(first, progress.watch(open_recording(rec, folder)), compared)
        except RecordingError as error:
            progress.says(f"wsproxy: {error}")
            status = 2
            continue
        progress.finish_one()
        progress.shows()
        status = max(status, made.exit_status)
        one = Compared.of(made, made.b.path or rec)
        if as_json:
            click.echo(dump(summary_object(made, secrets=view.secrets)))
        else:
            for line in [] if found else head_of_many(made, view):
                screen.print(line)
            screen.print(compared_line(one, view))
        found.append(one)
    for shown in () if as_json or not found else group_lines(found, view):
        screen.print(shown)
    for group in group_objects(found) if as_json else ():
        click.echo(dump(group))
    return status


def _for_git(called: GitCall, options: dict[str, Any]) -> int:
    """What git shows of a file. Whatever it is, git wants to hear 0."""
    if os.environ.get("GIT_PAGER_IN_USE") == "true":
        os.environ.setdefault("FORCE_COLOR", "1")  # as git itself does before its pager
    screen = Screen()
    names = (f"a/{called.path}", f"b/{called.new_path}")
    view = _view(screen, {**options, "side_by_side": options["side_by_side"] or False}, names)
    try:
        for line in _git_lines(called, view, options):
            screen.print(line)
    except WsproxyError as error:
        screen.print([(f"{called.path}: {error}", "yellow")])
    screen.flush()
    return 0


def _git_lines(called: GitCall, view: View, options: dict[str, Any]) -> Iterator[Line]:
    _, compared = _what(options)
    sides = [None if file is None else open_recording(file) for file in (called.old_file, called.new_file)]
    old, new = sides
    if old is not None and new is not None:
        made = diff(old, new, compared)
        yield from git_lines(_lines(made, view, options), view)
        return
    only = old or new
    if only is None:
        yield unmerged_line(called.path, view)
    else:
        yield from git_lines(alone_lines(diff(only, only, compared), view, added=old is None), view)
