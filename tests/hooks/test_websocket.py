"""Real connections of websockets and aiohttp, client and server, with their messages marked."""

from __future__ import annotations

import asyncio
import inspect
import json
import warnings
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from wsproxy.hooks import instrument_websocket
from wsproxy.hooks.messages import read

from .collector import Collector

NO_PROXY: dict[str, Any] = {"proxy": None} if "proxy" in inspect.signature(connect.__init__).parameters else {}

START = {"type": "START", "data": {"model": "m", "messages": [1], "api_key": "sk-planted-secret"}}
CHUNK = {"type": "CHUNK", "data": {"choices": [{"index": 0, "delta": {"content": "ü"}}]}}
END = {"type": "END"}


def said(collector: Collector, stream_id: str) -> list[tuple[str, int | None, Any]]:
    return [(m["stage"], m.get("index"), m["data"].get("type")) for m in collector.of(stream_id)]


CONVERSATION = [
    ("ws.sent", None, "START"),
    ("ws.sent", 0, "CHUNK"),
    ("ws.received", 0, "CHUNK"),
    ("ws.sent", 1, "CHUNK"),
    ("ws.received", 1, "CHUNK"),
    ("ws.received", None, "END"),
]


def mirror(stage: str) -> str:
    return {"ws.sent": "ws.received", "ws.received": "ws.sent"}[stage]


async def test_websockets_client_and_server(relay: Collector) -> None:
    async def handler(ws: ServerConnection) -> None:
        assert instrument_websocket(ws, "server") is ws
        async for text in ws:
            message = json.loads(text)
            if message["type"] == "CHUNK":
                await ws.send(json.dumps(message, ensure_ascii=False))
                if message["data"].get("last"):
                    await ws.send(json.dumps(END))
                    return

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", **NO_PROXY) as plain:
            ws = instrument_websocket(plain, "client")
            assert ws is plain
            instrument_websocket(ws, "client")  # twice is once
            await ws.send(json.dumps(START))
            await ws.send(json.dumps(CHUNK))
            await ws.recv()
            await ws.send(json.dumps({"type": "CHUNK", "data": {"last": True}}))
            assert [json.loads(text)["type"] async for text in ws] == ["CHUNK", "END"]
            with pytest.raises(ConnectionClosed):
                await ws.send(json.dumps(CHUNK))
    relay.wait_for(7, "client")
    relay.wait_for(6, "server")
    assert said(relay, "client")[:6] == CONVERSATION
    assert said(relay, "server") == [(mirror(stage), index, kind) for stage, index, kind in CONVERSATION]
    failed = relay.of("client")[6]
    assert failed["stage"] == "ws.send_failed" and failed["data"]["error_type"].startswith("ConnectionClosed")
    assert failed["data"]["message"] == CHUNK
    assert "sk-planted" not in repr(relay.markers)
    assert relay.of("client", "ws.received")[0]["data"] == CHUNK


async def test_what_was_sent_has_the_time_before_it_was_on_the_wire(relay: Collector) -> None:
    async def handler(ws: ServerConnection) -> None:
        instrument_websocket(ws, "server")
        async for _ in ws:
            pass

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", **NO_PROXY) as ws:
            instrument_websocket(ws, "client")
            for _ in range(20):
                await ws.send(json.dumps(CHUNK))
    sent = relay.wait_for(20, "client", "ws.sent")
    received = relay.wait_for(20, "server", "ws.received")
    assert all(a["t_mono_ns"] <= b["t_mono_ns"] for a, b in zip(sent, received, strict=True))


async def test_messages_that_are_no_json_and_binary_and_fragments(relay: Collector) -> None:
    async def handler(ws: ServerConnection) -> None:
        async for message in ws:
            await ws.send(message)

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", **NO_PROXY) as ws:
            instrument_websocket(ws, "s")
            for message in ("no { json", b"\x00\x01", ["frag", "ments"], "x" * 100_000):
                await ws.send(message)
                await ws.recv()
    relay.wait_for(11, "s")
    error = relay.of("s", "ws.json_error")[0]["data"]
    assert error["raw"] == "no { json" and error["error"].startswith("Expecting value") and error["stage"] == "ws.sent"
    sent = [marker["data"] for marker in relay.of("s", "ws.sent")]
    assert sent[0] == {"raw": "no { json", "length": 9}
    assert sent[1] == {"binary": b"\x00\x01", "length": 2}
    assert sent[2] == {"fragments": "list"}
    assert sent[3]["length"] == 100_000 and len(sent[3]["raw"]) == 1000


