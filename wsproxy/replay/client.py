"""Be the client: play it to a real server, and compare what that answers.

Strategy: every recorded connection is a task. It starts when those that had ended before it was opened have ended, and its recorded pause
after that is over; so a hook that came before the stream comes before it again. A task dials, sends the recorded
requests one by one, and where the recording has an upgrade hands over to a `Player`.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ..wire import http1
from ..wire.events import C2S, Body, End, Opaque, Piece, Response
from . import pacing
from .codec import Encoder, agreement
from .connection import Connection, words
from .handshake import (
    Changes,
    accept_for,
    content_of,
    field,
    given_headers,
    new_key,
    request_line,
    rewritten,
    with_body,
)
from .identities import renamed
from .matching import Judge, Match
from .mentions import Renaming
from .options import Options, Source, open_sources, prepare
from .pacing import Pace
from .player import Player
from .problems import ReplayError
from .recorder import Recorder
from .report import Mismatch, Report
from .script import Exchange, Scenario, Script
from .whatif import Edit

TIMEOUT = 10.0  # seconds
_BODY_LIMIT = 64 << 20
GONE = "the end of the connection"
PROTOCOL = "sec-websocket-protocol"


class Target(NamedTuple):
    """Where to play to. `path` replaces the recorded path of WebSockets, if there is one."""

    host: str
    port: int
    tls: bool
    path: str
    text: str


def read_target(url: str) -> Target:
    """Read ws://HOST:PORT[/path] (also wss, http, https). Raises ReplayError."""
    try:
        parts = urlsplit(url if "://" in url else f"ws://{url}")
        port = parts.port
    except ValueError:
        raise ReplayError(f"--to {url}: not a URL; write ws://HOST:PORT") from None
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
        raise ReplayError(f"--to {url}: not a ws:// or wss:// URL; write ws://HOST:PORT")
    tls = parts.scheme in ("wss", "https")
    path = parts.path.rstrip("/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.hostname, port or (443 if tls else 80), tls, path, url)


async def play(
    recording: Source,
    url: str,
    *,
    edits: Iterable[Edit] = (),
    pace: Pace = pacing.recorded,
    match: Match = "shape",
    ignore: Iterable[str] = (),
    headers: Iterable[tuple[str, str]] = (),
    fresh_ids: bool = False,
    record: str | Path | None = None,
    timeout: float = TIMEOUT,
    on_mismatch: Callable[[Mismatch], None] | None = None,
) -> Report:
    """Play the client of a recording to a server.

    Args:
        recording: a path or a recording.
        url: ws://HOST:PORT of the server; a path in it replaces the recorded one.
        edits: what-ifs for what the client says.
        pace: of the recorded pauses.
        match: how closely the server's answers are compared.
        ignore: JSON fields that may differ.
        headers: fields to send in place of the recorded ones, or beside them.
        fresh_ids: give path, fields and payloads a new stream id.
        record: folder for the recording of the replay; none by default.
        timeout: seconds of silence, beside the recorded pause, after which the server is given up.
        on_mismatch: called with each difference at once.

    Returns:
        What was said, and where the server was not as recorded.

    Raises:
        WsproxyError: nothing to play, no such server, another protocol.
    """
    target = read_target(url)
    folder = Path(record) if record is not None else None
    options = Options(pace, tuple(edits), match, tuple(ignore), folder, timeout, on_mismatch)
    (scenario,), notes = prepare(open_sources(recording), C2S, options.edits)
    given = list(headers)
    for exchange in scenario.exchanges:  # before anything is sent
        given_headers(exchange.request.raw, given)
    return await _Run(scenario, target, options, given, notes, fresh_ids=fresh_ids).run()


class _Run:
    """One recording, played to one server."""

    def __init__(
        self,
        scenario: Scenario,
        target: Target,
        options: Options,
        headers: list[tuple[str, str]],
        notes: list[str],
        *,
        fresh_ids: bool,
    ) -> None:
        self.target = target
        self.options = options
        self.headers = headers
        self.since = time.monotonic_ns()
        self.report = Report("client", notes=notes, on_mismatch=options.on_mismatch)
        self.recorded_id = scenario.id
        if fresh_ids and self.recorded_id is None:
            raise ReplayError(
                f"{scenario.name}: --fresh-ids: no request in it names its stream, so there is no id to renew"
            )
        self.live_id = str(uuid.uuid4()) if fresh_ids else self.recorded_id
        self.stream = self.live_id or scenario.stream_id or "replay"
        self.rename: Renaming | None = None
        self.scripts = scenario.scripts
        if self.recorded_id and self.live_id and self.live_id != self.recorded_id:
            self.rename = Renaming(self.recorded_id, self.live_id)
            self.scripts = [renamed(script, C2S, self.rename) for script in self.scripts]
        self.judge = Judge(options.match, options.ignore, self.rename)
        self.recorder: Recorder | None = None

    async def run(self) -> Report:
        """Play all connections, in the order in which they were opened."""
        if self.options.record is not None:
            self.recorder = Recorder(
                self.options.record, listen="", upstream=self.target.text, on_trouble=self.report.note
            )
        tasks: dict[int, asyncio.Task[None]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                for script in self.scripts:
                    before = [tasks[conn] for conn in script.after if conn in tasks]
                    tasks[script.conn] = group.create_task(self._connection(script, before))
                    (pause,) = self.options.pace([script.delay])
                    if not script.after and pause:
                        await asyncio.sleep(pause / 1e9)
        except* ReplayError as group_of:
            raise _first(group_of) from None
        finally:
            if self.recorder is not None:
                self.recorder.close()
                self.report.recordings = list(self.recorder.paths)
        return self.report

    async def _connection(self, script: Script, before: list[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
            (pause,) = self.options.pace([script.delay])
            await asyncio.sleep(pause / 1e9)
        connection = await self._dial()
        if connection.share is not None:
            connection.share.claim(self.stream)
        self.report.connections += 1
        try:
            for exchange in script.exchanges:
                if not await self._exchange(connection, exchange):
                    return
            if script.upgrade is not None:
                await self._websocket(connection, script, script.upgrade)
            else:
                await self._end(connection)
        finally:
            connection.close(self.stream)

    async def _dial(self) -> Connection:
        target = self.target
        share = self.recorder.connection() if self.recorder is not None else None
        loop = asyncio.get_running_loop()
        context = ssl.create_default_context() if target.tls else None
        try:
            async with asyncio.timeout(self.options.timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(C2S, share), target.host, target.port, ssl=context
                )
        except TimeoutError:
            raise ReplayError(f"cannot connect to {target.text}: no answer; is the server there? (--timeout)") from None
        except ssl.SSLError as error:
            raise ReplayError(f"cannot connect to {target.text}: TLS: {error.reason or error}") from None
        except OSError as error:
            why = words(error)
            raise ReplayError(f"cannot connect to {target.text}: {why}; start the server, or correct --to") from None
        return connection

    # --- HTTP ----------------------------------------------------------------------------------------------------------

    def _head(self, exchange: Exchange, changes: Changes, *, target: str | None = None) -> bytes:
        """The request's head for this server."""
        raw = exchange.request.raw
        default = 443 if self.target.tls else 80
        host = f"[{self.target.host}]" if ":" in self.target.host else self.target.host
        own: Changes = {"host": host if self.target.port == default else f"{host}:{self.target.port}"}
        changes = own | changes | given_headers(raw, self.headers)
        head = rewritten(raw, changes, start=request_line(raw, target) if target is not None else None)
        return self.rename.in_head(head) if self.rename else head

    async def _exchange(self, connection: Connection, exchange: Exchange) -> bool:
        """One plain request; whether the connection can carry another."""
        self.report.exchanges += 1
        place = f"{exchange.request.method} {exchange.target}"
        raw, body = with_body(
            exchange.request.raw,
            exchange.request_body,
            self.rename or (lambda data: data),
            redacted=C2S in exchange.redacted,
        )
        head = self._head(replace(exchange, request=exchange.request._replace(raw=raw)), {"expect": None})
        await self._pause(connection, exchange)
        connection.send(head + body)
        self.report.sent.bytes += len(head) + len(body)
        response, content = await self._response(connection, exchange)
        expected = exchange.response
        if expected is None:
            return False
        if response is None:
            got = content.decode() or GONE
            self._tell(exchange.number, place, "status", str(expected.status), got)
            return False
        if response.status != expected.status:
            self._tell(exchange.number, place, "status", str(expected.status), str(response.status))
        else:
            wanted = content_of(expected.raw, exchange.response_body)
            wanted = self.rename(wanted) if self.rename else wanted
            difference = None if exchange.omitted else self.judge.body(wanted, content_of(response.raw, content))
            if difference is not None:
                self._tell(exchange.number, place, *difference)
        return not connection.gone and connection.ended is None

    async def _pause(self, connection: Connection, exchange: Exchange) -> None:
        (pause,) = self.options.pace([exchange.pause])
        await connection.pause(time.monotonic_ns() + pause)

    async def _response(self, connection: Connection, exchange: Exchange) -> tuple[Response | None, bytes]:
        """The next final response with its body; (None, why) where none comes."""
        response: Response | None = None
        parts: list[bytes] = []
        limit = time.monotonic_ns() + exchange.delay + round((self.options.timeout or TIMEOUT) * 1e9)
        while True:
            while (event := connection.next()) is not None:
                if isinstance(event, Response):
                    if event.status < 200 and event.status != 101:
                        continue
                    response = event
                    if event.status == 101 or self._no_body(event, exchange.request.method):
                        return event, b""
                elif isinstance(event, Body):
                    parts.append(event.raw)
                    if event.end or sum(map(len, parts)) > _BODY_LIMIT:
                        return response, b"".join(parts)
                elif isinstance(event, Opaque):
                    raise ReplayError(
                        f"{self.target.text} does not speak HTTP: it says {event.raw[:40]!r}; is it the right port?"
                    )
                elif isinstance(event, End):
                    return response, b"".join(parts)
                elif isinstance(event, Piece):
                    continue
            if time.monotonic_ns() >= limit:
                return None, f"nothing for {self.options.timeout:g} s".encode()
            await connection.wait(limit)

    @staticmethod
    def _no_body(response: Response, method: str) -> bool:
        try:
            return http1.response_body(http1.parse_response(response.raw), method) is None
        except http1.NotHttp:
            return True

    async def _end(self, connection: Connection) -> None:
        """All was asked: end, and hear the server end."""
        connection.finish()
        limit = time.monotonic_ns() + round((self.options.timeout or TIMEOUT) * 1e9)
        while connection.ended is None and time.monotonic_ns() < limit:
            connection.take()
            await connection.wait(limit)

    # --- WebSocket -----------------------------------------------------------------------------------------------------

    async def _websocket(self, connection: Connection, script: Script, upgrade: Exchange) -> None:
        assert upgrade.response is not None
        key = new_key()
        await self._pause(connection, upgrade)
        connection.send(self._head(upgrade, {"sec-websocket-key": key}, target=self.target.path or None))
        response, content = await self._response(connection, upgrade)
        if response is None or response.status != 101:
            said = f"{response.status} {response.reason}" if response else content.decode() or GONE
            self._tell(upgrade.number, "its handshake", "status", "101 Switching Protocols", said)
            return
        ready = response.t
        accept = field(response.raw, "sec-websocket-accept")
        if accept != accept_for(key):
            self._tell(upgrade.number, "its handshake", "sec-websocket-accept", accept_for(key), accept or "nothing")
            return
        if self.options.match != "none":
            wanted, got = field(upgrade.response.raw, PROTOCOL), field(response.raw, PROTOCOL)
            if wanted != got:
                self._tell(upgrade.number, "its handshake", PROTOCOL, wanted or "none", got or "none")
        before, now = agreement(upgrade.response.raw), agreement(response.raw)
        if before != now:
            self.report.note(
                "the server agreed to other compression than in the recording: messages are compressed anew"
            )
        await Player(
            connection,
            script,
            Encoder(C2S, before, now, rewritten=C2S in script.rewritten),
            response,
            self.judge,
            self.report,
            pace=self.options.pace,
            stream=self.stream,
            since=self.since,
            ready=ready,
            timeout=self.options.timeout,
        ).run()

    def _tell(self, event: int, place: str, what: str, expected: str, got: str) -> None:
        if self.options.match != "none":
            t = (time.monotonic_ns() - self.since) / 1e9
            self.report.mismatch(Mismatch(self.stream, "server", event, place, what, expected, got, t))


def _first(group: BaseExceptionGroup[ReplayError]) -> ReplayError:
    """One of the errors; they say the same of the same server."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
