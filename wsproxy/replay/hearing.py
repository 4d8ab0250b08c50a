"""What the peer says, while one side is played: how far it has come, and whether that is what it said in the recording.

Strategy: events in, progress out. Progress is counted as scripts count it (`Need`), with the time of each arrival, so that a delay can count from
the very message that it followed in the recording. Each message is compared as it becomes whole, and a difference is told at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ..recording.messages import Assembler, Message
from ..wire.events import C2S, OP_CLOSE, OP_PING, OP_PONG, S2C, Dir, End, Frame, Opaque, Part, Response, WireEvent
from .matching import Judge, describe
from .report import Mismatch, Report
from .script import Need, Script

_MESSAGE_LIMIT = 128 << 20
NAMES = {C2S: "client", S2C: "server"}


class Hearing:
    """Hears one direction of one connection.

    Args:
        script: what was said in the recording.
        peer: the direction that is heard.
        response: the live 101, which tells how to inflate what comes.
        ready: when the handshake was done (nanoseconds, monotonic).
        since: when the replay began.
        stream: the name of the stream in reports.
        on_ping: called with the payload of each ping.

    Attributes:
        close: the peer's close frame, when it has come.
        ended_at: when its direction ended.
        heard: when it last said something of its own accord (pings and pongs are not).
    """

    def __init__(
        self,
        script: Script,
        peer: Dir,
        response: Response,
        judge: Judge,
        report: Report,
        *,
        ready: int,
        since: int,
        stream: str,
        on_ping: Callable[[bytes], None],
    ) -> None:
        self.close: Message | None = None
        self.ended_at: int | None = None
        self.heard = ready
        self.owed_end = script.end_of(peer)
        self._owed = script.messages_of(peer)
        self._owed_close = script.close_of(peer)
        self._pauses = _pauses_of(script, peer)
        self._peer = peer
        self._judge = judge
        self._report = report
        self._ready = ready
        self._since = since
        self._stream = stream
        self._on_ping = on_ping
        self._arrivals: list[int] = []
        self._pongs: list[int] = []
        self._told_missing = False
        self._assembler = Assembler(_MESSAGE_LIMIT)
        self._assembler.feed(0, response)

    # --- progress ------------------------------------------------------------------------------------------------------

    def has(self, need: Need) -> bool:
        """Whether the peer has come so far."""
        return (
            len(self._arrivals) >= need.messages
            and len(self._pongs) >= need.pongs
            and (not need.close or self.close is not None)
            and (not need.end or self.ended_at is not None)
        )

    def left_before(self, need: Need) -> bool:
        """Whether the peer has left before it came so far, or leaves something owing that can never come."""
        if self.ended_at is not None:
            return not need.end or not self.has(need)
        return self.close is not None and (not need.close or not self.has(need._replace(end=False)))

    def moment(self, need: Need) -> int:
        """When the last thing of a fulfilled need arrived."""
        since = self._ready
        if need.messages:
            since = max(since, self._arrivals[need.messages - 1])
        if need.pongs:
            since = max(since, self._pongs[need.pongs - 1])
        if need.close and self.close is not None:
            since = max(since, self.close.t_end)
        if need.end and self.ended_at is not None:
            since = max(since, self.ended_at)
        return since

    @property
    def is_whole(self) -> bool:
        """Whether all messages, and the close frame, that the recording has from the peer have come."""
        return len(self._arrivals) >= len(self._owed) and (self.close is not None or self._owed_close is None)

    @property
    def pause(self) -> int:
        """How long the peer took in the recording for what it owes next (nanoseconds)."""
        progress = len(self._arrivals) + (self.close is not None)
        return self._pauses[progress] if progress < len(self._pauses) else 0

    # --- what arrives --------------------------------------------------------------------------------------------------

    def take(self, events: Iterable[WireEvent], *, leaving: bool) -> None:
        """Hear events.

        Args:
            leaving: we have ended our side, so how the peer ends is our doing.
        """
        for event in events:
            if isinstance(event, Frame | Part):
                self._report.received.frames += isinstance(event, Frame)
                for message in self._assembler.feed(0, event):
                    self._message(message)
            elif isinstance(event, End):
                self._end(event, leaving=leaving)
            elif isinstance(event, Opaque):
                self.tell(0, "behind its frames", "bytes", "frames", repr(event.raw[:40]))

    def _message(self, message: Message) -> None:
        if message.opcode == OP_PING:
            self._on_ping(message.data)
            return
        if message.opcode == OP_PONG:
            self._pongs.append(message.t_end)
            return
        self.heard = max(self.heard, message.t_end)
        if message.opcode != OP_CLOSE:
            self._report.received.messages += 1
            self._arrivals.append(message.t_end)
            self._compare(len(self._arrivals), message)
        elif self.close is None:
            self.close = message
            self._compare_close(message)

    def _compare(self, place: int, message: Message) -> None:
        if place > len(self._owed):
            close = self._owed_close
            wanted = describe(close) if close is not None else "nothing more"
            self.tell(close.number if close else 0, f"message {place}", "type", wanted, describe(message))
            return
        expected = self._owed[place - 1]
        difference = self._judge.message(expected, message)
        if difference is not None:
            self.tell(expected.number, f"message {place}", *difference)

    def _compare_close(self, message: Message) -> None:
        if self._owed_close is not None:
            difference = self._judge.close(self._owed_close, message)
            if difference is not None:
                self.tell(self._owed_close.number, "its close", *difference)
        elif self.owed_end is not None:
            self.tell(0, "its end", "close", "no close frame", describe(message))

    def _end(self, end: End, *, leaving: bool) -> None:
        self.ended_at = end.t
        self.heard = max(self.heard, end.t)
        if leaving:
            return
        if self.owed_end == "reset" and end.how != "reset":
            self.tell(0, "its end", "end", "reset", end.how)
        elif self.owed_end == "fin" and end.how == "reset":
            self.tell(0, "its end", "end", "FIN", "reset")

    # --- telling -------------------------------------------------------------------------------------------------------

    def tell_missing(self) -> None:
        """The peer owes something: say what, once."""
        if self._told_missing:
            return
        self._told_missing = True
        place = len(self._arrivals)
        if self.close is not None:
            got = describe(self.close)
        elif self.ended_at is not None:
            got = "the end of the connection"
        else:
            got = f"nothing for {(time.monotonic_ns() - self.heard) / 1e9:.1f} s"
        if place < len(self._owed):
            expected = self._owed[place]
            self.tell(expected.number, f"message {place + 1}", "type", describe(expected), got)
        elif self._owed_close is not None and self.close is None:
            self.tell(self._owed_close.number, "its close", "close", describe(self._owed_close), got)
        elif self.owed_end is not None and self.ended_at is None:
            self.tell(0, "its end", "end", "the end of the connection", got)

    def tell(self, event: int, place: str, field: str, expected: str, got: str) -> None:
        """The peer is not as recorded, where that matters."""
        if self._judge.match != "none":
            t = (time.monotonic_ns() - self._since) / 1e9
            self._report.mismatch(Mismatch(self._stream, NAMES[self._peer], event, place, field, expected, got, t))


def _pauses_of(script: Script, dir: Dir) -> list[int]:
    """How long each message of a side, its close frame and its end took in the recording."""
    pauses = []
    for step in script.steps_of(dir):
        act = step.act
        data = isinstance(act, Frame) and act.opcode < 8 and step.part == 0
        if data or isinstance(act, End) or (isinstance(act, Frame) and act.opcode == OP_CLOSE):
            pauses.append(step.delay)
    return pauses
