"""What `wsproxy doctor` asks of a relay: how it stands, and whether a marker came through.

    GET    /v1/status[?dial=1]       where it listens and leads, its folder, its clocks; with `dial`, whether each upstream takes a connection
    DELETE /v1/streams/doctor-{id}   what the recording of this check holds, and then it is removed

Strategy: the relay answers for itself (its folder, its disk, its way upstream), because who asks may sit on another machine or in another
container. The one recording that it removes on demand is one that a check has made: its id says so, no connection is in it, and only markers made it.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from ..errors import RecordingError
from ..recording.events import Marker
from ..recording.reader import Recording
from .dial import DialError, Dialler
from .marker_clock import boot_id
from .server import Relay
from .streams import Streams
from .sweeper import Sweeper
from .upstream import parse_upstream

CHECK = "doctor-"  # how the stream ids of checks begin
DIAL_SECONDS = 3.0


class Checkup:
    """Serves /v1/status and the end of a check's stream."""

    def __init__(self, relay: Relay, streams: Streams, version: str, sweeper: Sweeper | None) -> None:
        self._relay = relay
        self._streams = streams
        self._version = version
        self._sweeper = sweeper
        self._wall, self._mono = time.time_ns(), time.monotonic_ns()

    def routes(self) -> list[web.RouteDef]:
        """For the application of the control port."""
        return [web.get("/v1/status", self._status), web.delete("/v1/streams/{stream_id}", self._end_of_check)]

    async def _status(self, request: web.Request) -> web.Response:
        mono, wall = time.monotonic_ns(), time.time_ns()
        listeners = [{"listen": url, "upstreams": upstreams} for url, upstreams in self._relay.listening]
        body: dict[str, Any] = {
            "version": self._version,
            "pid": os.getpid(),
            "listeners": listeners,
            "folder": self._folder(),
            "clock": {"boot_id": boot_id(), "wall_ns": wall, "stepped_ns": wall - self._wall - (mono - self._mono)},
            "recordings_open": self._streams.open_count,
            "recording_errors": dict(list(self._streams.failing.items())[:10]),
            "limits": self._limits(),
        }
        if request.query.get("dial"):
            urls = dict.fromkeys(url for listener in listeners for url in listener["upstreams"])
            body["upstreams"] = {url: await _dial(self._relay.dialler, url) for url in urls}
        return web.json_response(body)

    def _folder(self) -> dict[str, Any]:
        path = os.path.abspath(self._streams.folder)
        try:
            disk, mode = os.statvfs(path), os.stat(path).st_mode
        except OSError as error:
            return {"path": path, "error": (error.strerror or str(error)).lower()}
        return {
            "path": path,
            "private": not stat.S_IMODE(mode) & 0o077,
            "free": disk.f_bavail * disk.f_frsize,
            "total": disk.f_blocks * disk.f_frsize,
        }

    def _limits(self) -> dict[str, Any]:
        if self._sweeper is None:
            return {}
        limits = self._sweeper.limits
        return {"max_bytes": limits.max_bytes, "max_age": limits.max_age and limits.max_age / 1e9}

    async def _end_of_check(self, request: web.Request) -> web.Response:
        stream_id = request.match_info["stream_id"]
        if not stream_id.startswith(CHECK):
            return web.json_response({"error": f"only a stream {CHECK}… is removed here"}, status=403)
        stream = self._streams.known(stream_id)
        if stream is None or not stream.is_markers_only:
            return web.json_response({"error": f"no markers of {stream_id} came here"}, status=404)
        stream.writer.write_out(time.monotonic_ns())
        body = {"file": Path(stream.path).name, "markers": _markers(stream.path)}
        self._streams.forget(stream)
        return web.json_response(body)


def _markers(path: str) -> int:
    """How many markers can be read in a recording."""
    try:
        return sum(isinstance(event, Marker) for event in Recording(path).events())
    except RecordingError:
        return 0


async def _dial(dialler: Dialler, url: str) -> str | None:
    """Why an upstream does not take a connection, or does not prove who it is; None where it does."""
    try:
        sock, _ = await asyncio.wait_for(dialler.dial(parse_upstream(url)), DIAL_SECONDS)
    except TimeoutError:
        return f"no answer within {DIAL_SECONDS:.0f} s"
    except (DialError, ValueError) as error:
        return str(error)
    sock.close()
    return None
