"""Hooks and other plain HTTP of a recording: answered, and played."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import httpx
from aiohttp import web

import wsproxy
from tests.cli.command import SAMPLES
from tests.relay.raw import chunked, request, response
from wsproxy import replay

from .conversations import only
from .made import CLIENT, SERVER, spoken

GOOD = SAMPLES / "blocked-delivered.msgpack"
HOOK = "/api/hooks/async_pre_call_hook"
OLD_ID = "136f0c3b-2ded-46ee-bc6c-d3c925298c38"


def two_answers(folder: Path) -> wsproxy.Recording:
    words = [
        (CLIENT, request("POST", "/hook", body=b'{"n": 1}')),
        (SERVER, response("200 OK", body=b"first")),
        (CLIENT, request("POST", "/hook", body=b'{"n": 2}')),
        (SERVER, response("201 Created", "Transfer-Encoding: chunked", body=chunked(b"sec", b"ond"))),
        (CLIENT, "fin"),
        (SERVER, "fin"),
    ]
    return spoken(folder / "two.msgpack", words)


async def test_a_hook_is_answered_as_recorded_with_the_live_id() -> None:
    body = {"data": {"litellm_call_id": "live-1"}, "user_api_key_dict": {}, "call_type": "completion"}
    async with replay.serve(GOOD) as server, httpx.AsyncClient() as client:
        answer = await client.post(f"http://127.0.0.1:{server.port}{HOOK}", json=body)
    assert answer.status_code == 200
    assert OLD_ID not in answer.text
    assert answer.json()["data"]["litellm_call_id"] == "live-1"


async def test_answers_come_in_recorded_order_and_the_last_repeats(tmp_path: Path) -> None:
    async with replay.serve(two_answers(tmp_path)) as server, httpx.AsyncClient() as client:
        answers = [await client.post(f"http://127.0.0.1:{server.port}/hook", json={}) for _ in range(4)]
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "first")] + [(201, "second")] * 3
    assert server.report.exchanges == 4


async def test_keep_alive_and_chunked_requests_share_a_connection(tmp_path: Path) -> None:
    async def parts():  # type: ignore[no-untyped-def]
        for part in (b'{"n"', b": 1}"):
            yield part

    async with replay.serve(two_answers(tmp_path)) as server:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}", connector=connector) as session:
            async with session.post("/hook", data=parts()) as answer:
                assert await answer.text() == "first"
            async with session.post("/hook", json={"n": 2}) as answer:
                assert await answer.text() == "second"
            async with session.get("/nowhere") as answer:
                assert answer.status == 404
                assert (await answer.json())["served"] == ["POST /hook (2)"]
            assert server.active == 1


async def test_pipelined_requests_are_answered_in_their_order(tmp_path: Path) -> None:
    async with replay.serve(two_answers(tmp_path)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request("POST", "/hook", body=b"{}") * 2)
        writer.write_eof()
        got = await reader.read()
        writer.close()
    assert got.index(b"first") < got.index(b"201 Created")


async def test_a_body_is_waited_for_with_100_continue(tmp_path: Path) -> None:
    async with replay.serve(two_answers(tmp_path)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request("POST", "/hook", "Expect: 100-continue", "Content-Length: 2"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.close()


async def test_a_body_that_is_not_as_recorded_is_told_when_asked_to_be_strict(tmp_path: Path) -> None:
    async with replay.serve(two_answers(tmp_path), match="strict") as server, httpx.AsyncClient() as client:
        await client.post(f"http://127.0.0.1:{server.port}/hook", json={"n": 9})
    (mismatch,) = server.report.mismatches
    assert (mismatch.field, mismatch.expected, mismatch.got) == ("n", "1", "9")


async def test_the_client_plays_hooks_and_compares_their_answers(tmp_path: Path) -> None:
    seen: list[dict[str, int]] = []

    async def hook(request: web.Request) -> web.Response:
        seen.append(await request.json())
        return web.Response(text="first") if len(seen) == 1 else web.Response(status=500, text="oh")

    app = web.Application()
    app.add_routes([web.post("/hook", hook)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    report = await replay.play(
        two_answers(tmp_path), f"http://127.0.0.1:{runner.addresses[0][1]}", record=tmp_path / "new"
    )
    await runner.cleanup()
    assert seen == [{"n": 1}, {"n": 2}]
    (mismatch,) = report.mismatches
    assert (mismatch.field, mismatch.expected, mismatch.got) == ("status", "201", "500")
    only(report)


async def test_a_hook_before_the_stream_is_played_before_the_stream() -> None:
    order: list[str] = []

    async def hook(request: web.Request) -> web.Response:
        order.append(json.loads(await request.text())["data"]["litellm_call_id"])
        return web.json_response({})

    async def stream(request: web.Request) -> web.WebSocketResponse:
        order.append(request.match_info["id"])
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.close()
        return ws

    app = web.Application()
    app.add_routes([web.post(HOOK, hook), web.get("/stream/{id}", stream)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await replay.play(
        GOOD, f"ws://127.0.0.1:{runner.addresses[0][1]}", fresh_ids=True, match="none", pace=replay.at_once
    )
    await runner.cleanup()
    assert len(order) == 2 and order[0] == order[1] != OLD_ID


async def test_both_sides_of_a_sample_play_with_each_other(tmp_path: Path) -> None:
    for name in ("allowed", "blocked-delivered", "blocked-lost", "long-compressed"):
        async with replay.serve(
            SAMPLES / f"{name}.msgpack", pace=replay.at_once, match="strict", record=tmp_path / "s"
        ) as server:
            options = {"pace": replay.at_once, "match": "strict", "record": tmp_path / "c"}
            report = await replay.play(SAMPLES / f"{name}.msgpack", server.url, **options)  # type: ignore[arg-type]
            await server.idle()
        assert report.mismatches == server.report.mismatches == []
        assert only(report).header.stream_id == only(server.report).header.stream_id
