"""Readiness of the spliced sockets, from one epoll of our own inside the event loop.

Strategy: the loop watches a single descriptor, the epoll's; when that is readable, one `poll` tells which sockets are. Why not the loop's own
`add_reader`: under uvloop an error on a socket with unread bytes is reported once and the watch is dropped, so the
bytes (and the reset behind them) would wait for ever; here everything is level-triggered and an error is told as long as it
lasts, also for a socket that is not being read. It also costs less: one call for all ready sockets, no handle per socket
(1 KiB per connection).
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable

READ, WRITE, BROKEN = select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR | select.EPOLLHUP
_AT_ONCE = 256  # sockets per turn of the loop: nobody else on it waits long


class Poller:
    """Calls a function when its socket is ready. One per event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._ready)

    def add(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Call `handler(events)` whenever `fd` is ready for `events` (READ, WRITE), or is BROKEN."""
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def change(self, fd: int, events: int) -> None:
        """Wait for other events; BROKEN is told with any, also with none."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Watch it no longer. Before it is closed."""
        del self._handlers[fd]
        self._epoll.unregister(fd)

    def close(self) -> None:
        """May be called again."""
        if self._epoll.closed:
            return
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _ready(self) -> None:
        handlers = self._handlers
        for fd, events in self._epoll.poll(0, _AT_ONCE):
            handler = handlers.get(fd)  # an earlier one of this turn may have closed it
            if handler is not None:
                handler(events)
