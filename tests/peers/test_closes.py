"""Close codes with their reasons, as either side sends them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .cells import Cell, Close
from .peers import Peers

LONGEST = "ü" * 61 + "!"  # 123 bytes
ANY: list[Close] = [
    *((code, f"because {code}") for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4999)),
    (1000, ""),
    (4000, LONGEST),
    (None, ""),  # only `ws` and browsers send that
]
OF_A_PAGE: list[Close] = [(1000, "done"), (3000, ""), (4999, LONGEST), (None, "")]  # no others are allowed
WITH_CODE = [close for close in ANY if close[0] is not None]


@pytest.mark.parametrize("server", ["websockets-13", "websockets", "aiohttp", "uvicorn-wsproto", "picows", "ws"])
@pytest.mark.parametrize("client", ["websockets-13", "websockets", "wsproto", "picows", "ws", "chromium"])
def test_a_client_s_code_and_reason_reach_the_server(
    peers: Peers, fresh_id: Callable[[str], str], client: str, server: str
) -> None:
    closes = OF_A_PAGE if client == "chromium" else ANY if client == "ws" else WITH_CODE
    for close in closes:
        Cell(peers.client(client), peers.route(server), fresh_id("close"), close=close).hold()


@pytest.mark.parametrize("client", ["websockets-13", "websockets", "wsproto", "picows", "ws", "chromium"])
@pytest.mark.parametrize("server", ["websockets-13", "websockets", "aiohttp", "hypercorn", "picows", "ws"])
def test_a_server_s_code_and_reason_reach_the_client(
    peers: Peers, fresh_id: Callable[[str], str], client: str, server: str
) -> None:
    for close in WITH_CODE:
        Cell(peers.client(client), peers.route(server), fresh_id("close"), close=close, closes="server").hold()
