"""An upstream to be killed: answers each CHUNK with the same CHUNK, and END with END and a close. Takes its port; prints `listening`.

On SIGTERM it closes its connections with 1001, as the `websockets` library does.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from websockets.asyncio.server import ServerConnection, serve


async def answer(client: ServerConnection) -> None:
    async for message in client:
        said = json.loads(message)
        if said["type"] in ("CHUNK", "END"):
            await client.send(json.dumps(said))
        if said["type"] == "END":
            return


async def main(port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(answer, "127.0.0.1", port, compression=None, ping_interval=None):
        print("listening", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
