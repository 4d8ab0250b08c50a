"""The clients in front of the relay: play the client's side of every plan, and send its markers. One process, raw TCP under uvloop.

It waits for lines `{"first", "count", "seconds"}`: a lap of connections that begin at random times within so many seconds. When all of them
are over it prints what became of each, and how many markers were taken for each stream.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import Counter
from typing import Any

import uvloop

from .plans import CLIENT, Plan, plan
from .player import Player

AT_ONCE = 250
LIMIT = 60.0  # seconds for one connection


class Lap:
    """Some connections, side by side."""

    def __init__(self, seed: int, port: int, control: int) -> None:
        self._seed = seed
        self._port = port
        self._control = control
        self._gate = asyncio.Semaphore(AT_ONCE)
        self.results: dict[int, tuple[int, str | None]] = {}
        self.marked: Counter[str] = Counter()
        self.problems: list[str] = []

    async def run(self, first: int, count: int, seconds: float) -> None:
        rng = random.Random(f"{self._seed} from {first}")
        async with asyncio.TaskGroup() as tasks:
            for number in range(first, first + count):
                tasks.create_task(self._connect(number, rng.uniform(0, seconds)))

    async def _connect(self, number: int, wait: float) -> None:
        await asyncio.sleep(wait)
        async with self._gate:
            known = plan(self._seed, number)
            marking = asyncio.create_task(self._mark(known))
            player = Player(self._seed, CLIENT, lambda player: None, known)
            try:
                async with asyncio.timeout(LIMIT):
                    await asyncio.get_running_loop().create_connection(lambda: player, "127.0.0.1", self._port)
                    await player.over
            except (OSError, TimeoutError) as error:
                player.problem = f"{type(error).__name__} {error}"
                player._transport.abort()
            self.results[number] = player.result
            await marking

    async def _mark(self, known: Plan) -> None:
        """Some markers at a time, while the connection runs and after."""
        for stream, count in known.marks:
            for start in range(0, count, 7):
                indices = range(start, min(start + 7, count))
                batch = [
                    {"stream_id": stream, "stage": "policy.chunk_in", "index": n, "data": {"soak": known.number}}
                    for n in indices
                ]
                status = await self._post(json.dumps(batch).encode())
                if status == 202:
                    self.marked[stream] += len(batch)
                else:
                    self.problems.append(f"markers were answered with {status}")
                await asyncio.sleep(0.03)

    async def _post(self, body: bytes) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._control)
        writer.write(
            b"POST /v1/markers HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body
        )
        answer = await reader.read()
        writer.close()
        return int(answer.split(b" ", 2)[1]) if answer else 0


async def serve(seed: int, port: int, control: int) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order: dict[str, Any] = json.loads(line)
        lap = Lap(seed, port, control)
        await lap.run(order["first"], order["count"], order["seconds"])
        told = {"results": list(lap.results.items()), "marked": lap.marked, "problems": lap.problems}
        print(json.dumps(told), flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    for name in ("--seed", "--port", "--control"):
        arguments.add_argument(name, type=int, required=True)
    options = arguments.parse_args()
    uvloop.run(serve(options.seed, options.port, options.control))


if __name__ == "__main__":
    main()
