"""What must hold between what was said, what was heard, and what is recorded.

Strategy: the plan of a connection says every byte. So a recording is right if each direction is the plan's to its first byte, as far as the
other side heard and maybe further; and to its last, where the plan was played to its end. A recording is read once: proved exact, cut into
connections, counted. What was checked is forgotten.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from wsproxy.analysis import exactness
from wsproxy.recording.events import Event, Open, Totals
from wsproxy.recording.reader import Recording
from wsproxy.wire.events import Superseding, WireEvent

from .plans import CLIENT, NUMBER, SERVER, plan

Heard = dict[int, tuple[int, str | None]]
PROBLEMS_KEPT = 50


class Ledger:
    """Adds up, and keeps the sentences about what is wrong."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.problems: list[str] = []
        self.connections = 0  # that were played
        self.recordings = 0
        self.frames = 0
        self.bytes = 0
        self.markers = 0
        self.accepted: set[int] = set()  # the relay's numbers of connections, from recordings
        self.kinds: Counter[str] = Counter()
        self._marked: Counter[str] = Counter()
        self._due: dict[tuple[int, str | None], dict[str, int]] = {}  # what was heard, until it is found recorded

    def wrong(self, sentence: str) -> None:
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(sentence)

    def played(self, clients: Heard, servers: Heard, marked: dict[str, int]) -> None:
        """What both sides of some connections say."""
        self.connections += len(clients)
        self._marked.update(marked)
        for number, (heard, problem) in clients.items():
            known = plan(self._seed, number)
            self.kinds[known.kind] += 1
            server_heard, server_problem = servers.pop(number, (0, None))
            for sentence in (problem, server_problem):
                if sentence is not None:
                    self.wrong(sentence)
            if known.whole and not server_heard:
                self.wrong(f"connection {number} ({known.kind}) never came to the server")
            if len(known.parts) == 1:
                (part,) = known.parts
                self._due[number, part] = {CLIENT: server_heard, SERVER: heard}
            elif known.whole:
                for part, said in known.parts.items():
                    self._due[number, part] = {side: len(said[side]) for side in (CLIENT, SERVER)}
        for number in servers:
            self.wrong(f"the server heard of connection {number}, and no client played it")

    def check(self, path: Path) -> None:
        """Read a recording."""
        recording = Recording(path)
        stream = recording.header.stream_id or ""
        own = stream.startswith(("conn-", "http-"))
        found: list[tuple[int, bytes, bytes]] = []
        result = exactness.check(self._cut(recording.events(), found))
        self.recordings += 1
        self.markers += result.markers
        for stretch in result.stretches:
            self.frames += stretch.frames
            self.bytes += stretch.bytes
        for sentence in result.problems:
            self.wrong(f"{path.name}: {sentence}")
        if recording.ending is None or recording.ending.state != "finished":
            self.wrong(f"{path.name}: {recording.ending}")
        if result.gaps:
            self.wrong(f"{path.name}: {len(result.gaps)} gaps")
        if result.markers != self._marked.pop(stream, 0):
            self.wrong(f"{path.name}: {result.markers} markers, and others were sent")
        for conn, up, down in found:
            self._compare(f"{path.name}, connection {conn}", None if own else stream, up, down)

    def _cut(self, events: Iterable[Event], found: list[tuple[int, bytes, bytes]]) -> Iterator[Event]:
        """Pass events on; collect what each connection said."""
        open_: dict[tuple[int, str], tuple[Superseding, list[bytes]]] = {}
        for event in events:
            if isinstance(event, Open):
                self.accepted.add(event.conn)
            elif isinstance(event, WireEvent):
                wire, parts = open_.setdefault((event.conn, event.dir), (Superseding(), []))
                parts += wire.wire_bytes(event)
            elif isinstance(event, Totals):
                said = []
                for side in (CLIENT, SERVER):
                    wire, parts = open_.pop((event.conn, side), (Superseding(), []))
                    said.append(b"".join([*parts, wire.rest()]))
                found.append((event.conn, said[0], said[1]))
            yield event

    def _compare(self, where: str, part: str | None, up: bytes, down: bytes) -> None:
        number = re.search(NUMBER, up[:4096])
        if number is None:
            if up or down:
                self.wrong(f"{where}: {len(up)} and {len(down)} bytes of nobody knows whom")
            return
        known = plan(self._seed, int(number[1]))
        due = self._due.pop((known.number, part), None)
        if due is None or part not in known.parts:
            self.wrong(f"{where}: connection {known.number} ({known.kind}) is not expected here")
            return
        for side, recorded in ((CLIENT, up), (SERVER, down)):
            said = known.parts[part][side]
            if recorded != said and (known.whole or not said.startswith(recorded)):
                self.wrong(
                    f"{where}: {len(recorded)} bytes {side} are recorded of number {known.number} ({known.kind}), "
                    f"{len(said)} were said{'' if said.startswith(recorded) else ', and they differ'}"
                )
            elif len(recorded) < due[side]:
                self.wrong(
                    f"{where}: {len(recorded)} bytes {side} are recorded of number {known.number} ({known.kind}), {due[side]} were heard"
                )

    def settle(self, *, last: bool) -> None:
        """All recordings of what was played are read; but for the exchanges of no stream, until the `last` time."""
        for (number, part), heard in list(self._due.items()):
            if part is None and not last and plan(self._seed, number).kind == "requests":
                continue
            del self._due[number, part]
            if any(heard.values()):
                self.wrong(
                    f"number {number} ({plan(self._seed, number).kind}) has no recording of {part}: heard {heard}"
                )
        for stream, count in self._marked.items():
            self.wrong(f"{count} markers of {stream} are in no recording")
        self._marked.clear()
