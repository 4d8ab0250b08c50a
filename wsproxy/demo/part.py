"""How a part of the demo runs as a process.

Strategy: a part is an aiohttp application and a name. It binds 127.0.0.1 (or takes the listening socket that it was
given), says on standard output in one JSON line that it accepts connections and where, and serves until SIGTERM or SIGINT,
which end it quietly with status 0. Its log goes to standard error. Whoever started it waits for the line, never for a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import socket
import sys

from aiohttp import web

from wsproxy.demo import faults

# How long a stopping part waits for the requests it is still answering.
_SHUTDOWN_SECONDS = 0.5
# Connections that may wait to be accepted: twenty streams open within a second, and more in a benchmark.
BACKLOG = 512


def parser(part: str, description: str, *injects: faults.Where) -> argparse.ArgumentParser:
    """An argument parser with the options that every part has; `injects` says whose faults it can inject."""
    result = argparse.ArgumentParser(prog=f"python -m wsproxy.demo.{part}", description=description)
    result.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    result.add_argument(
        "--listen-fd", type=int, metavar="N", help="descriptor of a listening socket, in place of a port"
    )
    result.add_argument("--fault", choices=faults.injected_by(*injects), metavar="NAME", help="go wrong in this way")
    return result


def run(part: str, app: web.Application, args: argparse.Namespace) -> None:
    """Serve `app` on 127.0.0.1 until SIGTERM or SIGINT; print the ready line once it accepts connections."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    given = args.listen_fd
    listening = socket.socket(fileno=given) if given is not None else socket.create_server(("127.0.0.1", args.port))
    asyncio.run(_serve(part, app, listening))


async def _serve(part: str, app: web.Application, listening: socket.socket) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.SockSite(runner, listening, backlog=BACKLOG).start()
        print(json.dumps({"ready": part, "port": listening.getsockname()[1]}), flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()
