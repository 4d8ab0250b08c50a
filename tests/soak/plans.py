"""What the peers of a soak say and do: one plan per connection.

Strategy: a plan follows from the seed and the connection's number alone, and holds every byte of both directions. So the client, the server and
the checker make it each for itself, no payload travels between them, and what a peer hears is compared with what it must hear as it comes. A
client tells its number in the first bytes (`n=…`); the server plays the other side of that plan, whatever protocol it is.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from tests.relay.raw import (
    ACCEPTED,
    BINARY,
    PING,
    TEXT,
    chunked,
    close_frame,
    frame,
    request,
    response,
    upgrade,
)

CLIENT, SERVER = "c2s", "s2c"  # who speaks, named as its direction is
LAP = 50  # connections among which stream ids come again
NUMBER = rb"[?& ]n=(\d+)[& ]"


class Turn(NamedTuple):
    """One thing said.

    Attributes:
        after: bytes that the speaker must have heard before.
        pause: seconds before it.
        step: bytes of one write; 0 writes all at once.
    """

    side: str
    data: bytes
    after: int
    pause: float = 0.0
    step: int = 0


class Ending(NamedTuple):
    """Who ends the connection and how: "fin" (and listens on), "close", "reset"; `early` after so many bytes heard, whatever is still to be said."""

    side: str
    how: str
    early: int | None = None


class Deaf(NamedTuple):
    """Who reads nothing, after how many bytes heard, for how many seconds."""

    side: str
    after: int
    seconds: float


@dataclass
class Plan:
    """One connection.

    Attributes:
        said: all bytes of each direction.
        parts: the same by recording: a stream's id, or None for those that carry none.
        marks: (stream id, count) of the markers that are sent meanwhile.
        silent: the client never says a thing, so the server never learns the number.
    """

    number: int
    kind: str = ""
    turns: list[Turn] = field(default_factory=list)
    ending: Ending = field(default_factory=lambda: Ending(CLIENT, "close"))
    deaf: Deaf | None = None
    said: dict[str, bytearray] = field(default_factory=lambda: {CLIENT: bytearray(), SERVER: bytearray()})
    parts: dict[str | None, dict[str, bytearray]] = field(default_factory=dict)
    marks: list[tuple[str, int]] = field(default_factory=list)
    silent: bool = False
    linger: float = 0.0  # seconds for which a silent client stays

    @property
    def whole(self) -> bool:
        """Whether all of it is said and heard before it ends."""
        return self.ending.early is None and not self.silent

    def say(
        self, side: str, data: bytes, part: str | None, *, wait: bool = True, pause: float = 0.0, step: int = 0
    ) -> None:
        """Add a turn; `wait`: for all that the other side has said before it."""
        heard = len(self.said[SERVER if side == CLIENT else CLIENT]) if wait else 0
        self.turns.append(Turn(side, data, heard, pause, step))
        self.said[side] += data
        self.parts.setdefault(part, {CLIENT: bytearray(), SERVER: bytearray()})[side] += data


class Frames:
    """Ready-made frames of both directions; a plan picks among them, which costs less than making them."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"frames of {seed}")
        tiny = [rng.randrange(126) for _ in range(300)]
        middle = [rng.randrange(126, 5000) for _ in range(100)]
        large = [*(rng.randrange(60_000, 300_000) for _ in range(6)), 65_535, 65_536]
        huge = [1 << 20, 3 << 20]
        self.of: dict[tuple[str, str], list[bytes]] = {}
        for name, sizes in (("tiny", tiny), ("middle", middle), ("large", large), ("huge", huge)):
            payloads = [rng.randbytes(size) for size in sizes]
            self.of[CLIENT, name] = [frame(p, rng.choice((TEXT, BINARY)), mask=rng.randbytes(4)) for p in payloads]
            self.of[SERVER, name] = [frame(p, rng.choice((TEXT, BINARY))) for p in payloads]
        self.fragments = {
            side: [
                frame(p[:90], BINARY, fin=False, mask=mask)
                + frame(p[90:91], 0, fin=False, mask=mask)
                + frame(b"in between", PING, mask=mask)
                + frame(p[91:], 0, mask=mask)
                for p in (rng.randbytes(size) for size in (91, 200, 70_000))
            ]
            for side, mask in ((CLIENT, b"\x01\x80\xff\x7f"), (SERVER, None))
        }


@cache
def frames_of(seed: int) -> Frames:
    return Frames(seed)


@cache
def _kinds() -> tuple[list[Callable[[_Maker], None]], list[int]]:
    table: dict[Callable[[_Maker], None], int] = {
        _Maker.talk: 24,
        _Maker.burst: 14,
        _Maker.large: 6,
        _Maker.deaf: 4,
        _Maker.trickle: 5,
        _Maker.paced: 6,
        _Maker.requests: 10,
        _Maker.silent: 5,
        _Maker.refused: 6,
        _Maker.unanswered: 3,
        _Maker.garbage: 5,
        _Maker.cut: 12,
    }
    return list(table), list(table.values())


