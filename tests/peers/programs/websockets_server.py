"""The server of `websockets`: `websockets.serve`, which is the old implementation before version 14 and the new one since.

What it is set to agree to of permessage-deflate stands in the query of the target.
"""

from __future__ import annotations

import asyncio
import http
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import websockets
from conversation import CHALLENGE, COOKIE, REFUSAL, SUBPROTOCOLS, Heard, chosen, until_told_to_stop
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

OLD = int(websockets.__version__.split(".")[0]) < 14


def refusal(target: str, headers: Any) -> tuple[int, list[tuple[str, str]], bytes] | None:
    path = urlsplit(target).path
    if path.startswith("/redirect/"):
        return 307, [("Location", target.replace("/redirect/", "/stream/", 1))], b""
    if path.startswith("/private/") and "Authorization" not in headers:
        return 401, [("WWW-Authenticate", CHALLENGE)], REFUSAL
    return None


def set_deflate(protocol: Any, target: str) -> None:
    wanted = parse_qs(urlsplit(target).query).get("deflate")
    if wanted:
        protocol.available_extensions[:] = [ServerPerMessageDeflateFactory(**json.loads(wanted[0]))]


async def talk(connection: Any) -> None:
    headers = connection.request_headers if OLD else connection.request.headers
    target = connection.path if OLD else connection.request.path
    heard = Heard(target, subprotocol=connection.subprotocol, cookie=headers.get("Cookie"))
    try:
        async for data in connection:
            what, value = heard.answer(data)
            if what == "say":
                await connection.send(value)
            elif what == "say in parts":
                await connection.send(iter(value))
            elif what == "ping":
                await (await connection.ping(value))
            else:
                await connection.close(*value)
    except websockets.exceptions.ConnectionClosed:
        pass
    close = connection.close_rcvd if OLD else connection.protocol.close_rcvd
    if close is not None:
        heard.closed(close.code, close.reason)


async def main() -> None:
    options: dict[str, Any]
    if OLD:

        class Protocol(websockets.WebSocketServerProtocol):  # type: ignore[misc,name-defined]
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.available_extensions = list(self.available_extensions)  # the others share theirs

            async def process_request(self, path: str, request_headers: Any) -> Any:
                set_deflate(self, path)
                found = refusal(path, request_headers)
                return found and (http.HTTPStatus(found[0]), *found[1:])

        options = {"create_protocol": Protocol, "extra_headers": [("Set-Cookie", COOKIE)]}
    else:

        def process_request(connection: Any, request: Any) -> Any:
            connection.protocol.available_extensions = list(connection.protocol.available_extensions)
            set_deflate(connection.protocol, request.path)
            found = refusal(request.path, request.headers)
            if found is None:
                return None
            answer = connection.respond(http.HTTPStatus(found[0]), found[2].decode())
            answer.headers.update(found[1])
            return answer

        def process_response(connection: Any, request: Any, response: Any) -> None:
            response.headers["Set-Cookie"] = COOKIE

        def select_subprotocol(connection: Any, asked: Any) -> str | None:
            return chosen(asked)  # the library's own way refuses a client that asks for none

        options = {
            "process_request": process_request,
            "process_response": process_response,
            "select_subprotocol": select_subprotocol,
        }
    async with websockets.serve(talk, "127.0.0.1", 0, max_size=None, subprotocols=SUBPROTOCOLS, **options) as server:
        await until_told_to_stop(next(iter(server.sockets)).getsockname()[1])


asyncio.run(main())
