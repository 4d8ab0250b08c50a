"""What a handshake can carry besides: subprotocols, cookies, a redirect, a 401."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

import wsproxy
from wsproxy.wire.events import Request, Response

from .cells import Cell, Route, finished
from .peers import CLIENTS, SERVERS, Peers

FOLLOWS = ("websockets-13", "websockets", "aiohttp", "picows", "ws")  # redirects; browsers and wsproto do not
CREDENTIALS = "Basic " + base64.b64encode(b"peer:secret").decode()

each_pair = [(client, server) for client in CLIENTS for server in SERVERS]


def answers(recording: wsproxy.Recording) -> list[int]:
    """The statuses of a recording, in order."""
    return [event.status for event in recording.events() if isinstance(event, Response)]


def own_recordings(route: Route, before: set[str]) -> list[wsproxy.Recording]:
    """What was recorded since, of connections that went to no stream's path."""
    return [finished(route.relay.out / name) for name in set(route.relay.files()) - before]


@pytest.mark.parametrize(("client", "server"), each_pair)
def test_subprotocol_and_cookies_pass_both_ways(
    peers: Peers, fresh_id: Callable[[str], str], client: str, server: str
) -> None:
    cell = Cell(peers.client(client), peers.route(server), fresh_id("hello"))
    report, _ = cell.hold(
        subprotocols=["chat.v1", "other"],
        **({"cookie": "peer=yes"} if client == "chromium" else {"headers": {"Cookie": "peer=yes"}}),
    )
    assert report["subprotocol"] == report["server"]["subprotocol"] == "chat.v1"
    assert report["cookie"] == "served=yes; Path=/"
    assert "peer=yes" in report["server"]["cookie"]


@pytest.mark.parametrize(("client", "server"), each_pair)
def test_a_redirect_is_followed_through_the_relay_or_refused(
    peers: Peers, fresh_id: Callable[[str], str], client: str, server: str
) -> None:
    route = peers.route(server)
    asked = peers.client(client)
    before = set(route.relay.files())
    cell = Cell(asked, route, fresh_id("moved"), place="redirect")
    if client in FOLLOWS:
        cell.hold()
    elif client == "chromium":
        with pytest.raises(AssertionError, match="no connection"):
            cell.ask()
    else:
        assert cell.ask() == {"refused": 307}
    statuses = sorted(status for recording in own_recordings(route, before) for status in answers(recording))
    assert statuses == ([101, 307] if client in FOLLOWS else [307])


@pytest.mark.parametrize(("client", "server"), each_pair)
def test_a_401_is_told_and_recorded_with_its_challenge_and_body(
    peers: Peers, fresh_id: Callable[[str], str], client: str, server: str
) -> None:
    route = peers.route(server)
    asked = peers.client(client)
    before = set(route.relay.files())
    cell = Cell(asked, route, fresh_id("private"), place="private")
    if client == "chromium":
        with pytest.raises(AssertionError, match="no connection"):
            cell.ask()
    else:
        assert cell.ask() == {"refused": 401}
    (recording,) = own_recordings(route, before)
    (answer,) = (event for event in recording.events() if isinstance(event, Response))
    assert answer.status == 401
    assert b'Basic realm="peers"' in answer.raw
    assert b"who are you?" in b"".join(recording.wire("s2c"))


@pytest.mark.parametrize(("client", "server"), [pair for pair in each_pair if pair[0] != "chromium"])
def test_with_credentials_the_handshake_passes(
    peers: Peers, fresh_id: Callable[[str], str], client: str, server: str
) -> None:
    route = peers.route(server)
    asked = peers.client(client)
    before = set(route.relay.files())
    report = Cell(asked, route, fresh_id("private"), place="private").ask(headers={"Authorization": CREDENTIALS})
    assert len(report["server"]["got"]) == 2
    (recording,) = own_recordings(route, before)
    (asked_for,) = (event for event in recording.events() if isinstance(event, Request))
    assert CREDENTIALS.encode() in asked_for.raw
    assert answers(recording) == [101]
