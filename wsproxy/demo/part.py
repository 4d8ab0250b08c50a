"""How a part of the demo runs as a process.

Strategy: a part is an aiohttp application and a name. It binds 127.0.0.1, says on standard output in one
JSON line that it accepts connections and where, and serves until SIGTERM or SIGINT, which end it quietly
with status 0. Its log goes to standard error. Whoever started it waits for the line, never for a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys

from aiohttp import web

# How long a stopping part waits for the requests it is still answering.
_SHUTDOWN_SECONDS = 0.5
# Connections that may wait to be accepted: twenty streams open within a second, and more in a benchmark.
_BACKLOG = 512


def parser(part: str, description: str) -> argparse.ArgumentParser:
    """An argument parser with the options that every part has."""
    result = argparse.ArgumentParser(prog=f"python -m wsproxy.demo.{part}", description=description)
    result.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    return result


def run(part: str, app: web.Application, port: int) -> None:
    """Serve `app` on 127.0.0.1 until SIGTERM or SIGINT; print the ready line once it accepts connections."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(_serve(part, app, port))


async def _serve(part: str, app: web.Application, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, backlog=_BACKLOG).start()
        print(json.dumps({"ready": part, "port": runner.addresses[0][1]}), flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()
