"""A peer for the hooks: a real HTTP server that keeps the markers that it is sent, and can be as unwell as a relay can be.

Strategy: the standard library's server in a thread of this process. `misbehave` sets what it does from the next request on;
what it was sent is only kept when it answers 202, as the relay's contract has it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import msgpack

PATIENCE_SECONDS = 20.0

Marker = dict[str, Any]


class Collector:
    """Listens on loopback while the context lasts.

    Args:
        port: 0 for any.
        token: what the authorization header must carry.
    """

    def __init__(self, port: int = 0, token: str | None = None) -> None:
        self.markers: list[Marker] = []
        self.batches: list[int] = []
        self.requests = 0
        self.connections: set[Any] = set()
        self.headers: list[dict[str, str]] = []
        self.status = 202
        self.clocks = 0  # answered GETs
        self.waiting = 0  # requests that came to the gate
        self.answer_headers: dict[str, str] = {}
        self.refuses: Callable[[Marker], bool] = lambda marker: False
        self.gate = threading.Event()  # requests wait here: clear it and nothing is answered
        self.gate.set()
        self._news = threading.Condition()
        self._token = token
        self._server = _Server(("127.0.0.1", port), _handler(self))
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()

    def of(self, stream_id: str, stage: str | None = None) -> list[Marker]:
        """What has arrived of a stream, in the order of arrival."""
        found = [marker for marker in self.markers if marker["stream_id"] == stream_id]
        return [marker for marker in found if stage in (None, marker["stage"])]

    def wait(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; it is looked at after each request."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._news:
            while not condition():
                left = deadline - time.monotonic()
                assert left > 0, f"{len(self.markers)} markers in {self.requests} requests: {self.markers[-3:]}"
                self._news.wait(min(left, 0.1))

    def wait_for(self, count: int, stream_id: str, stage: str | None = None) -> list[Marker]:
        """Wait for that many markers of a stream (and stage); give them."""
        self.wait(lambda: len(self.of(stream_id, stage)) >= count)
        return self.of(stream_id, stage)

    def judge(self, body: bytes, headers: dict[str, str]) -> int:
        """The status that this request gets; 202 keeps its markers."""
        if self._token is not None and headers.get("authorization") != f"Bearer {self._token}":
            return 401
        if self.status != 202:
            return self.status
        try:
            markers = msgpack.unpackb(body)
            if any(self.refuses(marker) or not _is_marker(marker) for marker in markers):
                return 400
        except ValueError:
            return 400
        self.markers += markers
        self.batches.append(len(markers))
        return 202

    def saw(self, headers: dict[str, str]) -> None:
        with self._news:
            self.requests += 1
            self.headers.append(headers)
            self._news.notify_all()


def _is_marker(marker: Marker) -> bool:
    shape = {"stream_id": str, "stage": str, "t_mono_ns": int, "t_wall_ns": int, "boot_id": str, "source": str}
    return all(type(marker.get(name)) is kind for name, kind in shape.items())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *args: Any) -> None:
        self.sockets: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.sockets.add(request)
        super().process_request(request, client_address)

    def hang_up(self) -> None:
        for one in self.sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed already

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that left


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            collector.connections.add(self.client_address)
            collector.waiting += 1
            collector.gate.wait(PATIENCE_SECONDS)
            assert self.path == "/v1/markers"
            assert headers["content-type"] == "application/msgpack"
            status = collector.judge(body, headers)
            self.send_response(status)
            self.send_header("content-length", "0")
            for name, value in collector.answer_headers.items():
                self.send_header(name, value)
            self.end_headers()
            collector.saw(headers)

        def do_GET(self) -> None:
            assert self.path == "/v1/clock"
            collector.waiting += 1
            collector.gate.wait(PATIENCE_SECONDS)
            collector.clocks += 1
            self.send_response(200 if collector.answer_headers else 404)  # a relay may know nothing of clocks
            self.send_header("content-length", "0")
            for name, value in collector.answer_headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    return Handler
