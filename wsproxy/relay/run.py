"""One relay run: prepare the folder, start relay and control port, stop in order."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import resource
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from ..errors import CannotStart
from ..recording.disk import Disk
from ..secrets.masking import Masker
from .access import is_loopback
from .control import Control
from .dial import Dialler
from .news import QUIET_SECONDS, Watcher
from .poller import Poller
from .quick import REMARK, quicken
from .server import CannotListen, Relay
from .settings import Settings
from .stalls import stand_by, written
from .streams import Streams
from .sweeper import Sweeper
from .upstream import address_text

BATCH_SECONDS = 0.05
IDLE_SECONDS = 0.5
FAULTS_KEPT = 100  # kinds of trouble that are remembered to have been told


def run(main: Callable[[Poller], Coroutine[Any, Any, None]]) -> None:
    """Run `main(poller)` on an event loop whose selector is that poller."""
    poller = Poller()
    quicken(poller)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(poller)) as runner:
        # Python's development mode remarks on each step of over 0.1 s. Starting is one, and standard error is for trouble.
        runner.get_loop().slow_callback_duration = math.inf
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
    ready: Callable[[Relay, int], None],
    stop: asyncio.Event,
    stop_now: asyncio.Event,
    give_up: Callable[[str], None] | None = None,
) -> None:
    """Run until `stop` is set (then `grace` seconds more, or until `stop_now`).

    Args:
        ready: called with the relay and the control port when both listen.
        give_up: called with what is not written where the relay is to end and the disk stalls; it ends the process.

    Raises:
        CannotStart: folder not writable, port taken.
    """
    prepare_folder(settings.folder)
    if REMARK is not None:
        watcher.trouble(REMARK)
    mode = settings.folder.stat().st_mode & 0o777
    if mode & 0o077:
        watcher.trouble(
            f"{settings.folder} is open to others (mode {mode:04o}); recordings can hold credentials: 'chmod 700 {settings.folder}'"
        )
    raise_descriptor_limit()
    _tell_faults(watcher)

    def trouble(reason: str | None) -> None:
        watcher.trouble(
            "recording works again; what was lost stands in the recordings as gaps"
            if reason is None
            else f"{reason}: traffic flows on, and is NOT recorded until this is mended"
        )

    disk = Disk()
    streams = Streams(
        str(settings.folder),
        upstream=", ".join(settings.upstreams),
        relay=f"wsproxy {version}",
        durability=settings.durability,
        keep_body=settings.keep_body,
        masker=None if settings.rules is None else Masker(settings.rules, numbered=True),
        on_trouble=trouble,
        disk=disk,
    )
    dialler = Dialler(settings.connect_timeout, settings.upstream_tls, settings.keepalive)
    relay = Relay(settings.listeners, streams, watcher, poller, dialler, settings.keepalive)
    sweeper = Sweeper(settings.folder, settings.limits, streams, watcher.remark, watcher.trouble)
    control = Control(
        settings.control, relay, streams, version, token=settings.token, sweeper=sweeper, names=settings.control_names
    )
    if settings.tls.insecure:
        watcher.trouble(
            "--insecure: upstreams need not prove who they are; whoever is on the way can read and change all"
        )
    try:
        relay.start()
    except CannotListen as failure:
        await relay.stop(0)
        address = failure.listener.host, failure.listener.port
        raise CannotStart(_cannot_bind("--listen", address, failure.error)) from None
    streams.listening(", ".join(url.partition("://")[2] for url, _ in relay.listening))
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
    sweeping = asyncio.create_task(sweeper.run())
    ready(relay, control.port)
    standby = stand_by(disk, poller, relay, watcher, settings.grace, give_up)
    standby.start()
    await stop.wait()
    standby.end_within(settings.grace)
    stopping = asyncio.create_task(relay.stop(settings.grace))
    hurry = asyncio.create_task(stop_now.wait())
    await asyncio.wait((stopping, hurry), return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        standby.end_within(0)
        stopping.cancel()
        await relay.stop(0)
    hurry.cancel()
    tending.cancel()
    sweeping.cancel()
    await control.stop()
    streams.finish(time.monotonic_ns())
    await written(disk, standby)
    standby.stop()


def _tell_faults(watcher: Watcher) -> None:
    """What asyncio meets and nobody awaits: a line a minute for each kind, where it would print a traceback for each."""
    loop = asyncio.get_running_loop()
    quiet_until: dict[str, float] = {}

    def tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, ValueError) and "_start_serving" in context["message"]:
            return  # asyncio would accept again, a second after the descriptors ran out, and the port was closed meanwhile
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
