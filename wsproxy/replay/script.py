"""A recording as something to play: one script per connection, every step with what it waits for.

Strategy: data and no behaviour; `reading` makes it. Each frame, end and stray byte is a step, in the order of the recording. A step
tells how far the *other* side had come by then (`Need`) and how long after the later of that and its own side's last step it stood
(`delay`): so whoever plays it keeps the causal order whatever the peer's pace, and the recorded pauses. Nothing of the wire is lost: a
step holds the frame as it was (parts joined), beside the message that it is part of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from ..recording.events import Marker
from ..recording.messages import Message
from ..wire.events import OP_CLOSE, Dir, End, Frame, Opaque, Request, Response

Act: TypeAlias = Frame | Opaque | End
SILENCE = "silence"  # the `how` of an end that an edit puts in: say nothing any more, and stay


class Need(NamedTuple):
    """How far the other side has come: data messages, pongs to our pings, its close frame, its end."""

    messages: int = 0
    pongs: int = 0
    close: bool = False
    end: bool = False


@dataclass(slots=True, eq=False)
class Step:
    """One thing that one side did.

    `delay` (nanoseconds) counts from the later of the last thing in `need` and this side's step before. `hold` is a pause that
    somebody asked for, added to it. A `silent` step keeps its time and does nothing. `part` tells which frame of its message it is,
    `sizes` are the payload sizes of all of them. `edited`: the message is not what was recorded, so neither is the frame's payload.
    """

    dir: Dir
    act: Act
    need: Need
    delay: int
    message: Message | None = None
    part: int = 0
    sizes: tuple[int, ...] = ()
    hold: int = 0
    silent: bool = False
    edited: bool = False


@dataclass(slots=True)
class Exchange:
    """A request and its answer; the bodies are as on the wire, chunk framing included.

    `pause` (nanoseconds) is how long the client did nothing before it asked, `delay` how long the server took; `asked` is when the request was
    whole; `omitted` says that bytes of the response's body were not kept; `redacted` names the directions whose body is masked,
    and stored without its content coding.
    """

    number: int
    request: Request
    response: Response | None = None
    request_body: bytes = b""
    response_body: bytes = b""
    pause: int = 0
    delay: int = 0
    omitted: bool = False
    asked: int = 0
    redacted: frozenset[Dir] = frozenset()

    @property
    def target(self) -> str:
        return self.request.target


@dataclass(slots=True)
class Script:
    """One connection: HTTP exchanges, then frames if the last of them was upgraded.

    `after` are the connections that had ended before this one was opened, `delay` (nanoseconds) counts from the last of these, or from
    the opening of the connection before. `rewritten` names the directions in which something was changed, left out or put in.
    """

    conn: int
    stream_id: str | None
    opened: int
    exchanges: list[Exchange] = field(default_factory=list)
    upgrade: Exchange | None = None
    steps: list[Step] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    ended: int | None = None
    foreign: bool = False  # neither HTTP nor WebSocket
    after: tuple[int, ...] = ()
    delay: int = 0
    rewritten: frozenset[Dir] = frozenset()

    def steps_of(self, dir: Dir) -> list[Step]:
        return [step for step in self.steps if step.dir == dir]

    def messages_of(self, dir: Dir) -> list[Message]:
        """Data messages of one side, in the order in which they became whole."""
        return [message for message in self.messages if message.dir == dir and not message.is_control]

    def close_of(self, dir: Dir) -> Message | None:
        """The close frame of one side."""
        return next((m for m in self.messages if m.dir == dir and m.opcode == OP_CLOSE), None)

    def end_of(self, dir: Dir) -> str | None:
        """How one side ended ("fin", "reset" …); None where the recording does not tell."""
        ends = (step.act.how for step in self.steps if step.dir == dir and isinstance(step.act, End))
        return next(ends, None)

    @property
    def playable(self) -> bool:
        return bool(self.exchanges or self.upgrade)


@dataclass(slots=True)
class Scenario:
    """All that one recording gives to play.

    `id` is the stream id as it stands in paths and bodies, None where the recorder made one up (`stream_id`). `notes` are sentences about
    what is not played.
    """

    name: str
    stream_id: str | None
    id: str | None
    scripts: list[Script]
    markers: list[Marker]
    notes: list[str]

    @property
    def exchanges(self) -> list[Exchange]:
        """All requests of all connections."""
        return [
            exchange
            for script in self.scripts
            for exchange in [*script.exchanges, *([script.upgrade] if script.upgrade is not None else [])]
        ]
