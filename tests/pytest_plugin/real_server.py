"""The real server of these tests: aiohttp in a thread, WebSockets and plain HTTP on one port, never twice the same ids."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid

from aiohttp import web


class RealServer:
    """Answers questions, over WebSockets at any path and over HTTP below /hook. A context manager.

    Attributes:
        heard: a line for each handshake and each request.
        pause: seconds before each answer.
    """

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.pause = 0.0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self._ready.wait()

    def __enter__(self) -> RealServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """From now on nobody is there. May be called again."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_post("/hook/{name}", self._hook)
        app.router.add_get("/{path:.*}", self._talk)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._over.wait()
        await runner.cleanup()

    async def _hook(self, request: web.Request) -> web.Response:
        self.heard.append(f"POST {request.path}")
        body = await request.json()
        return web.json_response({"id": str(uuid.uuid4()), "created": time.time(), "answer": f"heard {body['text']}"})

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        self.heard.append(f"WS {request.path}")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            asked = json.loads(message.data)
            if asked["type"] == "END":
                await socket.close(code=1000)
            else:
                await asyncio.sleep(self.pause)
                answer = {
                    "type": "ANSWER",
                    "id": str(uuid.uuid4()),
                    "created": time.time(),
                    "text": f"{asked['text']}!",
                }
                await socket.send_json(answer)
        return socket
