"""The server of picows."""

from __future__ import annotations

import asyncio
from typing import Any

from conversation import CHALLENGE, COOKIE, REFUSAL, Data, Heard, asked_protocols, chosen, until_told_to_stop
from picows import WSTransport, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server
from picows_frames import Messages, send_close, send_parts


class Listener(Messages):
    def __init__(self, heard: Heard) -> None:
        super().__init__()
        self._heard = heard

    def on_message(self, transport: WSTransport, data: Data) -> None:
        what, value = self._heard.answer(data)
        if what == "ping":
            transport.send_ping(value)
        elif what == "close":
            send_close(transport, value[0], value[1].encode())
        else:
            send_parts(transport, value if isinstance(value, list) else [value])

    def on_close(self, code: int, reason: str) -> None:
        self._heard.closed(code, reason)


def talk(request: WSUpgradeRequest) -> Any:
    target = request.path.decode()
    if target.startswith("/redirect/"):
        location = target.replace("/redirect/", "/stream/", 1)
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_redirect_response(307, location), None)
    if target.startswith("/private/") and "Authorization" not in request.headers:
        refusal = WSUpgradeResponse.create_error_response(401, REFUSAL, {"WWW-Authenticate": CHALLENGE})
        return WSUpgradeResponseWithListener(refusal, None)
    subprotocol = chosen(asked_protocols(request.headers.get("Sec-WebSocket-Protocol")))
    headers = {"Set-Cookie": COOKIE}
    if subprotocol:
        headers["Sec-WebSocket-Protocol"] = subprotocol
    heard = Heard(target, subprotocol=subprotocol, cookie=request.headers.get("Cookie"))
    return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(headers), Listener(heard))


async def main() -> None:
    server = await ws_create_server(talk, "127.0.0.1", 0)
    await until_told_to_stop(server.sockets[0].getsockname()[1])


asyncio.run(main())
