"""Recorded, then played to the same peers: nothing but times differs. Real libraries on both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from .conversations import Conversation, ServerOf, assert_round_trip, node_with_ws, said

MESSAGES: list[str | bytes] = ["", "hello", "ü☕" * 3000, b"", bytes(range(256)) * 300, '{"type": "CHUNK"}' * 2000]


# --- websockets --------------------------------------------------------------------------------------------------------


def websockets_server(**options: Any) -> ServerOf:
    """Echoes; on "parts" it answers in three frames, on "ping me" it pings first, on "go" it closes with 1011."""

    @asynccontextmanager
    async def running() -> AsyncIterator[int]:
        async def talk(connection: ServerConnection) -> None:
            try:
                async for message in connection:
                    if message == "parts":
                        await connection.send(iter(["pa", "", "rts" * 1000]))
                    elif message == "ping me":
                        await (await connection.ping(b"are you there"))
                        await connection.send("pinged")
                    elif message == "go":
                        await connection.close(1011, "on the server's wish")
                    else:
                        await connection.send(message)
            except ConnectionClosed:
                pass

        async with serve(talk, "127.0.0.1", 0, max_size=None, **options) as server:
            yield server.sockets[0].getsockname()[1]

    return running


async def echoes(client: ClientConnection) -> None:
    for message in MESSAGES:
        await client.send(message)
        assert await client.recv() == message


async def full_talk(url: str, **options: Any) -> None:
    async with connect(url, max_size=None, **options) as client:
        await echoes(client)
        await client.send(iter(["frag", "men", "ted"]))
        assert await client.recv() == "fragmented"
        await client.send(iter([b"\x00" * 70_000, b"\x01"]))
        assert await client.recv() == b"\x00" * 70_000 + b"\x01"
        await client.send("parts")
        assert await client.recv() == "parts" + "rts" * 999
        await (await client.ping(b"?"))
        await client.send("ping me")
        assert await client.recv() == "pinged"
        await client.close(4001, "enough")


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_websockets_peers_say_the_same_to_a_replay(tmp_path: Path, compression: str | None) -> None:
    conversation = Conversation(
        websockets_server(compression=compression), lambda url: full_talk(url, compression=compression)
    )
    recording = await assert_round_trip(conversation, tmp_path)
    frames = [message for message in said(recording, "s2c") if message.opcode < 8]
    assert {message.compressed for message in frames} == {compression == "deflate"}
    assert {1, 4} <= {message.frames for message in frames}


async def test_without_pauses_they_still_do(tmp_path: Path) -> None:
    from wsproxy import replay

    await assert_round_trip(Conversation(websockets_server(), full_talk), tmp_path, pace=replay.at_once, match="strict")


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_the_clients_close_code_is_the_recorded_one(tmp_path: Path, code: int) -> None:
    async def talk(url: str) -> None:
        async with connect(url) as client:
            await client.send("hello")
            await client.recv()
            await client.close(code, "so be it")

    recording = await assert_round_trip(Conversation(websockets_server(), talk), tmp_path)
    assert said(recording, "c2s")[-1].data == code.to_bytes(2, "big") + b"so be it"


async def test_the_servers_close_is_played(tmp_path: Path) -> None:
    async def talk(url: str) -> None:
        async with connect(url) as client:
            await client.send("go")
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1011

    recording = await assert_round_trip(Conversation(websockets_server(), talk), tmp_path)
    assert said(recording, "s2c")[-1].data[:2] == (1011).to_bytes(2, "big")


async def test_a_subprotocol_is_agreed_again(tmp_path: Path) -> None:
    async def talk(url: str) -> None:
        async with connect(url, subprotocols=["chat.v1"]) as client:  # type: ignore[list-item]
            assert client.subprotocol == "chat.v1"
            await echoes(client)

    await assert_round_trip(Conversation(websockets_server(subprotocols=["chat.v2", "chat.v1"]), talk), tmp_path)


# --- aiohttp -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def aiohttp_server() -> AsyncIterator[int]:
    async def talk(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=True, max_msg_size=0)
        await ws.prepare(request)
        async for message in ws:
            if message.type == WSMsgType.TEXT:
                await ws.send_str(message.data)
            else:
                await ws.send_bytes(message.data)
        return ws

    app = web.Application()
    app.add_routes([web.get("/stream/{id}", talk)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("compress", [15, 9, 0])
async def test_aiohttp_peers_say_the_same_to_a_replay(tmp_path: Path, compress: int) -> None:
    async def talk(url: str) -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(url, compress=compress, max_msg_size=0) as ws:
            for message in MESSAGES:
                await (ws.send_str(message) if isinstance(message, str) else ws.send_bytes(message))
                assert (await ws.receive()).data == message
            await ws.ping(b"?")
            await ws.send_str("after the ping")
            assert (await ws.receive()).data == "after the ping"
            await ws.close(code=4002, message=b"bye")

    recording = await assert_round_trip(Conversation(aiohttp_server, talk), tmp_path)
    assert any(message.compressed for message in said(recording, "s2c")) == bool(compress)


# --- Node.js ws --------------------------------------------------------------------------------------------------------

NODE_SERVER = """\
const { WebSocketServer } = require("ws");
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: { threshold: 100 } });
server.on("connection", (ws) => ws.on("message", (data, binary) => ws.send(data, { binary })));
server.on("listening", () => console.log(server.address().port));
"""
NODE_CLIENT = """\
const WebSocket = require("ws");
const ws = new WebSocket(process.argv[2], { perMessageDeflate: { threshold: 100 } });
const messages = ["", "hello", "\\u00fc\\u2615".repeat(3000), Buffer.alloc(0), Buffer.alloc(70000, 7), "x".repeat(99)];
const answer = () => new Promise((resolve) => ws.once("message", (data, binary) => resolve(binary ? data : String(data))));
ws.on("open", async () => {
  for (const message of messages) {
    ws.send(message);
    const got = await answer();
    if (Buffer.compare(Buffer.from(got), Buffer.from(message))) process.exit(3);
  }
  ws.send("frag", { fin: false }); ws.send("men", { fin: false }); ws.send("ted", { fin: true });
  if (await answer() !== "fragmented") process.exit(4);
  ws.ping("?");
  await new Promise((resolve) => ws.once("pong", resolve));
  ws.close(4003, "bye");
});
ws.on("close", (code) => process.exit(code === 4003 ? 0 : 5));
ws.on("error", (error) => { console.error(error); process.exit(6); });
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """(the command, the folder of the two programs)"""
    folder = tmp_path_factory.mktemp("node")
    command = node_with_ws(folder)
    (folder / "server.js").write_text(NODE_SERVER)
    (folder / "client.js").write_text(NODE_CLIENT)
    return command, folder


async def test_node_peers_say_the_same_to_a_replay(tmp_path: Path, node: tuple[list[str], Path]) -> None:
    command, folder = node

    @asynccontextmanager
    async def server() -> AsyncIterator[int]:
        process = await asyncio.create_subprocess_exec(
            *command, "server.js", cwd=folder, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            yield int(await process.stdout.readline())
        finally:
            process.terminate()
            await process.wait()

    async def talk(url: str) -> None:
        process = await asyncio.create_subprocess_exec(*command, "client.js", url, cwd=folder)
        assert await process.wait() == 0

    recording = await assert_round_trip(Conversation(server, talk), tmp_path)
    assert {message.frames for message in said(recording, "c2s")} == {1, 3}
