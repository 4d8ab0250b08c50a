"""The server behind the relay: plays the server's side of every plan. One process, raw TCP under uvloop.

It prints its port, then waits for lines: at each it lets its connections end and prints what became of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

import uvloop

from .plans import SERVER
from .player import Player

QUIET_SECONDS = 20.0  # for connections to end, once the relay has none


async def serve(seed: int) -> None:
    loop = asyncio.get_running_loop()
    results: dict[int, tuple[int, str | None]] = {}
    players: set[Player] = set()

    def made() -> Player:
        player = Player(seed, SERVER, over)
        players.add(player)
        return player

    def over(player: Player) -> None:
        players.discard(player)
        if player.plan is not None:
            results[player.plan.number] = player.result

    server = await loop.create_server(made, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        deadline = loop.time() + QUIET_SECONDS
        while players and loop.time() < deadline:
            await asyncio.wait([player.over for player in players], timeout=QUIET_SECONDS)
        left = [player.plan and player.plan.number for player in players]
        print(json.dumps({"results": list(results.items()), "left": left}), flush=True)
        results.clear()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, required=True)
    uvloop.run(serve(arguments.parse_args().seed))


if __name__ == "__main__":
    main()