def test_a_long_start_is_not_parsed_and_not_copied() -> None:
    start = {"type": "START", "data": {"model": "m", "stream": True, "messages": ["x" * 600_000], "key": "sk-planted"}}
    message = read(json.dumps(start))
    assert message.type == "START"
    assert message.data == {
        "type": "START",
        "length": len(json.dumps(start)),
        "summary": {"model": "m", "stream": True},
    }


@pytest.fixture
async def aiohttp_url(relay: Collector) -> AsyncIterator[str]:
    async def handler(request: web.Request) -> web.WebSocketResponse:
        ws = instrument_websocket(web.WebSocketResponse(), "server")
        await ws.prepare(request)
        async for frame in ws:
            message = json.loads(frame.data)
            if message["type"] == "CHUNK":
                await ws.send_json(message)
                if message["data"].get("last"):
                    await ws.send_str(json.dumps(END))
                    break
        await ws.close()
        return ws

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_aiohttp_client_and_server(relay: Collector, aiohttp_url: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        async with aiohttp.ClientSession() as session, session.ws_connect(aiohttp_url) as plain:
            ws = instrument_websocket(plain, "client")
            assert ws is plain
            await ws.send_json(START)
            await ws.send_str(json.dumps(CHUNK))
            await ws.receive_json()
            await ws.send_json({"type": "CHUNK", "data": {"last": True}})
            assert [json.loads(frame.data)["type"] async for frame in ws] == ["CHUNK", "END"]
            with pytest.raises(ConnectionError):
                await ws.send_json(CHUNK)
    relay.wait_for(7, "client")
    relay.wait_for(6, "server")
    assert said(relay, "client")[:6] == CONVERSATION
    assert said(relay, "server") == [(mirror(stage), index, kind) for stage, index, kind in CONVERSATION]
    assert relay.of("client")[6]["stage"] == "ws.send_failed"
    assert "sk-planted" not in repr(relay.markers)


async def test_the_legacy_classes_too(relay: Collector) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from websockets.legacy.client import connect as old_connect
        from websockets.legacy.server import serve as old_serve

        async def handler(ws: Any) -> None:
            instrument_websocket(ws, "server")
            async for text in ws:
                await ws.send(text)

        async with old_serve(handler, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            async with old_connect(f"ws://127.0.0.1:{port}") as ws:
                instrument_websocket(ws, "client")
                await ws.send(json.dumps(CHUNK))
                await ws.recv()
    relay.wait_for(2, "client")
    relay.wait_for(2, "server")
    assert said(relay, "client") == [("ws.sent", 0, "CHUNK"), ("ws.received", 0, "CHUNK")]


async def test_a_cancelled_receive_is_only_cancelled(relay: Collector) -> None:
    """The famous callback polls `recv` with a timeout: nothing is marked, nothing is lost."""

    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.send(json.dumps(CHUNK))
        await ws.wait_closed()

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", **NO_PROXY) as ws:
            instrument_websocket(ws, "s")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.02)
            await ws.send(json.dumps(END))
            assert json.loads(await ws.recv()) == CHUNK
    relay.wait_for(2, "s")
    assert said(relay, "s") == [("ws.sent", None, "END"), ("ws.received", 0, "CHUNK")]


def test_what_is_no_connection_comes_back_as_it_is(relay: Collector, caplog: pytest.LogCaptureFixture) -> None:
    thing = object()
    assert instrument_websocket(thing, "s") is thing
    assert instrument_websocket(None, "s") is None
    assert "no connection" in caplog.text


def test_disabled_nothing_is_touched(disabled: None) -> None:
    class Connection:
        async def send(self, message: str) -> None: ...
        async def recv(self) -> str:
            return ""

    ws = Connection()
    assert instrument_websocket(ws, "s") is ws
    assert not vars(ws)
