"""A real FastAPI under a real uvicorn with the middleware in it, and a real client."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="litellm[proxy] brings it")
pytest.importorskip("uvicorn", reason="litellm[proxy] brings it")

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from wsproxy.hooks import StreamMarkers

from .collector import PATIENCE_SECONDS, Collector

NO_PROXY: dict[str, Any] = {"proxy": None} if "proxy" in inspect.signature(connect.__init__).parameters else {}
REQUEST = {
    "litellm_call_id": "call",
    "model": "gpt",
    "messages": [1, 2, 3],
    "stream": True,
    "api_key": "sk-planted-secret",
}
START = {"type": "START", "data": REQUEST}


def chunk(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


class ControlPlane:
    """Echoes chunks in capitals; the first one's text may ask for something else."""

    def __init__(self) -> None:
        self.peer_gone = threading.Event()
        self.send_errors: list[str] = []
        self.app = FastAPI()
        self.app.websocket("/stream/{stream_id}")(self.stream)
        self.app.websocket("/other/{stream_id}")(self.stream)
        self.app.get("/health")(lambda: "ok")
        self.app.add_middleware(StreamMarkers)

    async def stream(self, ws: WebSocket, stream_id: str) -> None:
        await ws.accept()
        start = json.loads(await ws.receive_text())
        if start.get("type") != "START":
            await ws.close(1002, "the first message must be START")
            return
        with suppress(WebSocketDisconnect):
            while (message := json.loads(await ws.receive_text())).get("type") == "CHUNK":
                text = message["data"]["choices"][0]["delta"]["content"]
                if text == "raise":
                    raise ValueError("the endpoint broke")
                if text == "error":
                    await ws.send_json({"type": "ERROR", "error": "the policy failed"})
                    await ws.close()
                    return
                if text in ("late and told", "late and not told"):
                    await asyncio.to_thread(self.peer_gone.wait, PATIENCE_SECONDS)
                    if text == "late and told":
                        with suppress(WebSocketDisconnect):
                            await ws.receive_text()
                    await self.send(ws, {"type": "CHUNK", "data": chunk("BLOCKED")})
                    return
                await self.send(ws, {"type": "CHUNK", "data": chunk(text.upper())})
            await ws.send_json({"type": "END"})
            await ws.close()

    async def send(self, ws: WebSocket, message: dict[str, Any]) -> None:
        try:
            await ws.send_text(json.dumps(message))
        except (RuntimeError, WebSocketDisconnect) as error:
            self.send_errors.append(type(error).__name__)


