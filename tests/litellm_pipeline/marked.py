"""The streams of a hooked bed: the client's answer, and what markers and frames tell of it.

Strategy: all of a bed's questions are asked once, one after the other, and what they left is then only read, by as
many tests as like: a recording is whole a second after its last marker, and that second is waited for once. A stage
is a list of sightings, a chunk with its time and index, wherever it was seen: markers and messages are read alike, so
that a test can walk a chunk from one to the next. Which stages there are depends on the hooks: `NO_CODE` and
`CALL_SITES` are the way of a chunk with either.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import wsproxy
from wsproxy.analysis.journey.chunks import unwrap
from wsproxy.recording.events import Marker
from wsproxy.wire.events import C2S, S2C

from .bed import Answer, Bed, Question, wsproxy_command
from .questions import (
    BLOCK_DELIVERED,
    BLOCK_LOST,
    CHUNK_GARBLED,
    CHUNK_INCOMPLETE,
    LONG,
    PASSED,
    POLICY_FAILS,
    SHOUTED,
    TOOL_ALLOWED,
)

TEXT_FRAME = 0x1
WIRES = {"wire.c2s": C2S, "wire.s2c": S2C}


class Way(NamedTuple):
    """The stages of a chunk in the order in which it passes them: to the policy, and from there to the client.

    `ends` are the markers that come last, `failed` those of a stream whose policy raised, `whole` those of an answer in one
    piece.
    """

    up: tuple[str, ...]
    down: tuple[str, ...]
    ends: tuple[str, ...]
    failed: tuple[str, ...]
    whole: tuple[str, ...]


NO_CODE = Way(
    up=("callback.backend_chunk", "wire.c2s", "endpoint.chunk_in", "policy.chunk_in"),
    down=("policy.chunk_out", "endpoint.chunk_out", "wire.s2c", "client.to_client", "callback.yielded"),
    ends=("callback.completed", "policy.end"),
    failed=("callback.completed", "policy.end", "endpoint.error"),
    whole=("policy.end",),
)
# The hook before the call is instrumented too, and so completes as well.
CALL_SITES = Way(
    up=("callback.backend_chunk", "ws.sent", "wire.c2s", "endpoint.chunk_in", "policy.chunk_in"),
    down=(
        *("policy.chunk_out", "endpoint.chunk_out", "wire.s2c", "ws.received"),
        *("client.control_in", "client.normalized", "client.to_client", "callback.yielded"),
    ),
    ends=("callback.completed", "callback.completed", "endpoint.end"),
    failed=("callback.completed", "callback.completed", "endpoint.error"),
    whole=("callback.completed", "callback.completed", "policy.end"),
)


class Sighting(NamedTuple):
    """A chunk at a stage. `position` is its index in a marker, None on the wire."""

    t: int
    position: int | None
    chunk: dict[str, Any]


@dataclass(frozen=True)
class Stream:
    """One stream, after it is over and its last marker is there."""

    answer: Answer
    recording: wsproxy.Recording

    @cached_property
    def all_markers(self) -> list[Marker]:
        return sorted(self.recording.markers(), key=lambda marker: marker.t)

    def markers(self, *stages: str) -> list[Marker]:
        """The markers of these stages, in time."""
        return [marker for marker in self.all_markers if marker.stage in stages]

    def one(self, stage: str) -> Marker:
        """The only marker of a stage."""
        (marker,) = self.markers(stage)
        return marker

    def said(self, dir: str) -> list[dict[str, Any]]:
        """The messages that went one way, parsed."""
        return [m.json for m in self.recording.messages() if m.dir == dir and m.opcode == TEXT_FRAME]

    def at(self, stage: str) -> list[Sighting]:
        """Every chunk at a stage, in time."""
        if stage in WIRES:
            messages = [m for m in self.recording.messages() if m.dir == WIRES[stage] and m.opcode == TEXT_FRAME]
            return [Sighting(m.t, None, m.json["data"]) for m in messages if m.json["type"] == "CHUNK"]
        found = [(marker, unwrap(marker.data)) for marker in self.markers(stage)]
        return [Sighting(marker.t, marker.index, chunk) for marker, chunk in found if chunk is not None]


class Asked(NamedTuple):
    """How a stream is asked for: a question, in one piece or not, to be left after so many lines or not."""

    question: Question
    streamed: bool = True
    leave_after: int | None = None


ASKED = {
    "passed": Asked(PASSED),
    "shouted": Asked(SHOUTED),
    "tool allowed": Asked(TOOL_ALLOWED),
    "block delivered": Asked(BLOCK_DELIVERED),
    "block lost": Asked(BLOCK_LOST),
    "policy fails": Asked(POLICY_FAILS),
    "chunk incomplete": Asked(CHUNK_INCOMPLETE),
    "chunk garbled": Asked(CHUNK_GARBLED),
    "client leaves": Asked(LONG, leave_after=10),
    "one piece": Asked(SHOUTED, streamed=False),
}


class Streams:
    """What a hooked bed was asked, by name."""

    def __init__(self, bed: Bed, way: Way, made: dict[str, Stream | BaseException]) -> None:
        self.bed = bed
        self.way = way
        self._made = made

    def __getitem__(self, name: str) -> Stream:
        """The stream; or raises what came of asking for it."""
        made = self._made[name]
        if isinstance(made, BaseException):
            raise made
        return made


async def ask_all(bed: Bed, way: Way) -> Streams:
    """Ask everything in `ASKED`."""

    async def recorded(answer: Answer, ends: tuple[str, ...]) -> Stream:
        return Stream(answer, await bed.recording(answer.stream_id, marked=ends))

    recordings = []
    for one in ASKED.values():
        answer = await bed.ask(one.question, stream=one.streamed, leave_after=one.leave_after)
        ends = way.failed if one.question is POLICY_FAILS else way.ends if one.streamed else way.whole
        recordings.append(recorded(answer, ends))
    made = await asyncio.gather(*recordings, return_exceptions=True)
    return Streams(bed, way, dict(zip(ASKED, made, strict=True)))


async def told(command: str, recording: wsproxy.Recording, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """What a command of wsproxy says of a recording in JSON Lines, and its exit status."""
    status, printed = await wsproxy_command(command, str(recording.path), *options, "--json")
    return status, [json.loads(line) for line in printed.splitlines()]
