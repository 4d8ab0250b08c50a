"""One relay run: prepare the folder, start relay and control port, stop in order."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CannotStart
from ..recording.writer import Durability
from .access import is_loopback
from .control import Control
from .poller import Poller
from .rules import StreamRule
from .server import QUIET_SECONDS, Relay, Watcher
from .streams import Streams
from .upstream import Upstream, address_text

BATCH_SECONDS = 0.05
IDLE_SECONDS = 0.5
FAULTS_KEPT = 100  # kinds of trouble that are remembered to have been told


@dataclass(frozen=True)
class Settings:
    """What `wsproxy record` was asked for. Times in seconds."""

    listen: tuple[str, int]
    control: tuple[str, int]
    upstream: Upstream
    folder: Path
    rule: StreamRule
    durability: Durability
    keep_body: int
    grace: float
    connect_timeout: float
    token: str | None = None
    control_names: tuple[str, ...] = ()


def run(main: Callable[[Poller], Coroutine[Any, Any, None]]) -> None:
    """Run `main(poller)` on an event loop whose selector is that poller."""
    poller = Poller()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(poller)) as runner:
        runner.run(main(poller))


def prepare_folder(folder: Path) -> None:
    """Make sure that recordings can be written: a folder of our own is private. Raises CannotStart."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / f".wsproxy-{os.getpid()}"
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        probe.unlink()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CannotStart(f"cannot write recordings into {folder}: {why}; give another folder with --out") from None


def raise_descriptor_limit() -> None:
    """Three descriptors per connection: take what the hard limit gives."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):
            pass  # some systems say "unlimited" and mean less


async def serve(
    settings: Settings,
    watcher: Watcher,
    poller: Poller,
    version: str,
    ready: Callable[[int, int], None],
    stop: asyncio.Event,
    stop_now: asyncio.Event,
) -> None:
    """Run until `stop` is set (then `grace` seconds more, or until `stop_now`).

    Args:
        ready: called with the relay's and the control port when both listen.

    Raises:
        CannotStart: folder not writable, port taken.
    """
    prepare_folder(settings.folder)
    raise_descriptor_limit()
    _tell_faults(watcher)

    def trouble(reason: str | None) -> None:
        watcher.trouble(
            "recording works again; what was lost stands in the recordings as gaps"
            if reason is None
            else f"{reason}: traffic flows on, and is NOT recorded until this is mended"
        )

    streams = Streams(
        str(settings.folder),
        upstream=settings.upstream.text,
        relay=f"wsproxy {version}",
        durability=settings.durability,
        keep_body=settings.keep_body,
        on_trouble=trouble,
    )
    relay = Relay(
        settings.listen,
        settings.upstream,
        streams,
        settings.rule,
        watcher,
        poller,
        connect_timeout=settings.connect_timeout,
    )
    control = Control(settings.control, relay, streams, version, token=settings.token, names=settings.control_names)
    try:
        relay.start()
    except OSError as error:
        raise CannotStart(_cannot_bind("--listen", settings.listen, error)) from None
    streams.listening(address_text(settings.listen[0], relay.port))
    try:
        await control.start()
    except OSError as error:
        await relay.stop(0)
        raise CannotStart(_cannot_bind("--control", settings.control, error)) from None
    if settings.token is None and not is_loopback(settings.control[0]):
        watcher.trouble(
            f"the control port {address_text(settings.control[0], control.port)} takes markers from everybody who reaches it: "
            "ask for a token (WSPROXY_TOKEN, here and for the hooks), or bind it to 127.0.0.1 with --control"
        )
    tending = asyncio.create_task(_tend(streams))
    ready(relay.port, control.port)
    await stop.wait()
    stopping = asyncio.create_task(relay.stop(settings.grace))
    hurry = asyncio.create_task(stop_now.wait())
    await asyncio.wait((stopping, hurry), return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        stopping.cancel()
        await relay.stop(0)
    hurry.cancel()
    tending.cancel()
    await control.stop()
    streams.finish(time.monotonic_ns())


def _tell_faults(watcher: Watcher) -> None:
    """What asyncio meets and nobody awaits: a line a minute for each kind, where it would print a traceback for each."""
    loop = asyncio.get_running_loop()
    quiet_until: dict[str, float] = {}

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        words = f"{context['message']}: {error}" if error is not None else str(context["message"])
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            words = f"cannot accept on the control port: {os.strerror(error.errno).lower()}; waiting (see ulimit -n)"
        if loop.time() >= quiet_until.get(words, 0.0):
            if len(quiet_until) >= FAULTS_KEPT:
                quiet_until.clear()
            quiet_until[words] = loop.time() + QUIET_SECONDS
            watcher.trouble(words)

    loop.set_exception_handler(tell)


async def _tend(streams: Streams) -> None:
    """What recordings need from time to time."""
    batch = streams.durability == "batch"
    while True:
        await asyncio.sleep(BATCH_SECONDS if batch else IDLE_SECONDS)
        if batch:
            streams.flush(time.monotonic_ns())
        streams.finish_idle(time.monotonic_ns())
        streams.check_files(time.monotonic_ns())


def _cannot_bind(option: str, address: tuple[str, int], error: OSError) -> str:
    why = (error.strerror or str(error)).lower()
    return f"cannot listen on {address_text(*address)}: {why}; give another address with {option}"
