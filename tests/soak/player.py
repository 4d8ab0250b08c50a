"""One side of one connection: says what the plan says, hears what it must hear, ends as it ends.

Strategy: a protocol of callbacks, the same for both sides. What comes is compared with the plan as it comes, in place; what is left at the end
is a count and, if something was wrong, a sentence.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.relay.raw import RESET

from .plans import CLIENT, NUMBER, SERVER, Plan, plan

BYTE_SECONDS = 0.001  # between single bytes
_FIRST = 65536  # bytes in which the client's number must stand


class Result(NamedTuple):
    """How a connection went for one side: bytes heard, and what was wrong."""

    heard: int
    problem: str | None


class Player(asyncio.Protocol):
    """Plays one side.

    Args:
        seed: of the soak.
        side: CLIENT or SERVER.
        on_over: called once with the number and the result, if the plan is known.
        known: the client's plan; the server learns its own from the first bytes.
    """

    def __init__(self, seed: int, side: str, on_over: Callable[[Player], None], known: Plan | None = None) -> None:
        self._seed = seed
        self._side = side
        self._on_over = on_over
        self.plan: Plan | None = None
        self._first = b""  # heard before the plan was known
        self._heard = 0
        self._turn = 0
        self._busy = False  # a turn is being said bit by bit, or waits for its time
        self._deaf_done = False
        self._ended = False
        self._peer_ended = False
        self.problem: str | None = None
        self.over = asyncio.get_running_loop().create_future()
        if known is not None:
            self._follow(known)

    def _follow(self, known: Plan) -> None:
        other = SERVER if self._side == CLIENT else CLIENT
        self.plan = known
        self._expected = known.said[other]
        self._turns = [turn for turn in known.turns if turn.side == self._side]

    @property
    def result(self) -> Result:
        if self.problem is None and self.plan is not None and self.plan.whole:
            if self._heard < len(self._expected):
                self.problem = f"heard {self._heard} of {len(self._expected)} bytes"
            elif self._turn < len(self._turns):
                self.problem = f"said {self._turn} of {len(self._turns)} turns"
        if self.problem is not None and self.plan is not None:
            self.problem = f"{self._side} speaker of connection {self.plan.number} ({self.plan.kind}): {self.problem}"
        return Result(self._heard, self.problem)

    # --- the transport's words ---------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if self.plan is not None:
            if self.plan.silent:
                asyncio.get_running_loop().call_later(self.plan.linger, self._end, self.plan.ending.how)
            else:
                self._go_on()

    def data_received(self, data: bytes) -> None:
        if self.plan is None:
            self._first += data
            found = re.search(NUMBER, self._first)
            if found is None:
                if len(self._first) > _FIRST:
                    self._transport.abort()
                return
            self._follow(plan(self._seed, int(found[1])))
            data = self._first
        at = self._heard
        if self._expected[at : at + len(data)] != data:
            self.problem = self.problem or f"{len(data)} bytes from byte {at} are not those that were sent"
        self._heard += len(data)
        self._go_on()

    def eof_received(self) -> bool:
        self._peer_ended = True
        if self.plan is None or not self.plan.whole or self.plan.ending.side == self._side:
            self._transport.close()
        else:
            self._go_on()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        if not self.over.done():
            self.over.set_result(None)
            self._on_over(self)

    # --- the plan's words --------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Say what can be said now, and end if it is time to."""
        known = self.plan
        if known is None or self._ended:
            return
        deaf = known.deaf
        if deaf is not None and deaf.side == self._side and not self._deaf_done and self._heard >= deaf.after:
            self._deaf_done = True
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(deaf.seconds, self._listen_again)
        while not self._busy and self._turn < len(self._turns) and self._turns[self._turn].after <= self._heard:
            turn = self._turns[self._turn]
            if turn.pause or turn.step:
                self._busy = True
                asyncio.get_running_loop().call_later(turn.pause, self._say, turn.data, turn.step)
            else:
                self._transport.write(turn.data)
                self._turn += 1
        ending = known.ending
        done = not self._busy and self._turn == len(self._turns) and self._heard >= len(self._expected)
        if ending.side == self._side and (done or (ending.early is not None and self._heard >= ending.early)):
            self._end(ending.how)
        elif done and self._peer_ended:
            self._transport.close()

    def _say(self, data: bytes, step: int) -> None:
        if self._ended:
            return
        self._transport.write(data[: step or len(data)])
        data = data[step:] if step else b""
        if data:
            asyncio.get_running_loop().call_later(BYTE_SECONDS, self._say, data, step)
            return
        self._busy = False
        self._turn += 1
        self._go_on()

    def _listen_again(self) -> None:
        if not self._ended:
            self._transport.resume_reading()

    def _end(self, how: str) -> None:
        if self._ended:
            return
        self._ended = True
        if how == "fin":
            self._transport.write_eof()
        elif how == "close":
            self._transport.close()
        else:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._transport.abort()
