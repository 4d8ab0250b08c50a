"""One run of the demo's pipeline with a fault in it: the client's answer, the recording, the logs.

Strategy: a run is a whole pipeline of real processes, asked one question, and ended; what it left is then only read, by as
many tests as like. Runs are made three at a time, because a run mostly waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import wsproxy
from tests.strict import complaints
from wsproxy.demo import HARMLESS, faults
from wsproxy.demo.outcome import Answer
from wsproxy.demo.pipeline import Pipeline
from wsproxy.recording.events import Event, Marker, Open
from wsproxy.recording.messages import Message
from wsproxy.wire.events import C2S, End, Response

HEALTHY = "healthy"
"""The run with nothing wrong."""
AT_ONCE = 3
HANGS_FOR = 2.5
IMPATIENT = ("not-read", "policy-hangs", "slow-judge", "late-frame", "never-polled", "after-close")
"""The faults that are told by the famous bug: the callback gives up. The others must show on a machine that is 100 ms behind, too."""


@dataclass
class Run:
    """What a run left behind."""

    fault: str
    answer: Answer
    recording: wsproxy.Recording
    logs: dict[str, str]

    @cached_property
    def events(self) -> list[Event]:
        return list(self.recording.events())

    @cached_property
    def messages(self) -> list[Message]:
        """All WebSocket messages, both ways, in the order of the recording."""
        return list(self.recording.messages())

    def said(self, dir: str) -> list[str]:
        """What went one way, in words: START, CHUNK, END, ERROR, `close 1000`, `no JSON`."""
        return [words(message) for message in self.messages if message.dir == dir]

    def chunks(self, dir: str) -> list[Message]:
        return [message for message in self.messages if message.dir == dir and words(message) == "CHUNK"]

    def first(self, dir: str, said: str) -> Message:
        return next(message for message in self.messages if message.dir == dir and words(message) == said)

    @property
    def closed(self) -> tuple[str, str] | None:
        """The first close frame: who sent it, and its code."""
        closes = [message for message in self.messages if message.close_code is not None]
        return ("client" if closes[0].dir == C2S else "server", str(closes[0].close_code)) if closes else None

    def markers(self, *stages: str) -> list[Marker]:
        """The markers of these stages (of all, if none is named), in time."""
        found = [event for event in self.events if isinstance(event, Marker) and (not stages or event.stage in stages)]
        return sorted(found, key=lambda marker: marker.t)

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def stream(self) -> int:
        """The connection of the stream; the one before it was the hook's."""
        return int(max(event.conn for event in self.of(Open)))

    def end(self, dir: str) -> str:
        """How one direction of the stream's connection ended."""
        return str(next(event.how for event in self.of(End) if event.dir == dir and event.conn == self.stream))

    @property
    def status(self) -> int:
        """What the upgrade was answered with."""
        return int(next(event.status for event in self.of(Response) if event.conn == self.stream))


def words(message: Message) -> str:
    if message.close_code is not None:
        return f"close {message.close_code}"
    value = message.json
    return str(value["type"]) if isinstance(value, dict) else "no JSON"


def text(message: Message) -> str:
    """The text of the first choice of a CHUNK."""
    return str(message.json["data"]["choices"][0]["delta"].get("content") or "")


async def run(fault: str, out: Path) -> Run:
    """Run the pipeline with this fault in it and ask what brings it out."""
    prompt = HARMLESS if fault == HEALTHY else faults.find(fault).prompt
    row = None if fault == HEALTHY else fault
    async with Pipeline(fault=row, fixed=fault not in IMPATIENT, out=out) as pipeline:
        answer = await pipeline.ask(prompt)
        # A policy that hangs never decides: this is how long it is watched.
        await pipeline.decision(answer.stream_id, timeout=HANGS_FOR if fault == "policy-hangs" else 30)
        logs = {name: pipeline.log(name) for name in pipeline.parts}
    # The parts have ended, and what they had to say is in the recording.
    assert not complaints("\n".join(logs.values()))
    return Run(fault, answer, wsproxy.open(answer.stream_id, out), logs)


def run_all(names: Iterable[str], folder: Path) -> Callable[[str], Run]:
    """Run them all; gives what finds a run by its fault, or raises what it raised."""
    runs = asyncio.run(_run_all(list(names), folder))

    def find(fault: str) -> Run:
        found = runs[fault]
        if isinstance(found, BaseException):
            raise found
        return found

    return find


async def _run_all(names: list[str], folder: Path) -> dict[str, Run | BaseException]:
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> Run:
        async with at_once:
            return await run(name, folder / name)

    return dict(zip(names, await asyncio.gather(*map(one, names), return_exceptions=True), strict=True))
