"""`wsproxy doctor`."""

from __future__ import annotations

import os

import click

from ..doctor.checks import Case, examine
from ..render.doctor import finding_lines, finding_object
from ..render.jsonl import dump
from ..render.screen import Screen


@click.command(
    epilog="""\b
Examples:
  wsproxy doctor                                    the relay next door
  wsproxy doctor --control wsproxy:9091 --json      another, for programs
  CONTROL_PLANE_URL=http://127.0.0.1:9090 wsproxy doctor \\
      --litellm http://127.0.0.1:4000               LiteLLM: up, led here?

\b
Exit status: 0 nothing wrong, 1 something is, 2 no relay answers.
"""
)
@click.option(
    "--control",
    default="127.0.0.1:9091",
    show_default=True,
    metavar="HOST:PORT",
    help="The relay's control port; a URL will do.",
)
@click.option("--litellm", metavar="URL", help="Ask this LiteLLM whether it is alive.")
@click.option(
    "--token",
    envvar=["WSPROXY_TOKEN", "WSPROXY_DOCTOR_TOKEN"],
    metavar="TOKEN",
    help="What the relay was started with.  [env: WSPROXY_TOKEN]",
)
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, one object per check.")
def command(control: str, litellm: str | None, token: str | None, as_json: bool) -> int:
    """Is everything in its place? One line per check, and what to do.

    Is the relay up; does its upstream answer; does LiteLLM point at it; do markers arrive (one is sent; its recording is removed
    again); are the clocks sane; is the disk roomy and the folder private.
    """
    case = Case(_url(control), os.environ, token or None, None if litellm is None else _url(litellm))
    screen = Screen()
    status = 0
    for found in examine(case):
        if found.state == "wrong":
            status = max(status, 1 if case.status or found.check != "relay" else 2)
        if as_json:
            click.echo(dump(finding_object(found)))
            continue
        for line in finding_lines(found):
            screen.print(line)
        screen.flush()
    return status


def _url(address: str) -> str:
    return (address if "://" in address else f"http://{address}").rstrip("/")
