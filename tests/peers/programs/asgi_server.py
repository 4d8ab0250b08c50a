"""One ASGI application, under hypercorn (which speaks by wsproto) or uvicorn (with the implementation that is named).

    asgi_server.py hypercorn
    asgi_server.py uvicorn websockets|wsproto|websockets-sansio

ASGI knows neither pings nor fragments. Of a client's close frame hypercorn tells nothing, and uvicorn nothing reliable once we have closed.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

from conversation import CHALLENGE, COOKIE, REFUSAL, Heard, chosen, until_told_to_stop
from news import News

news = News()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await websocket(scope, receive, send)
    elif scope["type"] == "http":
        await http(scope, receive, send)
    else:
        await lifespan(receive, send)


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def websocket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
    path = scope["path"]
    query = scope["query_string"].decode()
    target = f"{path}?{query}" if query else path
    assert (await receive())["type"] == "websocket.connect"
    if path.startswith("/redirect/"):
        await refuse(send, 307, [(b"location", target.replace("/redirect/", "/stream/", 1).encode())], b"")
        return
    if path.startswith("/private/") and "authorization" not in headers:
        await refuse(send, 401, [(b"www-authenticate", CHALLENGE.encode())], REFUSAL)
        return
    subprotocol = chosen(scope["subprotocols"])
    accept = {"type": "websocket.accept", "subprotocol": subprotocol, "headers": [(b"set-cookie", COOKIE.encode())]}
    await send(accept)
    heard = Heard(target, subprotocol=subprotocol, cookie=headers.get("cookie"))
    knows = sys.argv[1] != "hypercorn"
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            heard.closed(*((message["code"], message.get("reason")) if knows else (None, None)))
            return
        text = message.get("text")
        what, value = heard.answer(message["bytes"] if text is None else text)
        if what == "close":
            knows = False
            await send({"type": "websocket.close", "code": value[0], "reason": value[1]})
        elif what != "ping":
            key = "bytes" if isinstance(value, bytes) else "text"
            await send({"type": "websocket.send", key: value if isinstance(value, bytes) else "".join(value)})


async def refuse(send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def http(scope: dict[str, Any], receive: Any, send: Any) -> None:
    path = scope["path"]

    async def start(status: int, kind: bytes) -> None:
        headers = [(b"content-type", kind), (b"access-control-allow-origin", b"*"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def body(data: bytes = b"", *, more: bool = False) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": more})

    if path.startswith("/poll/"):
        item = await news.item(int(path.rpartition("/")[2]))
        await start(200, b"text/plain; charset=utf-8")
        await body(item.encode())
    elif path == "/events":
        await start(200, b"text/event-stream")
        async for event in news.events():
            await body(event, more=True)
        await body()
    else:
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        await news.tell(b"".join(parts).decode())
        await start(204, b"text/plain")
        await body()


async def hypercorn(listener: socket.socket) -> None:
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.graceful_timeout = 0
    stop = asyncio.create_task(until_told_to_stop(listener.getsockname()[1]))
    await serve(app, config, shutdown_trigger=lambda: stop)  # type: ignore[arg-type,return-value]


async def uvicorn(listener: socket.socket, implementation: str) -> None:
    import uvicorn

    config = uvicorn.Config(app, ws=implementation, log_level="warning", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await until_told_to_stop(listener.getsockname()[1])
    server.should_exit = True
    await serving


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    asyncio.run(hypercorn(listener) if sys.argv[1] == "hypercorn" else uvicorn(listener, sys.argv[2]))


main()
