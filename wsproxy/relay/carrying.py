"""What the standby does for a connection while the loop's thread is stuck on the disk: it carries bytes, and nothing else.

Strategy: the reading and sending of `splice`, without the rest. What a connection needs beyond (an end, an error, anything that takes timers or
closes a socket) waits for the loop: a condition of the descriptor is left to be told again, what can be noticed once only is done `afterwards`. So
whatever the loop's thread is in the middle of, it finds no connection gone or changed but by bytes that have passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from .ends import AGAIN, READ_SIZE, End
from .poller import ERROR, HUNG_UP, READ, WRITE, Poller
from .splice import Flow, Splice, how


def carry(end: End, events: int) -> bool:
    """Serve an end that is ready for `events`; False if what it needs is the loop's."""
    if events & (ERROR | HUNG_UP):
        return False
    if events & WRITE and not _flush(end):
        return False
    if events & READ:
        while end.incoming.reading and _read(end.incoming):
            if not end.holds:
                return True
        return False
    return True


def send_held(splices: Iterable[Splice]) -> None:
    """Send what the loop's thread has read and is recording."""
    for splice in splices:
        for flow in (splice.c2s, splice.s2c):
            data, flow.held = flow.held, None
            if data is not None and _send(flow, data) and flow.src.holds:
                flow.src.update()


def _read(flow: Flow) -> bool:
    if not flow.recorder.has_room:
        return False
    try:
        data = flow.src.source.recv(READ_SIZE)
    except AGAIN:
        return True
    except OSError as error:
        flow.stop_reading()
        _afterwards(flow, flow.splice.reset, flow, how(error))
        return False
    if not data:
        return False  # read again, it is still the end
    flow.recorder.take(flow.dir, data, time.monotonic_ns())
    return _send(flow, data)


def _send(flow: Flow, data: bytes) -> bool:
    try:
        sent = flow.dst.sink.send(data)
    except AGAIN:
        sent = 0
    except OSError:
        flow.stop_reading()
        _afterwards(flow, flow.receiver_gone, len(data))
        return False
    if sent < len(data):
        flow.pending = memoryview(data)[sent:]
        flow.stop_reading()
        flow.dst.update()
    return True


def _flush(end: End) -> bool:
    """The receiver takes bytes again."""
    flow = end.outgoing
    try:
        end.hand_on()
        if end.backlog:
            return True
        if flow.pending:
            flow.pending = flow.pending[end.sink.send(flow.pending) :]
    except AGAIN:
        return True
    except OSError:
        _afterwards(flow, flow.receiver_gone, len(flow.pending))
        return False
    if flow.pending:
        return True
    flow.pending = b""
    end.update()
    if end.backlog:
        return True
    if flow.finishing or flow.ended or flow.splice.resetting is not None:
        _afterwards(flow, flow.flush)
    else:
        flow.reading = True
        flow.src.update()
    return True


def _afterwards(flow: Flow, call: Callable[..., None], *arguments: Any) -> None:
    """On the loop's thread, when that is back, if there is still a connection."""
    poller: Poller = flow.src.poller
    poller.post(partial(_unless_over, flow.splice, call, *arguments))


def _unless_over(splice: Splice, call: Callable[..., None], *arguments: Any) -> None:
    if not splice.over:
        call(*arguments)
