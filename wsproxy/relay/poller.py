"""The event loop's selector, with a short way for the spliced sockets.

Strategy: asyncio's own loop runs on this selector. Descriptors that asyncio registers are told to asyncio, as usual; a spliced socket has a
function instead, which is called right here, inside `select`. So the hot path is `epoll_wait`, `recv`, `write`, `send` and nothing of
asyncio at all, and `select` only returns when asyncio has something to do: an event of its own, a timer, or `wake()`.

Where `native` could be built, waiting and serving are done there (`quicken`): the same, in C. What follows was measured without it.

While the loop's thread is stuck on the disk, the standby serves the spliced sockets (`carry`), as far as that needs nothing of the loop. What does
is left alone until that is back, and so are asyncio's own descriptors.

Measured (pinned ping-pong of 300-byte frames, recording on, busy machine, HAProxy 53 to 55 µs beside each): sockets watched through uvloop's
`add_reader` 77 µs, through an epoll of their own inside uvloop 108 µs, this way 72 µs. And uvloop's watch is not safe here: it reports an
error on a socket with unread bytes once and then drops the watch, so the bytes, and the reset behind them, would wait for ever. Here
everything is level-triggered, and an error is told as long as it lasts, also for a socket that is not being read.
"""

from __future__ import annotations

import select
import selectors
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from .alarm import Alarm

if TYPE_CHECKING:
    from .ends import End

READ, WRITE, ERROR, HUNG_UP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR, select.EPOLLHUP
_AT_ONCE = 42  # ready descriptors per call: as many as fit into 512 bytes, for which `poll` need not ask the C library (0.3 µs)
_ROUNDS = 1000  # of spliced sockets alone, before asyncio is asked whether it wants anything


class Served(Protocol):
    """What serves a spliced socket."""

    @property
    def end(self) -> End:
        """The socket's end of its splice."""

    def ready(self, events: int, /) -> None:
        """It is ready for `events` (READ, WRITE), or has an ERROR or is HUNG_UP."""


class Quick(Protocol):
    """What waits, and serves what is to be served: `native.Server`."""

    def poll(self, timeout: float | None, maxevents: int, /) -> list[tuple[int, int]]:
        """As `select.epoll.poll`, but spliced sockets are served, and what it returns is the rest."""

    def drop(self) -> None:
        """What the running `poll` has not served yet is to be told again."""


