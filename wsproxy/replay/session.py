"""One connection of a client that is served: its requests, one after the other, answered as recorded.

Strategy: requests are read with the project's tap. A request to upgrade gets a recorded connection (`places` says which), the recorded
response with the key's answer computed anew, and a `Player`; any other request gets a recorded exchange, or 404 with what is served.
Where a client names another stream id than the recording, everything that is said carries that one.
"""

from __future__ import annotations

import json
import time

from ..wire import http1
from ..wire.events import S2C, Body, End, Opaque, Request, Response
from .codec import Encoder, agreement, answer_to
from .connection import Connection
from .handshake import accept_for, content_of, field, rewritten, with_body
from .identities import renamed
from .matching import Judge
from .mentions import Renaming
from .options import Options
from .places import Answer, Places, Served
from .player import Player
from .report import Mismatch, Report

_BODY_LIMIT = 64 << 20
_HANDSHAKE = ("sec-websocket-protocol", "sec-websocket-version")  # fields of the request that are compared


class Session:
    """One connection of a client.

    Args:
        since: when serving began (nanoseconds, monotonic).
    """

    def __init__(self, connection: Connection, places: Places, options: Options, report: Report, since: int) -> None:
        self._connection = connection
        self._places = places
        self._options = options
        self._report = report
        self._since = since
        self._stream = ""

    async def run(self) -> None:
        try:
            while True:
                asked = await self._request()
                if asked is None or not await self._respond(*asked):
                    return
                if self._connection.share is not None:
                    self._connection.share.hold()
        finally:
            self._connection.close(self._stream or "replay")

    async def _request(self) -> tuple[Request, bytes, int] | None:
        """The next request with its body, and when it was whole; None at the end."""
        request: Request | None = None
        parts: list[bytes] = []
        size = 0
        while True:
            while (event := self._connection.next()) is not None:
                if isinstance(event, Request):
                    request = event
                    if "100-continue" in (field(event.raw, "expect") or "").lower():
                        self._connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                elif isinstance(event, Body):
                    parts.append(event.raw)
                    size += len(event.raw)
                elif isinstance(event, Opaque):
                    if request is None:
                        self._report.note(f"a client spoke something that is not HTTP: {event.raw[:40]!r}")
                    return None
                elif isinstance(event, End):
                    return None
                if request is not None and (size > _BODY_LIMIT or self._is_whole(request, event)):
                    return request, b"".join(parts), event.t
            await self._connection.wait()

    @staticmethod
    def _is_whole(request: Request, event: object) -> bool:
        if isinstance(event, Body):
            return event.end
        try:
            return http1.request_body(http1.parse_request(request.raw)) is None
        except http1.NotHttp:
            return True

    async def _respond(self, request: Request, body: bytes, asked: int) -> bool:
        """Answer a request; whether another one may follow."""
        head = http1.parse_request(request.raw)
        why = "no such path"
        if http1.wants_upgrade(head) and "websocket" in head.tokens("upgrade"):
            found = self._places.websocket(request.target)
            if not isinstance(found, str):
                await self._websocket(request, *found)
                return False
            why = found
        content = content_of(request.raw, body)
        answer = self._places.answer(request.method, request.target, content)
        if answer is None:
            self._not_found(request, why)
        else:
            await self._exchange(request, content, asked, *answer)
        wants_more = head.minor == 1 and "close" not in head.tokens("connection")
        return wants_more and not self._connection.finished and not self._connection.gone

    # --- HTTP ----------------------------------------------------------------------------------------------------------

    async def _exchange(self, request: Request, content: bytes, asked: int, answer: Answer, live: str | None) -> None:
        exchange, scenario = answer.exchange, answer.scenario
        assert exchange.response is not None
        self._report.exchanges += 1
        recorded_id = scenario.id
        self._claim(live or recorded_id or scenario.stream_id or "replay")
        rename = Renaming(recorded_id, live) if recorded_id and live and live != recorded_id else None
        judge = Judge(self._options.match, self._options.ignore, rename)
        expected = content_of(exchange.request.raw, exchange.request_body)
        difference = judge.body(rename(expected) if rename else expected, content)
        if difference is not None:
            place = f"{request.method} {request.target}"
            t = (time.monotonic_ns() - self._since) / 1e9
            self._report.mismatch(Mismatch(self._stream, "client", exchange.number, place, *difference, t))
        (pause,) = self._options.pace([exchange.delay])
        await self._connection.pause(asked + pause)
        self._report.timing.add(max(time.monotonic_ns() - asked - pause, 0))
        raw, body = with_body(
            exchange.response.raw,
            exchange.response_body,
            rename or (lambda data: data),
            redacted=S2C in exchange.redacted,
        )
        if exchange.omitted:
            self._report.note(f"{scenario.name}: the body of an answer was not kept whole: what is there is sent")
            raw = rewritten(raw, {"content-length": str(len(body)), "transfer-encoding": None})
        data = raw if request.method == "HEAD" else raw + body
        self._report.sent.bytes += len(data)
        self._connection.send(data)
        until_close = http1.response_body(http1.parse_response(raw), request.method)
        if isinstance(until_close, http1.UntilClose) or "close" in (field(raw, "connection") or "").lower():
            self._connection.finish()

    def _not_found(self, request: Request, why: str) -> None:
        self._claim("replay")
        served = self._places.listing()
        body = json.dumps({"error": why, "asked": f"{request.method} {request.target}", "served": served}).encode()
        fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nServer: wsproxy replay\r\n"
        self._connection.send(f"HTTP/1.1 404 Not Found\r\n{fields}\r\n".encode() + body)
        t = (time.monotonic_ns() - self._since) / 1e9
        place = f"{request.method} {request.target}"
        self._report.mismatch(Mismatch("", "client", 0, place, "path", ", ".join(served) or "nothing", why, t))

    # --- WebSocket -----------------------------------------------------------------------------------------------------

    async def _websocket(self, request: Request, served: Served, live: str | None) -> None:
        script, scenario, upgrade = served.script, served.scenario, served.script.upgrade
        recorded_id = scenario.id
        assert upgrade is not None and upgrade.response is not None
        recorded = upgrade.response.raw
        self._report.connections += 1
        self._claim(live or recorded_id or scenario.stream_id or "replay")
        rename = None
        if recorded_id and live and live != recorded_id:
            rename = Renaming(recorded_id, live)
            script = renamed(script, S2C, rename)
        self._compare_heads(request, upgrade.request, upgrade.number)
        extensions = answer_to(request.raw, upgrade.request.raw, recorded)
        key = field(request.raw, "sec-websocket-key") or ""
        head = rewritten(recorded, {"sec-websocket-accept": accept_for(key), "sec-websocket-extensions": extensions})
        if rename is not None:
            head = rename.in_head(head)
        (pause,) = self._options.pace([upgrade.delay])
        await self._connection.pause(request.t + pause)
        self._connection.send(head)
        ready = time.monotonic_ns()
        response = Response(self._connection.tap.conn, S2C, ready, 1, 101, "", head)
        before, now = agreement(recorded), agreement(head)
        if before != now:
            self._report.note(f"stream {self._stream}: the client agreed to other compression than in the recording")
        await Player(
            self._connection,
            script,
            Encoder(S2C, before, now, rewritten=S2C in script.rewritten),
            response,
            Judge(self._options.match, self._options.ignore, rename),
            self._report,
            pace=self._options.pace,
            stream=self._stream,
            since=self._since,
            ready=ready,
            timeout=self._options.timeout,
        ).run()

    def _compare_heads(self, live: Request, recorded: Request, number: int) -> None:
        if self._options.match == "none":
            return
        for name in _HANDSHAKE:
            expected, got = field(recorded.raw, name), field(live.raw, name)
            if expected != got:
                t = (time.monotonic_ns() - self._since) / 1e9
                mismatch = Mismatch(
                    self._stream, "client", number, "its handshake", name, expected or "nothing", got or "nothing", t
                )
                self._report.mismatch(mismatch)

    def _claim(self, stream_id: str) -> None:
        self._stream = stream_id
        if self._connection.share is not None:
            self._connection.share.claim(stream_id)
