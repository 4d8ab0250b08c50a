"""After all that: `wsproxy verify` of everything that the peers have left behind."""

from __future__ import annotations

import json

from tests.cli.command import wsproxy as run

from .cells import Cell
from .peers import CLIENTS, Peers


def test_verify_proves_every_recording_of_every_peer(peers: Peers) -> None:
    for client in CLIENTS:
        Cell(peers.client(client), peers.route("websockets"), f"verify-{client}").hold()
    for route in peers.routes:
        route.relay.stop()
        done = run("verify", "--json", *(route.relay.out / name for name in route.relay.files()))
        verdicts = done.objects
        assert len(verdicts) == len(route.relay.files())
        assert done.status == 0, [json.dumps(verdict) for verdict in verdicts if not verdict["exact"]][:3]
        assert route.relay.stderr == []
