"""What is said of a disk that stalls, and how long the end of a relay waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable

from ..recording.behind import Account
from ..recording.disk import Disk
from .news import Watcher
from .poller import Poller
from .server import Relay
from .standby import Standby

_LOOK_SECONDS = 0.02


def stand_by(
    disk: Disk, poller: Poller, relay: Relay, watcher: Watcher, grace: float, give_up: Callable[[str], None] | None
) -> Standby:
    """A standby for this relay, not started yet."""
    loop = asyncio.get_running_loop()

    def post(call: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the relay has ended
            loop.call_soon_threadsafe(call)

    poller.post = disk.post = post
    disk.on_fault = relay.fault
    disk.on_caught_up = lambda account: watcher.trouble(_caught_up(account))

    def stalled() -> None:
        watcher.trouble("the disk has stalled: traffic flows on, and is recorded when the disk takes it")

    def end() -> None:
        if give_up is None:
            os._exit(1)
        give_up(_left(disk))

    return Standby(disk, poller, relay.splices, on_stall=stalled, on_fault=relay.fault, give_up=end, grace=grace)


async def written(disk: Disk, standby: Standby) -> None:
    """Wait until everything is written, or the relay must end."""
    if not disk.stalled:
        return
    while disk.stalled and any(disk.left()):
        if standby.deadline is not None and time.monotonic() >= standby.deadline:
            standby.give_up()
        await asyncio.sleep(_LOOK_SECONDS)
    if disk.stalled and disk.told:
        disk.on_caught_up(disk.now)


def disk_health(disk: Disk) -> dict[str, float | bool]:
    """What /healthz says of the disk."""
    account = disk.account
    return {
        "stalled": disk.stalled,
        "stalls": account.stalls,
        "queued_bytes": disk.queued,
        "longest_write_seconds": round(account.longest_ns / 1e9, 3),
        "late_events": account.late,
        "lost_events": account.lost,
    }


def disk_rows(disk: Disk) -> list[tuple[str, str, str, dict[str, float]]]:
    """The same for /metrics."""
    said = disk_health(disk)
    rows = (
        ("stalled", "gauge", "Whether recordings are written behind the traffic, because the disk stalls"),
        ("stalls_total", "counter", "How often a call to the disk was waited for no longer"),
        ("queued_bytes", "gauge", "Bytes of recordings that wait for the disk"),
        ("longest_write_seconds", "gauge", "The longest write of a disk that stalled"),
        ("late_events_total", "counter", "Events that were written after they were forwarded"),
        ("lost_events_total", "counter", "Events that were not recorded because too many waited"),
    )
    return [(f"disk_{name}", kind, text, {"": float(said[name.removesuffix("_total")])}) for name, kind, text in rows]


def _caught_up(account: Account) -> str:
    late = f"{account.late:,} events were written up to {account.late_ns / 1e9:.1f} s after they were forwarded"
    lost = f"{account.lost:,} found the queue full and are lost" if account.lost else "nothing is lost"
    return f"the disk is quick again: {late}; {lost}"


def _left(disk: Disk) -> str:
    events, recordings = disk.left()
    return (
        f"ended while the disk stalls: {events:,} events of {recordings:,} recordings are not written, "
        "nor what their last write should have taken"
    )
