"""The control port: is the relay well, and what has it done.

Strategy: a small aiohttp application beside the relay, on the same loop and its own port. `/healthz` is for machines that start and watch
services: 200 while recordings can be written, 503 with the reason while they cannot. `/metrics` is Prometheus text. `POST /v1/markers`
collects stage markers, `/v1/clock` lets a sender on another host compare clocks. Who may ask stands in `access`, for how long in `visitors`.
A batch of markers is read in slices, so that no frame waits for all of it, and written when all of it is good, before the answer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from aiohttp import web

from ..wire.events import C2S, S2C, Dir
from .access import Access
from .checkup import Checkup
from .marker_clock import BadMarkers, Clock, boot_id, read_offset
from .markers import BODY_LIMIT, MarkerBatch
from .masked_markers import masked_batch
from .quick import NATIVE
from .server import Relay
from .stalls import disk_health, disk_rows
from .streams import Streams
from .sweeper import Sweeper
from .visitors import Visitors

JSON_LIMIT = 2 << 20  # bytes of a JSON body: it is parsed in one go, which can take 80 ms per MiB
_JSON_COSTS = 16  # times what msgpack does, in the rate of an address
READING_LIMIT = 64 << 20  # bytes of all bodies that are being read
_STREAMS_AT_ONCE = 32  # are marked before somebody else has a turn

_unheard = logging.getLogger(
    f"{__name__}.aiohttp"
)  # its tracebacks about malformed requests, which are answered with 400
_unheard.addHandler(logging.NullHandler())
_unheard.propagate = False


class Control:
    """Serves /healthz, /metrics and /v1.

    Args:
        listen: (host, port); port 0 takes any free one.
        token: what `Authorization: Bearer` must carry; None lets everybody in.
        names: under which it may be called, beside addresses and names without a dot.
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
        names: Collection[str] = (),
    ) -> None:
        self._access = Access(token, names)
        self._reading = 0  # bytes of bodies
        self._sweeper = sweeper
        self._checkup = Checkup(relay, streams, version, sweeper)
        self._boot_id = boot_id()
        self._relay = relay
        self._streams = streams
        self._version = version
        self._started = time.monotonic()
        self._listen = listen
        self._runner: web.AppRunner | None = None
        self._visitors: Visitors | None = None
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        host, port = self._listen
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.create_server((host, port), family=family, backlog=128)
        self.port = sock.getsockname()[1]
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/metrics", self._metrics),
                web.get("/v1/clock", self._clock),
                web.post("/v1/markers", self._markers),
                *self._checkup.routes(),
            ]
        )
        # Bodies are taken as they come: an inflated one could be a thousand times what was sent.
        self._runner = web.AppRunner(app, access_log=None, auto_decompress=False, logger=_unheard)
        await self._runner.setup()
        assert self._runner.server is not None
        self._visitors = Visitors(self._runner.server)
        self._server = await asyncio.get_running_loop().create_server(self._visitors.protocol, sock=sock, backlog=128)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._visitors is not None:
            self._visitors.close()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Let in who may ask; answer errors as JSON."""
        visitors = self._visitors
        assert visitors is not None
        visitors.begins(request.transport)
        try:
            refusal = self._access.refused(request.path, request.headers, request.remote or "", time.monotonic())
            if refusal is not None:
                return _error(*refusal)
            return await handler(request)
        except web.HTTPException as error:
            return _error(error.status, error.text or error.reason)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            self._relay.counters.faults += 1
            return _error(500, f"a fault in wsproxy: {type(error).__name__}: {error}")
        finally:
            visitors.ends(request.transport)

    async def _markers(self, request: web.Request) -> web.Response:
        received = time.monotonic_ns()
        body = bytearray()
        try:
            await self._read(request, body)
            offset = read_offset(request.headers.get("x-wsproxy-clock"))
            clock = Clock(time.monotonic_ns(), time.time_ns(), self._boot_id, offset)
            kind = request.headers.get("Content-Type", "")
            kept = (
                bytes(body) if self._streams.masker is None else masked_batch(bytes(body), kind, self._streams.masker)
            )
            batch = MarkerBatch(kept, kind, clock)
            for _ in batch.slices():
                await asyncio.sleep(0)
        except BadMarkers as error:
            return _error(400, str(error))
        finally:
            self._reading -= len(body)
        for number, (stream_id, markers) in enumerate(batch.by_stream.items(), 1):
            self._streams.mark(stream_id, markers, clock.mono_ns)
            if number % _STREAMS_AT_ONCE == 0:  # each may be a new file
                await asyncio.sleep(0)
        return self._timed(received, {"accepted": sum(map(len, batch.by_stream.values()))}, status=202)

    async def _read(self, request: web.Request, body: bytearray) -> None:
        """Read a request's body, as far as there is room; it is counted in `_reading`. Raises HTTPException."""
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise web.HTTPUnsupportedMediaType(text="send the body as it is, without a Content-Encoding")
        packed = "msgpack" in request.headers.get("Content-Type", "")
        limit = BODY_LIMIT if packed else JSON_LIMIT
        if (request.content_length or 0) > limit:
            raise _too_large(limit)
        async for data in request.content.iter_any():
            body += data
            self._reading += len(data)
            if len(body) > limit:
                raise _too_large(limit)
            if self._reading > READING_LIMIT:
                raise web.HTTPServiceUnavailable(text="too many bodies are being sent at once: try again later")
        cost = len(body) * (1 if packed else _JSON_COSTS)
        self._access.rates.received(request.remote or "", cost, time.monotonic())

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
            "native": NATIVE,
            "uptime_seconds": round(time.monotonic() - self._started, 3),
            "connections": self._relay.counters.open,
            "listeners": [{"listen": url, "upstreams": upstreams} for url, upstreams in self._relay.listening],
            "upstream_error": self._relay.upstream_error,
            "upstream_errors": self._relay.upstream_errors,
            "recording_errors": dict(list(failing.items())[:10]),
            "disk": disk_health(self._streams.disk),
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
            *disk_rows(self._streams.disk),
            ("tasks", "gauge", "Tasks on the relay's event loop", {"": len(asyncio.all_tasks())}),
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


def _too_large(limit: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(
        limit, text=f"at most {limit >> 20} MiB in one request: send fewer markers at once"
    )


def _error(status: int, words: str, fields: Mapping[str, str] = {}) -> web.Response:
    return web.json_response({"error": words}, status=status, headers=fields)


def _by_dir(counts: dict[Dir, int]) -> dict[str, float]:
    return {f'{{dir="{dir}"}}': counts[dir] for dir in (C2S, S2C)}


def _cpu_seconds() -> float:
    times = os.times()
    return round(times.user + times.system, 3)
