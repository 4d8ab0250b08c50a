"""`wsproxy trace`."""

from __future__ import annotations

import gc

import click

from ..analysis.trace import trace
from ..recording.folder import open_recording
from ..render.jsonl import dump
from ..render.lanes import trace_lines
from ..render.screen import Screen
from ..secrets.masking import mask_json
from .completing import complete_rec
from .progress import Progress


@click.command(
    epilog="""\b
Examples:
  wsproxy trace @last                   the newest stream at a glance
  wsproxy trace @last --chunk 6         one chunk through the six steps
  wsproxy trace @last --blocked         the policy's block, and its end

\b
Exit status: 0; 1 when the chunk that was asked for did not reach the client.
"""
)
@click.argument("rec", shell_complete=complete_rec)
@click.option("--chunk", type=click.IntRange(0), metavar="N", help="The Nth chunk of the backend, from 0.")
@click.option("--grep", metavar="TEXT", help="The first chunk that contains this text.")
@click.option("--blocked", is_flag=True, help="The first chunk of the policy that starts with BLOCKED.")
@click.option(
    "--dir", "folder", default="recordings", show_default=True, metavar="DIR", help="Folder of the recordings."
)
@click.option(
    "--json", "as_json", is_flag=True, help="JSON Lines: a trace, its hops and chunks; or a path and its steps."
)
@click.option("--show-secrets", is_flag=True, help="Do not mask credentials.")
def command(
    rec: str, chunk: int | None, grep: str | None, blocked: bool, folder: str, as_json: bool, show_secrets: bool
) -> int:
    """Follow a stream's chunks through the six steps.

    A lane per place, a row per chunk: the time at the first place, then how many milliseconds later it was at each other. What the policy
    merged joins at its lane; ✗ is where a chunk was lost.
    """
    if sum((chunk is not None, grep is not None, blocked)) > 1:
        raise click.UsageError("--chunk, --grep and --blocked each choose a chunk: give one of them")
    gc.set_threshold(100_000)  # a journey is all tuples that stay: looking for cycles in them took 0.4 s of 2
    with Progress() as progress:
        result = trace(progress.watch(open_recording(rec, folder)), chunk=chunk, grep=grep, blocked=blocked)
    screen = Screen()
    if as_json:
        for line in result.json_lines():
            screen.write(dump(line if show_secrets else mask_json(line)))
    else:
        screen.page(trace_lines(result, screen.width, secrets=show_secrets))
    return result.exit_status
