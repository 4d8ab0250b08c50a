"""The control port's connections: how many there may be, and how long they may take.

Strategy: each accepted connection is a thin protocol in front of aiohttp's own, and has one timer, set anew at three moments: when it was
accepted (a first head must come soon), when a request's head is whole (the request must be done in time), when that is answered (another
one may follow for a while). Whoever trickles bytes is cut off by it; whoever opens connections meets a limit, each address its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

FIRST_SECONDS = 10.0  # for the first head of a connection
REQUEST_SECONDS = 15.0  # from a head to its answer
IDLE_SECONDS = 75.0  # from an answer to the next head's end
CONNECTIONS = 512
CONNECTIONS_OF_AN_ADDRESS = 128


class Visitors:
    """Makes the protocols of connections.

    Args:
        inner: makes aiohttp's protocol.
    """

    def __init__(self, inner: Callable[[], asyncio.Protocol]) -> None:
        self._inner = inner
        self._open: dict[asyncio.BaseTransport, _Visitor] = {}
        self._of_address: Counter[str] = Counter()

    def protocol(self) -> asyncio.Protocol:
        """For the next connection."""
        return _Visitor(self, self._inner())

    def begins(self, transport: asyncio.BaseTransport | None) -> None:
        """A request's head is whole."""
        self._wait(transport, REQUEST_SECONDS)

    def ends(self, transport: asyncio.BaseTransport | None) -> None:
        """Its answer is made."""
        self._wait(transport, IDLE_SECONDS)

    def close(self) -> None:
        """Cut off all of them."""
        for transport in list(self._open):
            _abort(transport)

    def _wait(self, transport: asyncio.BaseTransport | None, seconds: float) -> None:
        visitor = self._open.get(transport) if transport is not None else None
        if visitor is not None:
            visitor.wait(seconds)

    def _enter(self, visitor: _Visitor, transport: asyncio.BaseTransport, address: str) -> bool:
        if len(self._open) >= CONNECTIONS or self._of_address[address] >= CONNECTIONS_OF_AN_ADDRESS:
            return False
        self._open[transport] = visitor
        self._of_address[address] += 1
        return True

    def _leave(self, transport: asyncio.BaseTransport, address: str) -> None:
        del self._open[transport]
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]


class _Visitor(asyncio.Protocol):
    """One connection."""

    def __init__(self, visitors: Visitors, inner: asyncio.Protocol) -> None:
        self._visitors = visitors
        self._inner = inner
        self._address = ""
        self._transport: asyncio.BaseTransport | None = None  # of a connection that was let in
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, seconds: float) -> None:
        """Cut the connection off if nothing else is said of it until then."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, _abort, self._transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername") or ("",)
        self._address = str(peer[0])
        if not self._visitors._enter(self, transport, self._address):
            _abort(transport)
            return
        self._transport = transport
        self._inner.connection_made(transport)
        self.wait(FIRST_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is None:
            return
        transport, self._transport = self._transport, None
        self._visitors._leave(transport, self._address)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._transport is not None else None

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


def _abort(transport: Any) -> None:
    transport.abort()
