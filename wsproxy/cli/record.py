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
from .amounts import Age, Size
from .record_places import ListenType, RouteType

if TYPE_CHECKING:
    from ..relay.server import Relay
    from ..relay.settings import Settings


@click.command(
    epilog="""\b
Examples:
  wsproxy record --upstream ws://control-plane:8081
  CONTROL_PLANE_URL=http://127.0.0.1:9090 litellm --config config.yaml
  wsproxy record --upstream wss://api.example.com --route /stream=ws://a:8081
  wsproxy record --listen :9090=ws://a:8081 --listen :9092=wss://b
  wsproxy record --check
  wsproxy record --upstream ws://127.0.0.1:8081 --max-bytes 2GB --max-age 7d
"""
)
@click.option("--upstream", metavar="URL", help="Where to relay to: ws://HOST:PORT, or http://, wss://, https://.")
@click.option(
    "--listen",
    type=ListenType(),
    multiple=True,
    default=("127.0.0.1:9090",),
    show_default=True,
    metavar="ADDRESS[=URL]",
    help="Where clients connect; with an upstream of its own. Repeatable.",
)
@click.option(
    "--route",
    type=RouteType(),
    multiple=True,
    metavar="/PREFIX=URL",
    help="Where requests below a path go instead. The longest wins. Repeatable.",
)
@click.option(
    "--host-header",
    metavar="WHAT",
    help="keep, upstream, or a name.  [default: keep for ws and http, upstream for wss and https]",
)
@click.option("--tls-cert", metavar="FILE", help="Speak TLS to clients: certificate chain, PEM.")
@click.option("--tls-key", metavar="FILE", help="Its key, if that is not in the same file.")
@click.option("--ca-file", metavar="FILE", help="Trust these authorities too, for TLS upstreams.")
@click.option("--client-cert", metavar="FILE", help="What TLS upstreams are shown, PEM.")
@click.option("--client-key", metavar="FILE", help="Its key, if that is not in the same file.")
@click.option("--insecure", is_flag=True, help="Do not verify TLS upstreams.")
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
    "--keepalive",
    type=click.IntRange(0, 32767),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Ask a silent peer, by TCP, whether it is there; give it up after five times as long. 0: never.",
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
    "--max-bytes",
    type=Size(),
    metavar="SIZE",
    help="Of all recordings in DIR (2GB); the oldest are removed, none that is open.",
)
@click.option("--max-age", type=Age(), metavar="AGE", help="Remove recordings that were last written so long ago (7d).")
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
@click.option(
    "--redact",
    is_flag=True,
    help="Keep secrets off the disk: masked and decoded messages instead of the wire's bytes, each once it is whole.",
)
@click.option("--check", is_flag=True, help="Say what would be done, and do nothing.")
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
    for name in ("grace", "connect_timeout"):
        if not math.isfinite(options[name]):
            raise click.BadParameter(f"--{name.replace('_', '-')}: not a number of seconds")
    try:
        settings = _settings(options)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if options["check"]:
        return _tell(settings)
    return _run(settings, live=options["live"], quiet=options["quiet"], ready_fd=options["ready_fd"])


def _settings(options: dict[str, Any]) -> Settings:
    from ..recording.retention import Limits
    from ..relay import settings
    from ..relay.tls import TlsOptions
    from ..relay.upstream import parse_listen
    from ..secrets.masking import rules

    finding = settings.Finding(
        options["stream_path"],
        options["stream_header"],
        tuple(options["stream_body"]) or None,
        options["host_header"],
    )
    tls = TlsOptions(
        cert=options["tls_cert"] or "",
        key=options["tls_key"] or "",
        ca_file=options["ca_file"] or "",
        client_cert=options["client_cert"] or "",
        client_key=options["client_key"] or "",
        insecure=options["insecure"],
    )
    listeners = settings.listeners(list(options["listen"]), list(options["route"]), options["upstream"], finding, tls)
    return settings.Settings(
        listeners=listeners,
        control=parse_listen(options["control"]),
        folder=Path(options["out"]),
        durability=options["durability"],
        keep_body=options["keep_body"],
        grace=options["grace"],
        connect_timeout=options["connect_timeout"],
        keepalive=options["keepalive"],
        tls=tls,
        upstream_tls=settings.verification(listeners, tls),
        token=options["token"] or None,
        control_names=options["control_host"],
        limits=Limits(options["max_bytes"], options["max_age"]),
        rules=rules() if options["redact"] else None,
    )


def _tell(settings: Settings) -> int:
    from ..render.plan import plan_lines
    from ..render.screen import Screen

    screen = Screen(sys.stdout)
    for line in plan_lines(settings):
        screen.print(line)
    screen.flush()
    return 0


def _run(settings: Settings, *, live: bool, quiet: bool, ready_fd: int | None) -> int:
    from ..relay import run as relay_run
    from ..render.connections import ConnectionLog

    log = ConnectionLog(sys.stdout, sys.stderr, live=live, quiet=quiet)

    def ready(relay: Relay, control_port: int) -> None:
        log.listening(relay.listening, str(settings.folder), control_port)
        if ready_fd is not None:
            listeners = [{"listen": url, "upstreams": upstreams} for url, upstreams in relay.listening]
            ports = {"port": relay.ports[0], "ports": relay.ports, "control_port": control_port}
            with os.fdopen(ready_fd, "w") as pipe:
                pipe.write(json.dumps({"ready": "relay", **ports, "listeners": listeners}) + "\n")

    def give_up(sentence: str) -> None:
        log.trouble(sentence)
        log.close()
        os._exit(1)  # the thread that would return from here is stuck

    async def main(poller: Any) -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        now = asyncio.Event()

        def signalled() -> None:
            (now if stop.is_set() else stop).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled)
        await relay_run.serve(settings, log, poller, __version__, ready, stop, now, give_up)

    try:
        relay_run.run(main)
    finally:
        log.close()
    return 0
