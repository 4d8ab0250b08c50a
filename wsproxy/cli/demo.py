"""`wsproxy demo`."""

from __future__ import annotations

import asyncio
import signal
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..recording.events import Marker
from ..recording.folder import resolve
from ..recording.reader import Recording
from ..recording.view import in_time_order, items
from ..render.screen import Screen
from ..render.timeline import Timeline

DECISION_SECONDS = 3.0
"""How long a policy has for its decision when the client has its answer; one that hangs never comes to it."""

if TYPE_CHECKING:
    from ..demo.faults import Fault
    from ..demo.pipeline import Pipeline
    from ..demo.story import Story


def _fault(context: click.Context, parameter: click.Parameter, name: str | None) -> Fault | None:
    """The fault of that name."""
    from ..demo import faults

    if name is None:
        return None
    try:
        return faults.find(name)
    except KeyError:
        close = get_close_matches(name, faults.NAMES, 1)
        hint = f"did you mean {close[0]}?" if close else "see 'wsproxy demo --faults'"
        raise click.BadParameter(f"there is no fault {name!r}; {hint}") from None


def _list_faults(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    """Print the table of faults, and end."""
    from ..demo import faults

    if not wanted or context.resilient_parsing:
        return
    screen = Screen()
    name_width, where_width = max(map(len, faults.NAMES)), max(len(fault.where) for fault in faults.TABLE)
    for fault in faults.TABLE:
        name, where = f"{fault.name:<{name_width}}  ", f"{fault.where:<{where_width}}  "
        screen.print([(name, "bold"), (where, "dim"), (fault.what, "")])
        screen.print([(" " * len(name + where), ""), (f"→ {fault.shows}", "dim")])
    screen.flush()
    context.exit()


@click.command(
    epilog="""\b
Examples:
  wsproxy demo                        the bug: a block never arrives
  wsproxy demo --judge-delay 0.02     a judge that is fast enough
  wsproxy demo --fixed                a callback that waits for the end
  wsproxy demo --fault reorder        a policy that mixes up two chunks
  wsproxy demo --faults               all that can go wrong
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
@click.option(
    "--judge-delay", type=float, metavar="SECONDS", help="How long the judge takes.  [default: 0.3, or the fault's]"
)
@click.option("--fault", callback=_fault, metavar="NAME", help="Let something go wrong in one of the parts.")
@click.option(
    "--faults",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_faults,
    help="List what can go wrong, and what it shows.",
)
@click.option(
    "--requests", default=1, show_default=True, type=click.IntRange(1, 500), metavar="N", help="Requests at once."
)
@click.option("--prompt", metavar="TEXT", help="What the client asks.  [default: something harmful, or the fault's]")
@click.option("--fixed", is_flag=True, help="A callback without the bug: it waits for END.")
@click.option(
    "--dir", "folder", default="recordings", show_default=True, metavar="DIR", help="Folder of the recordings."
)
@click.option("--keep-running", is_flag=True, help="Leave the pipeline up until Ctrl-C.")
def command(
    policy: str,
    judge_delay: float | None,
    fault: Fault | None,
    requests: int,
    prompt: str | None,
    fixed: bool,
    folder: str,
    keep_running: bool,
) -> int:
    """The whole pipeline on this machine, with the famous bug in it.

    A client, a small LiteLLM, a control plane with a policy, a judge, and a real relay between them, each in its own process. The judge
    decides to block; with the bug the block never reaches the client, and the recording shows why.
    """
    from ..demo import HARMFUL
    from ..demo.pipeline import Pipeline

    name = fault.name if fault else None
    pipeline = Pipeline(policy, judge_delay=judge_delay, fixed=fixed, out=Path(folder), fault=name)
    asked = prompt or (fault.prompt if fault else HARMFUL)
    if fault:
        _announce(fault)
    try:
        stream_ids = asyncio.run(_run(pipeline, asked, requests, keep_running=keep_running))
    except asyncio.CancelledError:
        return 143
    if stream_ids:
        _show(stream_ids, folder)
    return 0


def _announce(fault: Fault) -> None:
    screen = Screen()
    screen.print([(f"{'the fault:':<20} ", "dim"), (f"{fault.name}, in the {fault.where}: {fault.what}", "")])
    screen.flush()


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
        patience = pipeline.judge_delay + DECISION_SECONDS
        decisions = await asyncio.gather(*(pipeline.decision(answer.stream_id, patience) for answer in answers))
    stories = [tell(prompt, answer, decision) for answer, decision in zip(answers, decisions, strict=True)]
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
        screen.print([(f"In {agreed} of {len(stories)} requests the client got what the policy put out.", "bold")])
    screen.flush()


def _show(stream_ids: list[str], folder: str) -> None:
    """What the relay recorded of the first stream, as the commands show it: its timeline, then its diagnosis."""
    from ..analysis.diagnose import diagnose

    screen = Screen()
    recording = Recording(resolve(stream_ids[0], folder))
    screen.print([("", "")])
    screen.print(_command("show", stream_ids[0], folder))
    timeline = Timeline(screen.width)
    for number, item in in_time_order(items(recording.events())):
        if isinstance(item, Marker):  # a hundred of them; the command itself shows them too
            continue
        for line in timeline.lines(number, item):
            screen.print(line)
    screen.print([("", "")])
    screen.print(_command("diagnose", stream_ids[0], folder))
    screen.print([(str(diagnose(recording)), "")])
    if len(stream_ids) > 1:
        screen.print([(f"and {len(stream_ids) - 1} more: wsproxy ls {folder}", "dim")])


def _command(name: str, stream_id: str, folder: str) -> list[tuple[str, str]]:
    """The command that shows what follows."""
    where = f" --dir {folder}" if folder != "recordings" else ""
    return [(f"wsproxy {name} {stream_id[:8]}{where}", "bold")]


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
