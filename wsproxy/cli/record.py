"""`wsproxy record`."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import __version__

if TYPE_CHECKING:
    pass


@click.command(
    epilog="""\b
Examples:
  wsproxy record --upstream ws://control-plane:8081
  CONTROL_PLANE_URL=http://127.0.0.1:9090 litellm --config config.yaml
"""
)
@click.option("--upstream", required=True, metavar="URL", help="Where to relay to: ws://HOST:PORT or http://HOST:PORT.")
@click.option(
    "--listen", default="127.0.0.1:9090", show_default=True, metavar="HOST:PORT", help="Where clients connect."
)
@click.option(
    "--control",
    default="127.0.0.1:9091",
    show_default=True,
    metavar="HOST:PORT",
    help="Port of markers, /healthz and /metrics.",
)
@click.option("--out", default="recordings", show_default=True, metavar="DIR", help="Folder of the recordings.")
@click.option(
    "--durability",
    type=click.Choice(["every", "batch", "sync"]),
    default="every",
    show_default=True,
    help="every: written before forwarded. batch: within 50 ms. sync: on the disk before forwarded.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0, 86400),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="On SIGTERM: let connections end by themselves.",
)
@click.option(
    "--connect-timeout",
    type=click.FloatRange(0.01, 3600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="For each address of the upstream.",
)
@click.option(
    "--stream-path",
    metavar="REGEX",
    help="Finds the stream id in a request's path (group 'id').  [default: /stream/<id>]",
)
@click.option("--stream-header", metavar="NAME", help="Header that carries a stream id.  [default: x-litellm-call-id]")
@click.option(
    "--stream-body",
    metavar="PATH",
    multiple=True,
    help="Place of a stream id in a JSON body.  [default: data.litellm_call_id ...]",
)
@click.option(
    "--keep-body",
    type=click.IntRange(0),
    default=64 << 20,
    show_default=True,
    metavar="BYTES",
    help="Of each HTTP body; the rest is counted.",
)
@click.option(
    "--token",
    envvar=["WSPROXY_TOKEN", "WSPROXY_RECORD_TOKEN"],
    metavar="TOKEN",
    help="What markers and metrics must carry: Authorization: Bearer TOKEN.  [env: WSPROXY_TOKEN]",
)
@click.option(
    "--control-host",
    metavar="NAME",
    multiple=True,
    help="A name with dots under which the control port is called; addresses, localhost and plain names need none.",
)
@click.option("--live", is_flag=True, help="Print each message as it passes.")
@click.option("--quiet", is_flag=True, help="Print nothing but trouble.")
@click.option(
    "--ready-fd", type=int, hidden=True, help="Write a JSON line with the ports to this descriptor when listening."
)
def command(**options: Any) -> int:
    """Relay and record: stand between a client and a server.

    Every byte passes unchanged, in both directions; every frame goes into a file per stream before it is forwarded.
    Ctrl-C or SIGTERM finishes the recordings and ends.
    """
    from ..relay.rules import DEFAULT_BODY, DEFAULT_HEADER, DEFAULT_PATH, StreamRule
    from ..relay.run import Settings
    from ..relay.upstream import parse_listen, parse_upstream

    for name in ("grace", "connect_timeout"):
        if not math.isfinite(options[name]):
            raise click.BadParameter(f"--{name.replace('_', '-')}: not a number of seconds")
    try:
        path = DEFAULT_PATH if options["stream_path"] is None else options["stream_path"]
        header = DEFAULT_HEADER if options["stream_header"] is None else options["stream_header"]
        settings = Settings(
            listen=parse_listen(options["listen"]),
            control=parse_listen(options["control"]),
            upstream=parse_upstream(options["upstream"]),
            folder=Path(options["out"]),
            rule=StreamRule(path, header, options["stream_body"] or DEFAULT_BODY),
            durability=options["durability"],
            keep_body=options["keep_body"],
            grace=options["grace"],
            connect_timeout=options["connect_timeout"],
            token=options["token"] or None,
            control_names=options["control_host"],
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    return _run(settings, live=options["live"], quiet=options["quiet"], ready_fd=options["ready_fd"])


def _run(settings: Any, *, live: bool, quiet: bool, ready_fd: int | None) -> int:
    from ..relay import run as relay_run
    from ..render.connections import ConnectionLog

    log = ConnectionLog(sys.stdout, sys.stderr, live=live, quiet=quiet)

    def ready(port: int, control_port: int) -> None:
        log.listening(settings, port, control_port)
        if ready_fd is not None:
            line = json.dumps({"ready": "relay", "port": port, "control_port": control_port})
            with os.fdopen(ready_fd, "w") as pipe:
                pipe.write(line + "\n")

    async def main(poller: Any) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        now = asyncio.Event()

        def signalled() -> None:
            (now if stop.is_set() else stop).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled)
        await relay_run.serve(settings, log, poller, __version__, ready, stop, now)

    try:
        relay_run.run(main)
    finally:
        log.close()
    return 0