class Poller(selectors.BaseSelector):
    """An epoll selector; `add`, `change` and `remove` are for sockets with a function, the rest is asyncio's."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._alarm = Alarm()
        self._epoll.register(self._alarm.fd, READ)
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._served: dict[int, Served] = {}
        self._woken = False
        self._batch: list[tuple[int, int]] = []  # what is being served
        self._quick: Quick | None = None
        self._muted: dict[int, int] = {}  # left alone by the standby; what is waited for on them
        self._holding: list[End] = []  # ends with something to read that the kernel does not know of
        self.post: Callable[[Callable[[], None]], object] = lambda call: call()  # calls it on the loop's thread, soon
        self.lent = False  # the standby is at work

    def quicken(self, make: Callable[[int, dict[int, Served]], Quick]) -> None:
        """From here on wait with what this makes of the epoll descriptor, and of what serves the spliced sockets."""
        self._quick = make(self._epoll.fileno(), self._served)

    # --- spliced sockets ---------------------------------------------------------------------------------------------

    def add(self, fd: int, events: int, served: Served) -> None:
        """Call `served.ready(events)` whenever `fd` is ready for `events` (READ, WRITE), or has an ERROR or is HUNG_UP."""
        self._epoll.register(fd, events)
        self._served[fd] = served

    def change(self, fd: int, events: int) -> None:
        """Wait for other events; ERROR and HUNG_UP are told with any, also with none."""
        if fd in self._muted:
            self._muted[fd] = events
        else:
            self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Watch it no longer. Before it is closed."""
        del self._served[fd]
        self._epoll.unregister(fd)

    def wake(self) -> None:
        """A handler has scheduled something on the event loop: let it run."""
        self._woken = True

    # --- the standby's side ------------------------------------------------------------------------------------------

    def carry(self, seconds: float, serve: Callable[[End, int], bool]) -> None:
        """One round in place of the loop's thread, which is stuck.

        Args:
            seconds: how long it waits at most.
            serve: called with the end of a spliced socket and what it is ready for; False if what it needs is the loop's.
        """
        self._batch.clear()  # what the loop's thread had still to serve is told again
        if self._quick is not None:
            self._quick.drop()
        holding, self._holding = self._holding, []
        for fd, events in self._epoll.poll(0 if holding else seconds, _AT_ONCE):
            served = self._served.get(fd)
            if served is not None:
                self._serve(served.end, events, serve)
            elif (key := self._keys.get(fd)) is not None:
                self._leave_alone(fd, _epoll_events(key.events))
            elif fd == self._alarm.fd:
                self._alarm.hear()
        for end in holding:
            self._serve(end, READ, serve)

    def read_on(self, end: End) -> None:
        """An end holds bytes that the kernel will not tell of: it is served at the end of the round."""
        self._holding.append(end)

    def hand_back(self) -> None:
        """The loop's thread goes on."""
        muted, self._muted = self._muted, {}
        for fd, events in muted.items():
            self._epoll.register(fd, events)
            served = self._served.get(fd)
            if served is not None:
                self.post(served.end.look_again)
        for end in self._holding:
            self.post(end.look_again)
        self._holding = []
        self._woken = True
        self.lent = False

    def _serve(self, end: End, events: int, serve: Callable[[End, int], bool]) -> None:
        if end.fd not in self._muted and not serve(end, events):
            self._leave_alone(end.fd, end.events)

    def _leave_alone(self, fd: int, events: int) -> None:
        """Not to be told of it until the loop's thread is back."""
        if fd not in self._muted:
            self._muted[fd] = events
            self._epoll.unregister(fd)

    # --- asyncio's side ----------------------------------------------------------------------------------------------

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What asyncio's descriptors are ready for; spliced sockets are served meanwhile."""
        spliced = self._served
        poll = self._epoll.poll if self._quick is None else self._quick.poll
        ready: list[tuple[selectors.SelectorKey, int]] = []
        deadline = None if timeout is None else monotonic() + timeout
        self._woken = False
        for _ in range(_ROUNDS):
            self._batch = poll(timeout, _AT_ONCE)
            for fd, events in self._batch:
                served = spliced.get(fd)  # an earlier one of this round may have closed it
                if served is not None:
                    served.ready(events)
                elif (key := self._keys.get(fd)) is not None:
                    ready.append((key, _asyncio_events(events) & key.events))
                elif fd == self._alarm.fd:
                    self._alarm.hear()
                    self._woken = True
            if ready or self._woken:
                break
            if deadline is not None:  # the alarm ends the rounds that follow
                timeout = deadline - monotonic()
                if timeout <= 0:
                    break
                self._alarm.set(timeout)
                timeout = deadline = None
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As `selectors.BaseSelector` says."""
        key = selectors.SelectorKey(fileobj, _descriptor(fileobj), events, data)
        if key.fd in self._keys:
            raise KeyError(f"{fileobj!r} is registered already")
        self._epoll.register(key.fd, _epoll_events(events))
        self._keys[key.fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As `selectors.BaseSelector` says."""
        key = self._keys.pop(_descriptor(fileobj))
        try:
            self._epoll.unregister(key.fd)
        except OSError:
            pass  # closed already
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As `selectors.BaseSelector` says."""
        key = selectors.SelectorKey(fileobj, _descriptor(fileobj), events, data)
        if self._keys[key.fd].events != events:
            self._epoll.modify(key.fd, _epoll_events(events))
        self._keys[key.fd] = key
        return key

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """As `selectors.BaseSelector` says."""
        return self._keys[_descriptor(fileobj)]

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """As `selectors.BaseSelector` says; by descriptor."""
        return self._keys

    def close(self) -> None:
        self._epoll.close()
        self._alarm.close()


def _descriptor(fileobj: Any) -> int:
    fd: int = fileobj if isinstance(fileobj, int) else fileobj.fileno()
    return fd


def _epoll_events(events: int) -> int:
    return (READ if events & selectors.EVENT_READ else 0) | (WRITE if events & selectors.EVENT_WRITE else 0)


def _asyncio_events(events: int) -> int:
    """As the standard library's epoll selector reads them: an error makes a descriptor both readable and writable."""
    read = selectors.EVENT_READ if events & ~WRITE else 0
    write = selectors.EVENT_WRITE if events & ~READ else 0
    return read | write
