"""One end of a splice: a socket, what is waited for on it, and the two flows that use it.

Strategy: an `End` gives its flows a source and a sink, and those of a plain socket are the socket itself, so nothing stands on the hot path. Where
something lies between the bytes and the socket (TLS, a look at request heads) the end is a `LayeredEnd` with the same interface. It has three
cares more, all of them because a layer keeps bytes of its own: what it could not hand to the kernel yet (`backlog`) must go before anything else
counts as sent; what it has read already (`holds`) is read without waiting for the kernel, which will not tell; and a connection is not over
before the backlog has gone.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Protocol

from .allocator import keep_large_blocks
from .poller import ERROR, HUNG_UP, READ, WRITE, Poller, Served

if TYPE_CHECKING:
    from .splice import Flow

READ_SIZE = 256 * 1024 if keep_large_blocks() else 64 * 1024  # the most that one read takes
AGAIN = (BlockingIOError, InterruptedError)
_GONE = ERROR | HUNG_UP
_HEARD = READ | _GONE


class LayerFailure(OSError):
    """A layer cannot go on, in words for a recording."""


class Source(Protocol):
    """What bytes are read from, as from a socket."""

    def recv(self, size: int, /) -> bytes: ...


class Sink(Protocol):
    """What bytes are sent to, as to a socket; it may take a part."""

    def send(self, data: bytes | memoryview, /) -> int: ...


class Channel(Source, Sink, Protocol):
    """What lies between a splice and a socket. Calls raise BlockingIOError and OSError as those of a socket do."""

    @property
    def backlog(self) -> bool:
        """Whether it keeps bytes that the kernel has not taken yet. Then `send` takes no more."""

    @property
    def holds(self) -> bool:
        """Whether `recv` has something (bytes, the end, an error) without asking the kernel."""

    @property
    def cut(self) -> bool:
        """Whether the end came without the farewell that the layer's protocol has."""

    @property
    def replaced(self) -> bool:
        """Whether the relay speaks for the peer, whose own end does not matter any more."""

    def flush(self) -> None:
        """Hand more of the backlog to the kernel."""

    def finish(self, *, cut: bool) -> None:
        """Say that nothing more will be sent, when the backlog has gone; `cut`: without a farewell."""


class SocketChannel:
    """A plain socket as a channel, where one is asked for."""

    __slots__ = ("_sock", "backlog", "cut", "holds", "recv", "replaced", "send")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.backlog = self.holds = self.cut = self.replaced = False
        self.recv = sock.recv
        self.send = sock.send

    def flush(self) -> None:
        """There is no backlog."""

    def finish(self, *, cut: bool) -> None:
        self._sock.shutdown(socket.SHUT_WR)


class End:
    """A plain socket."""

    __slots__ = ("broken", "events", "fd", "incoming", "outgoing", "poller", "sink", "sock", "source", "watched")

    def __init__(self, sock: socket.socket, poller: Poller) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.source: Source = sock  # not bound methods: two of them cost a connection 300 bytes
        self.sink: Sink = sock
        self.poller = poller
        self.incoming: Flow  # brings what this socket's peer sends
        self.outgoing: Flow  # takes what goes to it
        self.broken = False  # a send has failed: its peer is gone, whatever the next read looks like
        self.watched = False
        self.events = 0  # that are waited for

    @property
    def end(self) -> End:
        return self

    @property
    def served(self) -> Served:
        """What the poller calls."""
        return self.incoming

    @property
    def backlog(self) -> bool:
        """Whether bytes that `send` took are still here."""
        return False

    @property
    def cut(self) -> bool:
        """Whether the peer's end came without the farewell that it should have said."""
        return False

    def wait(self, events: int) -> None:
        """Wait for READ, WRITE, both or neither."""
        if not self.watched:
            self.poller.add(self.fd, events, self.served)
            self.watched = True
        elif events != self.events:
            self.poller.change(self.fd, events)
        self.events = events

    def forget(self) -> None:
        """Wait for nothing, not even for errors."""
        if self.watched:
            self.watched = False
            self.poller.remove(self.fd)

    def update(self) -> None:
        """Wait for what the two flows need now."""
        reading = READ if self.incoming.reading else 0
        writing = WRITE if self.outgoing.pending else 0
        self.wait(reading | writing)

    @property
    def holds(self) -> bool:
        """Whether there is something to read that the kernel does not know of."""
        return False

    def hand_on(self) -> None:
        """Let a layer hand more of its backlog to the kernel. Raises OSError."""

    def look_again(self) -> None:
        """The standby has left this end alone: what it needs is done now."""
        if self.watched:
            self.update()

    def ready(self, events: int) -> None:
        """The poller's word, unless it is only that there are bytes."""
        if events & WRITE and self.outgoing.pending:
            self.outgoing.flush()
        if not self.watched:  # closed by the flush
            return
        if events & _HEARD:
            if self.incoming.reading:
                self.incoming.ready()
            elif events & _GONE:
                self._gone_unread(events)

    def _gone_unread(self, events: int) -> None:
        """The peer is gone while nobody reads. Without an error both have said FIN: what is unread waits, and no more is to be heard."""
        if events & ERROR:
            self.incoming.broke_unread()
        else:
            self.forget()

    def finish(self, *, cut: bool) -> None:
        """Nothing more will be sent to this peer."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone: its own direction tells


class LayeredEnd(End):
    """A socket with a channel above it."""

    __slots__ = ("_called", "_channel", "_loop")

    def __init__(self, sock: socket.socket, poller: Poller, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(sock, poller)
        self._channel = channel
        self._loop = loop
        self._called = False
        self.source = channel
        self.sink = self

    @property
    def served(self) -> Served:
        return self

    @property
    def backlog(self) -> bool:
        return self._channel.backlog

    @property
    def cut(self) -> bool:
        return self._channel.cut

    @property
    def holds(self) -> bool:
        return self._channel.holds

    def hand_on(self) -> None:
        self._channel.flush()

    def send(self, data: bytes | memoryview, /) -> int:
        """As the channel does; what that keeps is waited for."""
        sent = self._channel.send(data)
        if self._channel.backlog or self._channel.holds:
            self.update()
        return sent

    def update(self) -> None:
        reading = READ if self.incoming.reading else 0
        writing = WRITE if self.outgoing.pending or self._channel.backlog else 0
        self.wait(reading | writing)
        if reading and self._channel.holds:
            if self.poller.lent:
                self.poller.read_on(self)
            elif not self._called:
                self._called = True
                self._loop.call_soon(self._read_held)
                self.poller.wake()

    def ready(self, events: int) -> None:
        if events & WRITE:
            if self._flush() and self.watched:
                self.outgoing.flush()
            if not self.watched:
                return
        if events & _HEARD:
            if self.incoming.reading:
                self.incoming.ready()
                self._read_on()
            elif events & _GONE:
                self._gone_unread(0 if self._channel.replaced else events)

    def finish(self, *, cut: bool) -> None:
        try:
            self._channel.finish(cut=cut)
        except OSError:
            pass  # it is gone: its own direction tells
        if self.watched:
            self.update()

    def _flush(self) -> bool:
        """Whether the backlog has gone."""
        try:
            self._channel.flush()
        except OSError:
            self.outgoing.receiver_gone(0)
            return False
        return not self._channel.backlog

    def _read_held(self) -> None:
        self._called = False
        self._read_on()

    def _read_on(self) -> None:
        """Read what the layer has already: the kernel will not tell of it again."""
        while self.watched and self.incoming.reading and self._channel.holds:
            self.incoming.ready()
        if self.watched and self._channel.backlog:  # reading may make a layer answer
            self.update()
