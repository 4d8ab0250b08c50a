"""A look at every request head on its way to the upstream: for the Host that is rewritten, and for requests that belong elsewhere.

Strategy: a channel above the upstream's socket (or its TLS). A tap of its own follows both directions, because only the answers tell whether what
comes after an upgrade is frames or another request. An incomplete head waits here (128 KiB at most, the tap's limit), and so do bytes behind an
unanswered upgrade: whoever answers it does not need them to. Everything else passes at once. When the connection has left HTTP there is nothing more
to look at, and it stands aside.

A request of a keep-alive connection that belongs to another upstream does not reach this one. What was asked before is answered first; then the
client gets `421 Misdirected Request` (RFC 9110, 15.5.20) from the relay and the connection ends: on a new one the request goes where it belongs.

Where neither is asked for, nothing waits. An upstream that breaks off TLS before it has said anything (in TLS 1.3 a missing client certificate
shows only then) is answered for with 502.
"""

from __future__ import annotations

from collections.abc import Callable

from ..wire.events import C2S, Piece, Request, WireEvent, rebuild
from ..wire.host import with_host
from ..wire.tap import Tap
from .ends import AGAIN, Channel, LayerFailure
from .upstream import json_answer


class Gate:
    """See the module.

    Args:
        below: the way to the upstream.
        host: the Host that requests get; None leaves theirs.
        misdirected: why a request (by its target) must not go to this upstream, None if it may. Without it all may.
        broken: called when TLS fails before the upstream has said anything; gives what the client is told instead.
        answering: called when the relay is about to speak for the upstream.
    """

    __slots__ = (
        "_answering",
        "_aside",
        "_below",
        "_broken",
        "_finish",
        "_holds_back",
        "_host",
        "_misdirected",
        "_out",
        "_over",
        "_refusal",
        "_refused",
        "_silent",
        "_tap",
    )

    def __init__(
        self,
        below: Channel,
        host: str | None,
        misdirected: Callable[[str], str | None] | None,
        broken: Callable[[str], bytes],
        answering: Callable[[], None],
    ) -> None:
        self._below = below
        self._host = host
        self._misdirected = misdirected
        self._holds_back = host is not None or misdirected is not None
        self._broken = broken
        self._answering = answering
        self._tap = Tap(0)
        self._silent = True  # nothing has come from the upstream
        self._aside = False  # nothing to look at any more
        self._out = b""  # for the upstream, not yet taken by what is below
        self._refusal: bytes | None = None  # for the client, when all that was asked before is answered
        self._refused = 0  # the exchange that it is for
        self._over = False  # the refusal was given: the end comes next
        self._finish: bool | None = None  # the client's end is to be passed on (`cut` or not) when nothing waits

    @property
    def backlog(self) -> bool:
        return bool(self._out) or self._below.backlog

    @property
    def holds(self) -> bool:
        return self._below.holds or self._may_refuse

    @property
    def cut(self) -> bool:
        return self._below.cut

    @property
    def replaced(self) -> bool:
        return self._over

    def send(self, data: bytes | memoryview, /) -> int:
        if self.backlog:
            raise BlockingIOError
        if self._aside:
            return self._below.send(data)
        if self._refusal is None:
            events = self._tap.c2s.feed(bytes(data), 0)
            if self._holds_back:
                self._pass(events)
            else:
                self._out += data
            self._aside = not self._tap.in_http
            self.flush()
        return len(data)

    def recv(self, size: int, /) -> bytes:
        if self._over:
            return b""
        if self._may_refuse and self._refusal is not None:
            self._over = True
            self._answering()
            return self._refusal
        try:
            data = self._below.recv(size)
        except LayerFailure as failure:
            if not self._silent or not self._tap.pending:
                raise
            self._out, self._refusal = b"", self._broken(str(failure))
            self._refused = self._tap.pending[0].exchange
            return self.recv(size)
        self._silent = False
        if not self._holds_back:
            self._aside = True
        elif data and not self._aside:
            self._heard(data)
        return data

    def flush(self) -> None:
        self._below.flush()
        while self._out:
            try:
                sent = self._below.send(self._out)
            except AGAIN:
                return
            self._out = self._out[sent:]
        if self._finish is not None and not self._below.backlog:
            cut, self._finish = self._finish, None
            self._below.finish(cut=cut)

    def finish(self, *, cut: bool) -> None:
        if self._holds_back and not self._aside and self._refusal is None:
            self._out += self._tap.c2s.pending  # half a head, or what waited for an answer that may still come
            self._aside = True
        self._finish = cut
        self.flush()

    def _heard(self, data: bytes) -> None:
        """What the upstream says may settle what the bytes behind an upgrade are."""
        waiting = self._tap.c2s.pending
        events = self._tap.s2c.feed(data, 0)
        if self._tap.in_http:
            self._pass([event for event in events if event.dir == C2S])
        else:
            self._aside = True
            self._out += waiting
        try:
            self.flush()
        except OSError:
            pass  # the next `send` says so

    def _pass(self, events: list[WireEvent]) -> None:
        """What of the client's bytes goes up now."""
        going: list[WireEvent] = []
        for event in events:
            if isinstance(event, Request):
                reason = self._misdirected(event.target) if self._misdirected else None
                if reason is not None:
                    self._refusal, self._refused = misdirected_request(event.target, reason), event.exchange
                    break
                if self._host is not None:
                    event = event._replace(raw=with_host(event.raw, self._host))
            going.append(event)
        self._out += rebuild(event for event in going if not isinstance(event, Piece))

    @property
    def _may_refuse(self) -> bool:
        """Whether a request is refused, and nothing before it waits for its answer."""
        if self._refusal is None or self._tap.s2c.in_body:
            return False
        pending = self._tap.pending
        return not pending or pending[0].exchange >= self._refused


def misdirected_request(target: str, reason: str) -> bytes:
    """The 421 of a request whose connection leads elsewhere."""
    return json_answer(
        "421 Misdirected Request",
        {
            "error": "misdirected request",
            "path": target,
            "reason": reason,
            "hint": "ask again on a new connection: the first request of each decides where it leads",
        },
    )
