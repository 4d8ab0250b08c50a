"""Plays one side of a WebSocket: each step when its time has come and not before what it answers.

Strategy: one coroutine per connection and no callbacks: hear what has arrived, do the next step if it may be done, else wait for news or for
its moment. Between own steps a delay counts from the moment at which the last one was *due*: being late once does not move the rest.
What is due at once is joined into one write of up to 64 KiB.

When the peer leaves earlier than it did in the recording, the rest is not played: our own close frame (if one was to come, else an
echo) and the end are.
"""

from __future__ import annotations

import asyncio
import os
import time

from ..analysis.pipeline import read_message
from ..recording.messages import Message
from ..wire.events import C2S, OP_CLOSE, OP_PONG, S2C, Dir, End, Frame, Opaque, Response, frame_header, mask_at
from .codec import Encoder
from .connection import Connection
from .hearing import Hearing
from .matching import Judge
from .pacing import Pace
from .report import Report
from .script import SILENCE, Script, Step

_JOINED = 1 << 16  # bytes of one write
_CLOSING = 10.0  # seconds for a peer to end when both have closed


class Player:
    """Plays one side of one connection, after its handshake.

    Args:
        connection: on which the upgrade is done; the direction in which it speaks is the side that is played.
        script: what to say.
        encoder: for our direction.
        response: the live 101.
        judge: of what comes.
        report: gets differences, counts and times.
        stream: the name of the stream in reports.
        since: when the replay began (nanoseconds, monotonic).
        ready: when the handshake was done.
        timeout: seconds of silence, beside the recorded pause, of a peer that owes something; None waits for ever.
    """

    def __init__(
        self,
        connection: Connection,
        script: Script,
        encoder: Encoder,
        response: Response,
        judge: Judge,
        report: Report,
        *,
        pace: Pace,
        stream: str,
        since: int,
        ready: int,
        timeout: float | None,
    ) -> None:
        self._connection = connection
        self._encoder = encoder
        self._report = report
        self._timeout = timeout
        self._steps = script.steps_of(connection.dir)
        self._pauses = list(pace(step.delay for step in self._steps))
        self._ready = ready
        self._peer = Hearing(
            script,
            connection.peer_dir,
            response,
            judge,
            report,
            ready=ready,
            since=since,
            stream=stream,
            on_ping=self._pong,
        )
        self._out: list[bytes] = []
        self._out_size = 0
        self._close_sent = False

    async def run(self) -> None:
        """Play to the end."""
        due = self._ready
        peer = self._peer
        for at, step in enumerate(self._steps):
            while not peer.has(step.need) and not peer.left_before(step.need):
                if not await self._news(self._timeout):
                    break
            if peer.left_before(step.need) or not peer.has(step.need):
                self._leave(self._steps[at:])
                break
            due = max(peer.moment(step.need), due) + self._pauses[at] + step.hold
            if not await self._until(due, step):
                self._leave(self._steps[at:])
                break
            self._do(step, due)
            if self._out_size >= _JOINED and not await self._room():
                self._leave(self._steps[at + 1 :])
                break
        self._flush()
        await self._hear_the_rest()
        self._report.received.bytes += self._connection.received

    # --- waiting -------------------------------------------------------------------------------------------------------

    async def _until(self, due: int, step: Step) -> bool:
        """Wait for a moment, listening; False if the peer left meanwhile."""
        while time.monotonic_ns() < due:
            self._flush()
            await self._connection.wait(due)
            self._hear()
            if self._peer.left_before(step.need):
                return False
        return True

    async def _news(self, seconds: float | None) -> bool:
        """Hear what the peer says next; False if it stays silent for so long, or can say nothing any more."""
        self._flush()
        limit = None if seconds is None else self._peer.heard + self._peer.pause + round(seconds * 1e9)
        while not self._connection.has_news:
            if self._connection.gone or (limit is not None and time.monotonic_ns() >= limit):
                return False
            await self._connection.wait(limit)
        self._hear()
        self._flush()
        return True

    async def _room(self) -> bool:
        """Let the loop turn, and the peer take what was sent; False if it takes nothing for too long."""
        self._flush()
        await asyncio.sleep(0)
        self._hear()
        limit = None if self._timeout is None else time.monotonic_ns() + round(self._timeout * 1e9)
        while self._connection.is_full and not self._connection.gone:
            if limit is not None and time.monotonic_ns() >= limit:
                self._peer.tell(
                    0, "reading", "reading", "that it takes what is sent", f"nothing taken for {self._timeout:g} s"
                )
                return False
            await self._connection.wait(limit)
            self._hear()
        return True

    def _hear(self) -> None:
        self._peer.take(self._connection.take(), leaving=self._connection.finished)

    # --- what we say ---------------------------------------------------------------------------------------------------

    def _do(self, step: Step, due: int) -> None:
        if step.silent:
            return
        act = step.act
        self._peer.heard = max(self._peer.heard, due)  # its silence counts from what it has to answer
        self._report.timing.add(max(time.monotonic_ns() - due, 0))
        if isinstance(act, Frame):
            self._close_sent |= act.opcode == OP_CLOSE
            self._report.sent.frames += 1
            self._report.sent.messages += act.opcode < 8 and step.part == 0
            self._queue(self._encoder.frame(step, act))
        elif isinstance(act, Opaque):
            self._queue(act.raw)
        elif act.how == "fin":
            self._flush()
            self._connection.finish()
        elif act.how == "reset":
            self._flush()
            self._connection.reset()

    def _pong(self, payload: bytes) -> None:
        if not self._close_sent and not self._connection.finished:
            self._queue(_frame(self._connection.dir, OP_PONG, payload))

    def _queue(self, data: bytes) -> None:
        self._out.append(data)
        self._out_size += len(data)

    def _flush(self) -> None:
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self._out_size = 0
            self._report.sent.bytes += len(data)
            self._connection.send(data)

    # --- the end -------------------------------------------------------------------------------------------------------

    def _leave(self, left: list[Step]) -> None:
        """The peer has gone, or is silent: say what was not played, and go as well as it goes."""
        data = [step for step in left if isinstance(step.act, Frame) and step.act.opcode < 8 and not step.silent]
        data = [step for step in data if step.part == 0]
        self._report.abandoned += len(data)
        if not left:
            return
        if not self._peer.left_before(left[0].need):
            self._peer.tell_missing()
        elif data:
            message = data[0].message
            how = "closed" if self._peer.close is not None else "ended the connection"
            wanted = f"{len(data)} message{'s' if len(data) > 1 else ''} of ours before it"
            number = message.number if message else 0
            self._peer.tell(number, "its end", "end", wanted, f"{how} before {_word(message)} was due")
        if self._close_sent or self._connection.gone:
            return
        own = next((step for step in left if isinstance(step.act, Frame) and step.act.opcode == OP_CLOSE), None)
        if own is not None:
            self._do(own, time.monotonic_ns())
        self._echo()
        self._flush()

    def _echo(self) -> None:
        """Answer the peer's close frame, where the script does not."""
        if not self._close_sent and self._peer.close is not None:
            self._queue(_frame(self._connection.dir, OP_CLOSE, self._peer.close.data[:2]))
            self._close_sent = True
            self._flush()

    async def _hear_the_rest(self) -> None:
        """Everything was said: hear what the peer still has to say, until it ends."""
        peer, connection = self._peer, self._connection
        last = self._steps[-1].act if self._steps else None
        mute = isinstance(last, End) and last.how == SILENCE
        while peer.ended_at is None and not connection.gone:
            if not mute:
                self._echo()
            if self._close_sent and peer.close is not None and connection.dir == S2C:
                connection.finish()  # the server is first to end (RFC 6455, 7.1.1)
            if connection.dir == C2S and peer.owed_end is None and peer.is_whole:
                break  # the recording stops here, and so does the client
            closing = connection.finished or self._close_sent
            if not await self._news(_CLOSING if closing and self._timeout is None else self._timeout):
                break
        if connection.has_news:
            self._hear()
        if not peer.is_whole or (peer.owed_end is not None and peer.ended_at is None and not connection.gone):
            peer.tell_missing()


def _word(message: Message | None) -> str:
    """What a message is, for a person."""
    read = read_message(message.json) if message is not None and message.opcode == 1 else None
    return read.type if read is not None else "our message"


def _frame(dir: Dir, opcode: int, payload: bytes) -> bytes:
    """A control frame that no recording holds."""
    mask = os.urandom(4) if dir == C2S else None
    frame = Frame(0, dir, 0, 0x80 | opcode, mask, len(payload), 7, payload)
    return frame_header(frame) + (mask_at(payload, mask, 0) if mask is not None else payload)
