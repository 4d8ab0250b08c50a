"""SIGKILL at any moment: whatever a peer received stands in the recording.

Strategy: peers in threads flood and collect until the connection dies; the kill comes when a random number of bytes has been received, so
moments differ without any clock. `Peer.sent` may be ahead of the recording (bytes that the relay never read); `received` may not.
`WSPROXY_TEST_KILLS=500` makes it the long run.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable

import pytest

from wsproxy.analysis import exactness

from .raw import DEADLINE, MASK, Peer, frame
from .relay_process import RelayProcess

CONNECTIONS = 4
KILLS = int(os.environ.get("WSPROXY_TEST_KILLS", "24"))


class Load:
    """Both directions of some WebSockets under load; `reached` is set when that many bytes have been received in all."""

    def __init__(self, lines: list[tuple[Peer, Peer]], goal: int, seed: int) -> None:
        self.reached = threading.Event()
        self._goal = goal
        self._lock = threading.Lock()
        self._total = 0
        self._threads = [
            threading.Thread(target=work, args=args, daemon=True)
            for n, (client, server) in enumerate(lines)
            for work, args in (
                (self._send, (client, MASK, seed + n)),
                (self._send, (server, None, seed - n)),
                (self._receive, (client,)),
                (self._receive, (server,)),
            )
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()

    def _send(self, peer: Peer, mask: bytes | None, seed: int) -> None:
        rng = random.Random(seed)
        block = b"".join(frame(rng.randbytes(rng.choice((0, 20, 300, 9000))), 2, mask=mask) for _ in range(20))
        try:
            while True:
                cut = rng.randrange(1, len(block))
                peer.send(block[:cut], block[cut:])
        except OSError:
            pass

    def _receive(self, peer: Peer) -> None:
        try:
            while data := peer.sock.recv(65536):
                peer.received += data
                with self._lock:
                    self._total += len(data)
                    if self._total >= self._goal:
                        self.reached.set()
        except OSError:
            pass


@pytest.mark.parametrize("seed", range(KILLS))
def test_everything_that_was_delivered_before_a_kill_is_recorded(
    start_relay: Callable[..., RelayProcess], seed: int
) -> None:
    relay = start_relay()
    lines = [relay.open_websocket(f"/stream/{n}") for n in range(CONNECTIONS)]
    load = Load(lines, random.Random(seed).randrange(1, 8 << 20), seed)
    assert load.reached.wait(DEADLINE)
    relay.kill()
    load.join()
    for n, (client, server) in enumerate(lines):
        rec = relay.recording(str(n))
        up, down = b"".join(rec.wire("c2s")), b"".join(rec.wire("s2c"))
        assert up.startswith(server.received)
        assert down.startswith(client.received)
        assert exactness.check(rec.events()).problems == []
        assert rec.ending is not None and rec.ending.state in ("unfinished", "torn")
        assert (rec.ending.state == "torn") == (rec.ending.left > 0)
        client.close()
        server.close()
