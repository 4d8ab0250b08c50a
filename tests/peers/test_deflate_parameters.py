"""permessage-deflate with every combination of its parameters that a peer can be given: messages come out as they went in.

The script repeats itself at distances around each window, so that a window or a context that is misread shows.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from .cells import Cell, handshake
from .peers import Peers

BITS = (None, *range(9, 16))


def combinations() -> Iterator[dict[str, Any]]:
    """All 256: each context kept or not, each window left open or of 9 to 15 bits."""
    for client_fresh, server_fresh, client_bits, server_bits in itertools.product(
        (False, True), (False, True), BITS, BITS
    ):
        flags = {"client_no_context_takeover": client_fresh, "server_no_context_takeover": server_fresh}
        windows = {"client_max_window_bits": client_bits, "server_max_window_bits": server_bits}
        yield {name: True for name, value in flags.items() if value} | {
            k: v for k, v in windows.items() if v is not None
        }


@pytest.mark.parametrize(
    ("client", "server"),
    [("websockets-13", "ws"), ("wsproto", "hypercorn"), ("ws", "uvicorn-websockets")],
)
def test_a_client_may_offer_any_combination(
    peers: Peers, fresh_id: Callable[[str], str], client: str, server: str
) -> None:
    cells = [(Cell(peers.client(client), peers.route(server), fresh_id("offer"), "windows"), d) for d in combinations()]
    reports = [(cell, cell.ask(deflate=deflate)) for cell, deflate in cells]
    for cell, report in reports:
        assert "permessage-deflate" in report["extensions"]
        cell.prove(report)
    assert len({report["extensions"] for _, report in reports}) >= 64


@pytest.mark.parametrize(
    ("client", "server"), [("websockets-13", "websockets"), ("websockets", "websockets-13"), ("websockets", "ws")]
)
def test_a_server_may_be_set_to_any_combination(
    peers: Peers, fresh_id: Callable[[str], str], client: str, server: str
) -> None:
    queries = [f"deflate={quote(json.dumps(deflate))}" for deflate in combinations()]
    cells = [Cell(peers.client(client), peers.route(server), fresh_id("set"), "windows", query=q) for q in queries]
    reports = [(cell, cell.ask()) for cell in cells]
    for cell, report in reports:
        cell.prove(report)
    assert len({report["extensions"] for _, report in reports}) >= 64


@pytest.mark.parametrize("server", ["aiohttp", "ws", "websockets"])
def test_aiohttp_may_ask_for_any_window(peers: Peers, fresh_id: Callable[[str], str], server: str) -> None:
    for bits in range(9, 16):
        cell = Cell(peers.client("aiohttp"), peers.route(server), fresh_id("window"), "windows")
        report, _ = cell.hold(deflate={"client_max_window_bits": bits})
        assert "permessage-deflate" in report["extensions"]


@pytest.mark.parametrize("client", ["websockets-13", "websockets", "aiohttp", "wsproto", "ws"])
@pytest.mark.parametrize("server", ["websockets-13", "websockets", "aiohttp", "hypercorn", "uvicorn-websockets", "ws"])
def test_a_client_may_offer_none(peers: Peers, fresh_id: Callable[[str], str], client: str, server: str) -> None:
    cell = Cell(peers.client(client), peers.route(server), fresh_id("none"), "windows")
    report, recording = cell.hold(deflate=None)
    assert report["extensions"] is None
    assert b"sec-websocket-extensions" not in handshake(recording).lower()


@pytest.mark.parametrize("server", ["websockets-13", "websockets", "ws"])
def test_chromium_agrees_to_any_window_that_a_server_sets(
    peers: Peers, fresh_id: Callable[[str], str], server: str
) -> None:
    browser = peers.client("chromium")
    for bits in range(9, 16):
        deflate = {
            "server_max_window_bits": bits,
            "client_max_window_bits": bits,
            "server_no_context_takeover": bits > 12,
        }
        cell = Cell(
            browser, peers.route(server), fresh_id("window"), "windows", query=f"deflate={quote(json.dumps(deflate))}"
        )
        report, _ = cell.hold()
        if server == "ws":  # a server may choose a window that the client did not ask for; `websockets` does it too
            assert f"client_max_window_bits={bits}" in report["extensions"]