def plan(seed: int, number: int) -> Plan:
    """The plan of one connection."""
    maker = _Maker(seed, number)
    kinds, weights = _kinds()
    kind = maker.rng.choices(kinds, weights)[0]
    maker.plan.kind = kind.__name__
    kind(maker)
    if maker.rng.random() < 0.15:
        maker.marks()
    return maker.plan


class _Maker:
    """Makes one plan: a method per kind."""

    def __init__(self, seed: int, number: int) -> None:
        self.seed = seed
        self.rng = random.Random(f"{seed} {number}")
        self.frames = frames_of(seed)
        self.plan = Plan(number)
        first = number - number % LAP
        again = self.rng.random() < 0.1
        self.stream = f"s{seed}n{self.rng.randrange(first, number + 1) if again else number}"

    def pick(self, side: str, size: str, count: int = 1) -> bytes:
        return b"".join(self.rng.choices(self.frames.of[side, size], k=count))

    def opened(self, *, step: int = 0) -> None:
        """The handshake of a WebSocket; one in eight tells no stream."""
        target, part = f"/stream/{self.stream}?n={self.plan.number}&", self.stream or None
        if self.rng.random() < 0.12:
            target, part = f"/live?n={self.plan.number}&", None
        self.part = part
        pause = self.rng.choice((0.0, 0.0, 0.05, 0.3))
        self.plan.say(CLIENT, upgrade(target), part, step=step, pause=pause if step == 0 else 0.0)
        self.plan.say(SERVER, ACCEPTED, part)

    def says(self, side: str, data: bytes, *, wait: bool = True, pause: float = 0.0, step: int = 0) -> None:
        self.plan.say(side, data, self.part, wait=wait, pause=pause, step=step)

    def ends(self) -> None:
        """An end after everything: a close handshake or none, FINs or a reset."""
        first, second = self.rng.choice(((CLIENT, SERVER), (SERVER, CLIENT)))
        how = self.rng.choice(("fin", "fin", "close", "close", "reset"))
        if self.rng.random() < 0.6:
            code = self.rng.choice((1000, 1001, 1011))
            for side in (first, second):
                self.says(side, close_frame(code, "bye", mask=b"mask" if side == CLIENT else None))
        else:
            self.says(first, self.pick(first, "tiny"))
            self.says(second, self.pick(second, "tiny"))
        # Who spoke last has been heard when the other one ends.
        self.plan.ending = Ending(first, how)

    # --- WebSockets --------------------------------------------------------------------------------------------------

    def talk(self) -> None:
        """Questions and answers, one after the other."""
        self.opened()
        for _ in range(self.rng.randrange(12)):
            self.says(CLIENT, self.pick(CLIENT, self.rng.choice(("tiny", "middle"))))
            self.says(SERVER, self.pick(SERVER, self.rng.choice(("tiny", "middle"))))
        self.ends()

    def burst(self) -> None:
        """Thousands of small frames, in blocks; both sides at once half of the time."""
        self.opened()
        wait = self.rng.random() < 0.5
        for _ in range(self.rng.randrange(2, 30)):
            self.says(CLIENT, self.pick(CLIENT, "tiny", self.rng.randrange(1, 80)), wait=wait)
            self.says(SERVER, self.pick(SERVER, "tiny", self.rng.randrange(1, 80)), wait=wait)
        self.ends()

    def large(self) -> None:
        """Large frames, and messages in fragments with a ping between them."""
        self.opened()
        for _ in range(self.rng.randrange(1, 4)):
            size = self.rng.choices(("large", "huge"), (6, 1))[0]
            side = self.rng.choice((CLIENT, SERVER))
            self.says(side, self.pick(side, size))
            for each in (CLIENT, SERVER):
                self.says(each, self.rng.choice(self.frames.fragments[each]))
        self.ends()

    def deaf(self) -> None:
        """One side reads nothing for a while, and the other one goes on sending."""
        self.opened()
        side, other = self.rng.choice(((CLIENT, SERVER), (SERVER, CLIENT)))
        heard = len(self.plan.said[other])
        self.plan.deaf = Deaf(side, heard, self.rng.uniform(0.2, 1.5))
        for _ in range(self.rng.randrange(1, 6)):
            self.says(other, self.pick(other, "large", 4), wait=False)
            self.says(side, self.pick(side, "tiny", 5), wait=False)
        self.ends()

    def trickle(self) -> None:
        """One byte at a time."""
        self.opened(step=1)
        side = self.rng.choice((CLIENT, SERVER))
        self.says(side, self.pick(side, "tiny", self.rng.randrange(1, 4)), step=1)
        self.ends()

    def paced(self) -> None:
        """A slow stream: some seconds of chunks, as a model speaks."""
        self.opened()
        for _ in range(self.rng.randrange(5, 40)):
            self.says(CLIENT, self.pick(CLIENT, "middle"), pause=self.rng.uniform(0.01, 0.1))
            self.says(SERVER, self.pick(SERVER, "middle"))
        self.ends()

    def cut(self) -> None:
        """Somebody resets or closes in the middle."""
        self.opened()
        for _ in range(self.rng.randrange(1, 6)):
            for side in (CLIENT, SERVER):
                size, count = self.rng.choice((("tiny", 20), ("middle", 3), ("large", 1)))
                self.says(side, self.pick(side, size, count), wait=False)
        side = self.rng.choice((CLIENT, SERVER))
        heard = self.plan.said[SERVER if side == CLIENT else CLIENT]
        least = 0 if side == CLIENT else len(self.plan.turns[0].data)
        self.plan.ending = Ending(
            side, self.rng.choice(("reset", "close")), self.rng.choice((least, self.rng.randrange(least, len(heard))))
        )

    # --- what is no WebSocket, or becomes none -----------------------------------------------------------------------

    def requests(self) -> None:
        """Plain HTTP, keep-alive, with and without a stream's id in a header or a body."""
        for exchange in range(self.rng.randrange(1, 12)):
            target = f"/hook?n={self.plan.number}&x={exchange}"
            place, part = self.rng.choice(("", "", "header", "body")), f"{self.stream}x{exchange}"
            body = self.rng.randbytes(self.rng.randrange(3000)) if self.rng.random() < 0.5 else b""
            fields: tuple[str, ...] = ()
            if place == "header":
                fields = (f"x-litellm-call-id: {part}",)
            elif place == "body":
                fields = ("Content-Type: application/json",)
                body = json.dumps({"data": {"litellm_call_id": part, "text": "x" * len(body)}}).encode()
            home = part if place else None
            method = "POST" if body else "GET"
            self.plan.say(CLIENT, request(method, target, *fields, body=body), home)
            if self.rng.random() < 0.3:
                pieces = [self.rng.randbytes(self.rng.randrange(1, 900)) for _ in range(3)]
                answer = response("200 OK", "Transfer-Encoding: chunked", body=chunked(*pieces))
            else:
                answer = response("200 OK", body=self.rng.randbytes(self.rng.randrange(2000)))
            self.plan.say(SERVER, answer, home)
        self.plan.ending = Ending(self.rng.choice((CLIENT, SERVER)), self.rng.choice(("fin", "close")))
        if self.plan.ending.side == SERVER:  # it must know that its answer was heard
            target = f"/last?n={self.plan.number}&"
            self.plan.say(CLIENT, request("GET", target), None)
            self.plan.say(SERVER, response("200 OK"), None)
            self.plan.ending = Ending(CLIENT, "close")

    def silent(self) -> None:
        """A connection that says nothing."""
        self.plan.silent = True
        self.plan.linger = self.rng.choice((0.0, 0.0, self.rng.uniform(0, 2)))
        self.plan.ending = Ending(CLIENT, self.rng.choice(("fin", "close", "reset")))

    def refused(self) -> None:
        """A handshake that is answered with no, or with nonsense."""
        self.part = self.stream
        self.plan.say(CLIENT, upgrade(f"/stream/{self.stream}?n={self.plan.number}&"), self.part)
        answer = self.rng.choice(
            (
                response("403 Forbidden", body=b"no"),
                response("426 Upgrade Required", body=b"other"),
                response("500 Internal Server Error", "Connection: close", body=b"x" * 3000),
                b"220 this is not HTTP at all\r\n",
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n" + b"\xff" * 50,
            )
        )
        self.plan.say(SERVER, answer, self.part)
        self.plan.ending = Ending(CLIENT, self.rng.choice(("fin", "close", "reset")))

    def unanswered(self) -> None:
        """The server takes the handshake and closes, or resets, without a word."""
        self.part = self.stream
        self.plan.say(CLIENT, upgrade(f"/stream/{self.stream}?n={self.plan.number}&"), self.part)
        head = len(self.plan.said[CLIENT])
        self.plan.ending = Ending(SERVER, self.rng.choice(("close", "reset")), head)

    def garbage(self) -> None:
        """Bytes that are no HTTP; or no frames, where frames are due."""
        if self.rng.random() < 0.5:
            self.part = None
            self.plan.say(CLIENT, b"\x16\x03\x01 n=%d " % self.plan.number + self.rng.randbytes(600), self.part)
        else:
            self.opened()
            self.says(CLIENT, self.rng.randbytes(self.rng.randrange(1, 4000)))
        self.says(SERVER, self.rng.randbytes(self.rng.randrange(1, 4000)))
        self.plan.ending = Ending(CLIENT, self.rng.choice(("fin", "close", "reset")))

    def marks(self) -> None:
        """Markers of this stream, and of one that never opens."""
        if self.plan.parts and self.stream in self.plan.parts:
            self.plan.marks.append((self.stream, self.rng.randrange(1, 30)))
        if self.rng.random() < 0.2:
            self.plan.marks.append((f"never-{self.seed}-{self.plan.number}", self.rng.randrange(1, 5)))
