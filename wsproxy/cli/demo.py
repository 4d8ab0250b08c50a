"""`wsproxy demo`."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..recording.folder import resolve
from ..recording.reader import Recording
from ..recording.view import in_time_order, items
from ..render.screen import Screen
from ..render.timeline import Timeline

if TYPE_CHECKING:
    from ..demo.pipeline import Pipeline
    from ..demo.story import Story


@click.command(
    epilog="""\b
Examples:
  wsproxy demo                        the bug: a block never arrives
  wsproxy demo --judge-delay 0.02     a judge that is fast enough
  wsproxy demo --fixed                a callback that waits for the end
  wsproxy demo --keep-running         leave the pipeline up, to try things
"""
)
@click.option(
    "--policy",
    type=click.Choice(["judge", "noop", "allcaps"]),
    default="judge",
    show_default=True,
    help="What the control plane does with chunks.",
)
@click.option("--judge-delay", default=0.3, show_default=True, metavar="SECONDS", help="How long the judge takes.")
@click.option(
    "--requests", default=1, show_default=True, type=click.IntRange(1, 500), metavar="N", help="Requests at once."
)
@click.option("--prompt", metavar="TEXT", help="What the client asks.  [default: something harmful]")
@click.option("--fixed", is_flag=True, help="A callback without the bug: it waits for END.")
@click.option(
    "--dir", "folder", default="recordings", show_default=True, metavar="DIR", help="Folder of the recordings."
)
@click.option("--keep-running", is_flag=True, help="Leave the pipeline up until Ctrl-C.")
def command(
    policy: str, judge_delay: float, requests: int, prompt: str | None, fixed: bool, folder: str, keep_running: bool
) -> int:
    """The whole pipeline on this machine, with the famous bug in it.

    A client, a small LiteLLM, a control plane with a policy, a judge, and a real relay between them, each in its own process. The judge
    decides to block; with the bug the block never reaches the client, and the recording shows why.
    """
    from ..demo.pipeline import HARMFUL, Pipeline

    pipeline = Pipeline(policy, judge_delay=judge_delay, fixed=fixed, out=Path(folder))
    try:
        stream_ids = asyncio.run(_run(pipeline, prompt or HARMFUL, requests, keep_running=keep_running))
    except asyncio.CancelledError:
        return 143
    if stream_ids:
        _show(stream_ids, folder)
    return 0


async def _run(pipeline: Pipeline, prompt: str, requests: int, *, keep_running: bool) -> list[str]:
    """Ask, tell what happened, and return the ids of the streams."""
    from ..demo.story import tell

    task = asyncio.current_task()
    if task is not None:  # so that the parts are ended on SIGTERM too, as they are on Ctrl-C
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with pipeline:
        if keep_running:
            await _keep(pipeline)
            return []
        answers = await asyncio.gather(*(pipeline.ask(prompt) for _ in range(requests)))
        stories = [tell(prompt, answer, await pipeline.decision(answer.stream_id)) for answer in answers]
    _tell(stories)
    return [answer.stream_id for answer in answers]


def _tell(stories: list[Story]) -> None:
    screen = Screen()
    for who, what in stories[0].lines:
        screen.print([(f"{who:<20} ", "dim"), (what, "")])
    style = "bold green" if stories[0].agree else "bold red"
    screen.print([(stories[0].conclusion, style)])
    if len(stories) > 1:
        agreed = sum(story.agree for story in stories)
        screen.print([(f"So did {agreed} of {len(stories)} requests agree with their policy.", "bold")])
    screen.flush()


def _show(stream_ids: list[str], folder: str) -> None:
    screen = Screen()
    paths = [resolve(stream_id, folder) for stream_id in stream_ids]
    recording = Recording(paths[0])
    shown = stream_ids[0]
    screen.print([("", "")])
    screen.print(
        [
            (
                f"wsproxy show {shown[:8]} --dir {folder}" if folder != "recordings" else f"wsproxy show {shown[:8]}",
                "bold",
            )
        ]
    )
    timeline = Timeline(screen.width)
    for number, item in in_time_order(items(recording.events())):
        for line in timeline.lines(number, item):
            screen.print(line)
    if len(paths) > 1:
        screen.print([(f"and {len(paths) - 1} more: wsproxy ls {folder}", "dim")])


async def _keep(pipeline: Pipeline) -> None:
    """Say how to talk to the pipeline, then wait for Ctrl-C."""
    from ..demo.pipeline import CLIENT_KEY, HARMFUL

    screen = Screen()
    screen.print([("The pipeline is up. Ask it something:", "bold")])
    body = f'{{"model": "demo", "stream": true, "messages": [{{"role": "user", "content": "{HARMFUL}"}}]}}'
    screen.print([(f"  curl -N {pipeline.proxy_url}/v1/chat/completions \\", "")])
    screen.print([(f"    -H 'authorization: Bearer {CLIENT_KEY}' -H 'content-type: application/json' \\", "")])
    screen.print([(f"    -d '{body}'", "")])
    screen.print([(f"Then: wsproxy show @last --dir {pipeline.out}    (Ctrl-C ends the pipeline)", "dim")])
    screen.flush()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
