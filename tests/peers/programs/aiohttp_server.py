"""The server of aiohttp; beside the WebSocket it has long-polling and server-sent events."""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web
from conversation import CHALLENGE, COOKIE, REFUSAL, SUBPROTOCOLS, Heard, until_told_to_stop
from news import News

news = News()


async def talk(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=0, protocols=SUBPROTOCOLS)
    socket.headers["Set-Cookie"] = COOKIE
    await socket.prepare(request)
    heard = Heard(request.path_qs, subprotocol=socket.ws_protocol, cookie=request.headers.get("Cookie"))
    while True:
        message = await socket.receive()
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            break
        what, value = heard.answer(message.data)
        if what == "ping":
            await socket.ping(value)
        elif what == "close":
            await socket.close(code=value[0], message=value[1].encode())
            heard.closed(socket.close_code, None)
            return socket
        elif isinstance(value, bytes):
            await socket.send_bytes(value)
        else:
            await socket.send_str("".join(value))
    if message.type == WSMsgType.CLOSE:
        heard.closed(message.data or 1005, message.extra)  # 0 is its word for a close frame without a code
    return socket


async def redirect(request: web.Request) -> web.Response:
    raise web.HTTPTemporaryRedirect(request.path_qs.replace("/redirect/", "/stream/", 1))


async def private(request: web.Request) -> web.StreamResponse:
    if "Authorization" not in request.headers:
        return web.Response(status=401, headers={"WWW-Authenticate": CHALLENGE}, body=REFUSAL)
    return await talk(request)


async def poll(request: web.Request) -> web.Response:
    return web.Response(text=await news.item(int(request.match_info["number"])))


async def events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
    )
    await response.prepare(request)
    async for event in news.events():
        await response.write(event)
    return response


async def tell(request: web.Request) -> web.Response:
    await news.tell(await request.text())
    return web.Response(status=204)


async def main() -> None:
    app = web.Application()
    app.add_routes(
        [
            web.get("/stream/{id}", talk),
            web.get("/redirect/{id}", redirect),
            web.get("/private/{id}", private),
            web.get("/poll/{number}", poll),
            web.get("/events", events),
            web.post("/tell", tell),
        ]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await until_told_to_stop(runner.addresses[0][1])
    await runner.cleanup()


asyncio.run(main())