@pytest.fixture
def control_plane(relay: Collector) -> Iterator[ControlPlane]:
    plane = ControlPlane()
    listener = socket.create_server(("127.0.0.1", 0))
    plane.port = listener.getsockname()[1]  # type: ignore[attr-defined]
    server = uvicorn.Server(uvicorn.Config(plane.app, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield plane
    server.should_exit = True
    thread.join(PATIENCE_SECONDS)


def client(plane: Any, path: str = "/stream/s") -> connect:
    return connect(f"ws://127.0.0.1:{plane.port}{path}", **NO_PROXY)


async def talk(ws: ClientConnection, *messages: dict[str, Any]) -> list[str]:
    for message in messages:
        await ws.send(json.dumps(message))
    answers: list[str] = []
    with suppress(ConnectionClosed):
        while True:
            answers.append(json.loads(await ws.recv())["type"])
    return answers


def say(text: str) -> dict[str, Any]:
    return {"type": "CHUNK", "data": chunk(text)}


async def test_a_stream_is_seen_from_start_to_end(relay: Collector, control_plane: ControlPlane) -> None:
    async with client(control_plane) as ws:
        assert await talk(ws, START, say("a"), say("b"), {"type": "END"}) == ["CHUNK", "CHUNK", "END"]
    marks = await asyncio.to_thread(relay.wait_for, 6, "s")
    assert [(m["stage"], m.get("index")) for m in marks] == [
        ("endpoint.start", None),
        ("endpoint.chunk_in", 0),
        ("endpoint.chunk_out", 0),
        ("endpoint.chunk_in", 1),
        ("endpoint.chunk_out", 1),
        ("endpoint.end", None),
    ]
    assert marks[0]["data"] == {"litellm_call_id": "call", "model": "gpt", "messages": 3, "stream": True}
    assert marks[1]["data"] == chunk("a") and marks[2]["data"] == chunk("A")
    assert (marks[5]["data"]["chunks_in"], marks[5]["data"]["chunks_out"]) == (2, 2)
    assert "sk-planted" not in repr(relay.markers)


@pytest.mark.parametrize("how", ["late and told", "late and not told"])
async def test_a_chunk_sent_after_the_peer_has_gone_is_told(
    relay: Collector, control_plane: ControlPlane, how: str
) -> None:
    """The famous bug's last act: the endpoint's own log says "sent"."""
    ws = await client(control_plane)
    await ws.send(json.dumps(START))
    await ws.send(json.dumps(say(how)))
    await ws.close()
    control_plane.peer_gone.set()
    late = (await asyncio.to_thread(relay.wait_for, 1, "s", "endpoint.chunk_out"))[0]
    assert late["data"]["after_close"] is True
    assert late["data"]["chunk"] == chunk("BLOCKED") and late["index"] == 0


async def test_an_endpoint_that_raises_raises_and_is_told(relay: Collector, control_plane: ControlPlane) -> None:
    async with client(control_plane) as ws:
        assert await talk(ws, START, say("raise")) == []
    assert ws.protocol.close_code in (1011, 1006)
    error = (await asyncio.to_thread(relay.wait_for, 1, "s", "endpoint.error"))[0]["data"]
    assert error == {"error_type": "ValueError", "error": "the endpoint broke"}


async def test_an_error_message_is_told(relay: Collector, control_plane: ControlPlane) -> None:
    async with client(control_plane) as ws:
        assert await talk(ws, START, say("error")) == ["ERROR"]
    error = (await asyncio.to_thread(relay.wait_for, 1, "s", "endpoint.error"))[0]["data"]
    assert error == {"error": "the policy failed"}


async def test_a_refused_start_is_told(relay: Collector, control_plane: ControlPlane) -> None:
    async with client(control_plane) as ws:
        assert await talk(ws, say("a")) == []
    assert ws.protocol.close_code == 1002
    error = (await asyncio.to_thread(relay.wait_for, 1, "s", "endpoint.error"))[0]["data"]
    assert error["code"] == 1002 and "must be START" in error["error"]


async def test_other_paths_and_plain_http_are_left_alone(relay: Collector, control_plane: ControlPlane) -> None:
    async with client(control_plane, "/other/s") as ws:
        assert await talk(ws, START, say("a"), {"type": "END"}) == ["CHUNK", "END"]
    async with client(control_plane, "/stream/t") as ws:
        await talk(ws, START, {"type": "END"})
    await asyncio.to_thread(relay.wait_for, 2, "t")
    assert not relay.of("s")


async def test_disabled_the_app_gets_the_servers_own_doors(disabled: None) -> None:
    seen: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend((receive, send))

    async def receive() -> Any: ...
    async def send(event: Any) -> None: ...

    await StreamMarkers(app)({"type": "websocket", "path": "/stream/s"}, receive, send)
    assert seen == [receive, send]


@pytest.mark.parametrize(
    ("path", "of", "expected"),
    [
        (r"/stream/(?P<stream_id>[^/]+)", "/api/stream/abc/x", "abc"),
        (r"^/ws/(\d+)$", "/ws/42", "42"),
        (r"(", "/stream/abc", "abc"),
        (r"^/ws/(\d+)$", "/stream/abc", None),
    ],
)
def test_the_id_is_found_where_the_path_says(path: str, of: str, expected: str | None) -> None:
    assert StreamMarkers(None, path)._stream_id({"path": of}) == expected  # type: ignore[arg-type]


async def test_events_that_are_nonsense_go_through(relay: Collector) -> None:
    events: list[dict[str, Any]] = [
        {},
        {"type": "websocket.receive", "text": 3},
        {"type": "websocket.receive", "bytes": b"\xff"},
    ]
    texts = ("null", "[]", '{"type": "START"}', '{"type": 3}')
    events += [{"type": "websocket.receive", "text": text} for text in texts]
    events += [{"type": "websocket.receive", "text": json.dumps({"type": "CHUNK"})}, {"type": "websocket.close"}]
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(len(events)):
            await send(await receive())

    async def receive() -> Any:
        return events[len(got)]

    async def send(event: Any) -> None:
        got.append(event)

    await StreamMarkers(app)({"type": "websocket", "path": "/stream/s"}, receive, send)
    assert got == events
