"""Real WebSocket libraries on both sides: what they agree on with each other holds through the relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from wsproxy.wire.events import Response

from .relay_process import RelayProcess, assert_whole


@asynccontextmanager
async def echo_server(**options: object) -> AsyncIterator[SimpleNamespace]:
    """A `websockets` server that sends back what it gets; its `port`, as the relay's upstream has one."""

    async def echo(connection: ServerConnection) -> None:
        try:
            async for message in connection:
                await connection.send(message)
        except ConnectionClosed:
            pass

    async with serve(echo, "127.0.0.1", 0, max_size=None, **options) as server:  # type: ignore[arg-type]
        yield SimpleNamespace(port=server.sockets[0].getsockname()[1])


def relay_to(upstream: SimpleNamespace, out: Path) -> RelayProcess:
    return RelayProcess(upstream, out)  # type: ignore[arg-type]  # of the upstream only the port is asked


MESSAGES: list[str | bytes] = ["", "hello", "ü" * 5000, b"", bytes(range(256)) * 300, '{"a": 1}' * 20_000]


async def test_compressed_messages_pass_between_websockets_peers(tmp_path: Path) -> None:
    async with echo_server() as upstream:
        with relay_to(upstream, tmp_path / "out") as relay:
            async with connect(f"ws://127.0.0.1:{relay.port}/stream/deflate", max_size=None) as client:
                assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
                for message in MESSAGES:
                    await client.send(message)
                    assert await client.recv() == message
                await client.send(iter(["frag", "men", "ted"]))
                assert await client.recv() == "fragmented"
                await (await client.ping(b"?"))
                await client.close(1001, "going away")
            relay.stop()
            rec = relay.recording("deflate")
            assert_whole(rec)
            said = [m.data for m in rec.messages() if m.dir == "c2s" and m.opcode in (1, 2)]
            wanted = [m.encode() if isinstance(m, str) else m for m in [*MESSAGES, "fragmented"]]
            assert said == wanted
            assert any(frame.rsv == 4 for frame in rec.frames())


async def test_subprotocol_is_agreed_through_the_relay(tmp_path: Path) -> None:
    async with echo_server(subprotocols=["chat.v2", "chat.v1"], compression=None) as upstream:
        with relay_to(upstream, tmp_path / "out") as relay:
            url = f"ws://127.0.0.1:{relay.port}/stream/sub"
            async with connect(url, subprotocols=["chat.v1"], compression=None) as client:  # type: ignore[list-item]
                assert client.subprotocol == "chat.v1"
                await client.send("hello")
                assert await client.recv() == "hello"
            relay.stop()
            answer = next(event for event in relay.recording("sub").events() if isinstance(event, Response))
            assert b"Sec-WebSocket-Protocol: chat.v1" in answer.raw


@pytest.mark.parametrize("bad", [b"\xff\xfe", b"ok \xed\xa0\x80"])
async def test_bad_utf_8_is_answered_by_the_peer_with_1007(tmp_path: Path, bad: bytes) -> None:
    async with echo_server() as upstream:
        with relay_to(upstream, tmp_path / "out") as relay:
            async with connect(f"ws://127.0.0.1:{relay.port}/stream/utf8") as client:
                await client.send(bad, text=True)
                with pytest.raises(ConnectionClosed) as closed:
                    await client.recv()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1007
            relay.stop()
            rec = relay.recording("utf8")
            assert_whole(rec)
            closes = [m.data[:2] for m in rec.messages() if m.opcode == 8]
            assert closes == [b"\x03\xef"] * 2


async def test_aiohttp_peers_pass_http_and_compressed_websocket_on_one_port(tmp_path: Path) -> None:
    async def socket(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=True, max_msg_size=0)
        await ws.prepare(request)
        async for message in ws:
            if message.type == WSMsgType.TEXT:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
        return ws

    async def page(request: web.Request) -> web.Response:
        return web.json_response({"got": len(await request.read())})

    app = web.Application(client_max_size=1 << 24)
    app.add_routes([web.get("/stream/{id}", socket), web.post("/page", page)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    upstream = SimpleNamespace(port=runner.addresses[0][1])
    with relay_to(upstream, tmp_path / "out") as relay:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{relay.port}") as session:
            async with session.ws_connect("/stream/aio", compress=15, max_msg_size=0) as ws:
                for message in MESSAGES:
                    await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
                    assert (await ws.receive()).data == message
            for size in (0, 1, 1_000_000):
                async with session.post("/page", data=b"x" * size) as answer:
                    assert await answer.json() == {"got": size}
        await runner.cleanup()
        relay.stop()
        assert_whole(relay.recording("aio"))
        assert_whole(relay.recording_of_rest())
        assert len(relay.files()) == 2


async def test_fifty_clients_at_once_do_not_mix(tmp_path: Path) -> None:
    async def talk(port: int, who: int) -> None:
        async with connect(f"ws://127.0.0.1:{port}/stream/client-{who}") as client:
            for n in range(20):
                await client.send(f"{who}:{n}")
                assert await client.recv() == f"{who}:{n}"

    async with echo_server() as upstream:
        with relay_to(upstream, tmp_path / "out") as relay:
            await asyncio.gather(*(talk(relay.port, who) for who in range(50)))
            relay.stop()
            for who in range(50):
                rec = relay.recording(f"client-{who}")
                assert_whole(rec)
                said = [m.data for m in rec.messages() if m.opcode == 1]
                assert said == [b"%d:%d" % (who, n) for n in range(20) for _ in range(2)]
