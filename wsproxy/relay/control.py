"""The control port: is the relay well, and what has it done.

Strategy: a small aiohttp application beside the relay, on the same loop and its own port. `/healthz` is for machines that start and watch
services: 200 while recordings can be written, 503 with the reason while they cannot. `/metrics` is Prometheus text. `POST /v1/markers`
collects stage markers, `/v1/clock` lets a sender on another host compare clocks. With a token, everything but /healthz asks for it.
A batch of markers is read in slices, so that no frame waits for all of it, and written when all of it is good, before the answer.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from ..wire.events import C2S, S2C, Dir
from .checkup import Checkup
from .marker_clock import BadMarkers, Clock, read_offset
from .markers import BODY_LIMIT, MarkerBatch
from .masked_markers import masked_batch
from .server import Relay
from .streams import Streams, boot_id
from .sweeper import Sweeper


class Control:
    """Serves /healthz, /metrics and /v1.

    Args:
        listen: (host, port); port 0 takes any free one.
        token: what `Authorization: Bearer` must carry; None lets everybody in.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        relay: Relay,
        streams: Streams,
        version: str,
        *,
        token: str | None = None,
        sweeper: Sweeper | None = None,
    ) -> None:
        self._token = token
        self._sweeper = sweeper
        self._checkup = Checkup(relay, streams, version, sweeper)
        self._boot_id = boot_id()
        self._relay = relay
        self._streams = streams
        self._version = version
        self._started = time.monotonic()
        self._listen = listen
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        host, port = self._listen
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), family=family, backlog=128)
        self.port = sock.getsockname()[1]
        app = web.Application(client_max_size=BODY_LIMIT, middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics),
                web.get("/v1/clock", self._clock),
                web.post("/v1/markers", self._markers),
                *self._checkup.routes(),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.SockSite(self._runner, sock).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let in who has the token; answer errors as JSON."""
        if self._token is not None and request.path != "/healthz":
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
                return _error(401, "this relay asks for its token: Authorization: Bearer $WSPROXY_TOKEN")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _error(error.status, error.text or error.reason)

    async def _markers(self, request: web.Request) -> web.Response:
        received = time.monotonic_ns()
        body = await request.read()
        if self._streams.masker is not None:
            body = masked_batch(body, request.headers.get("Content-Type", ""), self._streams.masker)
        try:
            offset = read_offset(request.headers.get("x-wsproxy-clock"))
            clock = Clock(time.monotonic_ns(), time.time_ns(), self._boot_id, offset)
            batch = MarkerBatch(body, request.headers.get("Content-Type", ""), clock)
            for _ in batch.slices():
                await asyncio.sleep(0)
        except BadMarkers as error:
            return _error(400, str(error))
        for stream_id, markers in batch.by_stream.items():
            self._streams.mark(stream_id, markers, clock.mono_ns)
        return self._timed(received, {"accepted": sum(map(len, batch.by_stream.values()))}, status=202)

    async def _clock(self, request: web.Request) -> web.Response:
        return self._timed(time.monotonic_ns(), {"boot_id": self._boot_id})

    def _timed(self, received: int, body: dict[str, Any], status: int = 200) -> web.Response:
        """An answer with our half of a round trip: when the request was received, and when it was answered."""
        answer = web.json_response(body, status=status)
        answer.headers["x-wsproxy-clock"] = f"{received} {time.monotonic_ns()}"
        return answer

    async def _healthz(self, request: web.Request) -> web.Response:
        self._streams.probe()
        failing = self._streams.failing
        body = {
            "status": "recording fails" if failing else "ok",
            "version": self._version,
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "connections": self._relay.counters.open,
            "listeners": [{"listen": url, "upstreams": upstreams} for url, upstreams in self._relay.listening],
            "upstream_error": self._relay.upstream_error,
            "upstream_errors": self._relay.upstream_errors,
            "recording_errors": dict(list(failing.items())[:10]),
        }
        return web.json_response(body, status=503 if failing else 200)

    async def _metrics(self, request: web.Request) -> web.Response:
        counters = self._relay.counters
        rows: list[tuple[str, str, str, dict[str, float]]] = [
            ("connections_total", "counter", "Connections accepted", {"": counters.accepted}),
            ("connections_open", "gauge", "Connections open now", {"": counters.open}),
            ("upstream_refused_total", "counter", "Connections answered with 502", {"": counters.refused}),
            ("frames_total", "counter", "WebSocket frames of ended connections", _by_dir(counters.frames)),
            ("bytes_total", "counter", "Wire bytes of ended connections", _by_dir(counters.bytes)),
            ("recorder_faults_total", "counter", "Faults inside the recorder", {"": counters.faults}),
            ("recording_gaps_total", "counter", "Gaps in recordings", {"": self._streams.gaps}),
            ("recording_failing", "gauge", "Recordings that cannot be written now", {"": len(self._streams.failing)}),
            ("markers_total", "counter", "Stage markers collected", {"": self._streams.markers}),
            ("recordings_open", "gauge", "Recordings open now", {"": self._streams.open_count}),
            *self._retention_rows(),
            ("process_cpu_seconds_total", "counter", "CPU time of the relay", {"": _cpu_seconds()}),
        ]
        lines = []
        for name, kind, text, values in rows:
            lines += [f"# HELP wsproxy_{name} {text}.", f"# TYPE wsproxy_{name} {kind}"]
            lines += [f"wsproxy_{name}{labels} {value}" for labels, value in values.items()]
        return web.Response(
            text="\n".join(lines) + "\n", headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    def _retention_rows(self) -> list[tuple[str, str, str, dict[str, float]]]:
        if self._sweeper is None:
            return []
        removed, freed = self._sweeper.removed, self._sweeper.freed
        return [
            ("retention_removed_total", "counter", "Recordings removed by --max-bytes or --max-age", {"": removed}),
            ("retention_removed_bytes_total", "counter", "Their bytes", {"": freed}),
        ]


def _error(status: int, words: str) -> web.Response:
    return web.json_response({"error": words}, status=status)


def _by_dir(counts: dict[Dir, int]) -> dict[str, float]:
    return {f'{{dir="{dir}"}}': counts[dir] for dir in (C2S, S2C)}


def _cpu_seconds() -> float:
    times = os.times()
    return round(times.user + times.system, 3)
