"""The options that choose recordings, for `ls` and `rm`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..analysis.listing import STATUSES, Choice
from ..patterns import compiled
from .amounts import Moment

_Command = TypeVar("_Command", bound=Callable[..., Any])


def choosing(command: _Command) -> _Command:
    """Add --since, --until, --stream and --status."""
    for option in (
        click.option(
            "--status",
            "statuses",
            multiple=True,
            type=click.Choice(list(STATUSES)),
            metavar="STATUS",
            help=f"{', '.join(STATUSES)}; repeatable: any of them.",
        ),
        click.option("--stream", metavar="REGEX", help="What the stream id starts with."),
        click.option("--until", type=Moment(), metavar="TIME", help="Began no later than this."),
        click.option("--since", type=Moment(), metavar="TIME", help="Began then or later: 1h (ago), 2026-01-31T14:05."),
    ):
        command = option(command)
    return command


def choice(options: dict[str, Any], older_than: int | None = None) -> Choice:
    """What these options choose. Raises ClickException."""
    try:
        stream = compiled(options["stream"]) if options["stream"] else None
    except ValueError as error:
        raise click.ClickException(f"--stream: {error}") from None
    before = None if older_than is None else time.time_ns() - older_than
    return Choice(options["since"], options["until"], before, stream, options["statuses"])
