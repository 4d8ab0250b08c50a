"""Every client with every server: what one says the other hears, and the recording says the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .cells import Cell, handshake
from .peers import CLIENTS, SERVERS, Peers

CAN_FRAGMENT = ("websockets-13", "websockets", "wsproto", "picows", "ws")
CAN_PING = ("websockets-13", "websockets", "aiohttp", "picows", "ws")
HAS_DEFLATE = [name for name in CLIENTS if name != "picows"]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("client", CLIENTS)
def test_each_gets_what_the_other_sent_and_so_does_the_recording(
    peers: Peers, fresh_id: Callable[[str], str], client: str, server: str
) -> None:
    route = peers.route(server)
    words = f"{client}-to-{server}"
    cell = Cell(peers.client(client), route, fresh_id(words), "full", (4000, "that was all, grüße"))
    _, recording = cell.hold()
    frames = {m.data: m.frames for m in recording.messages() if m.dir == "c2s" and m.opcode == 1}
    assert (frames["three fragments of text €".encode()] >= 3) == (client in CAN_FRAGMENT)
    assert any(m.opcode == 9 for m in recording.messages() if m.dir == "s2c") == (server in CAN_PING)
    assert any(m.opcode == 9 for m in recording.messages() if m.dir == "c2s") == (client != "chromium")
    deflates = client in HAS_DEFLATE and server != "picows"
    assert (b"permessage-deflate" in handshake(recording).lower()) == deflates
    Cell(peers.client(client), route, fresh_id(words), "short", (4001, "the server has had enough"), "server").hold()
