"""A peer behind a cable that is cut without a word, or is slow and loses packets: nobody waits for ever, and nothing is lost that need not be."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import wsproxy
from tests.relay.raw import ACCEPTED, MASK, PING, Peer, RawServer, close_frame, frame, upgrade
from tests.relay.relay_process import RelayProcess, assert_passed, assert_same, assert_whole
from wsproxy.recording.events import Totals
from wsproxy.wire.events import End

from .cable import Cable, NotHere, cable
from .talk import CHUNKS, START

Pair = tuple[Peer, Peer]
RETRIES = 3  # of bytes that nobody acknowledges: 3 seconds


def message(type_: str, **more: object) -> bytes:
    return json.dumps({"type": type_, **more}).encode()


@dataclass
class Bed:
    """A relay on the near host; a server beside it and one at the other end of the cable."""

    cable: Cable
    relay: RelayProcess
    far: RawServer
    near: RawServer

    def up(self, stream: str) -> Pair:
        """(client, server), the server at the far end."""
        return self._open(self.cable.near.dial(self.cable.near, self.relay.ports[0]), self.far, stream)

    def down(self, stream: str) -> Pair:
        """(client, server), the client at the far end."""
        client, server = self._open(self.cable.far.dial(self.cable.near, self.relay.ports[1]), self.near, stream)
        client.send(frame(b"", PING, mask=MASK))  # which acknowledges at once what came before
        server.read(len(client.sent) - len(server.received))
        return client, server

    def _open(self, client: Peer, listening: RawServer, stream: str) -> Pair:
        client.send(upgrade(f"/stream/{stream}"))
        server = listening.accept()
        server.read_head()
        server.send(ACCEPTED)
        client.read(len(ACCEPTED))
        for said in (message("START", data=START["data"]), message("CHUNK", data=CHUNKS[0])):
            client.send(frame(said, mask=MASK))
        server.read(len(client.sent) - len(server.received))
        server.send(frame(message("CHUNK", data=CHUNKS[0])))
        client.read(len(server.sent) - len(client.received))
        return client, server


@contextmanager
def bed(out: Path, *options: str) -> Iterator[Bed]:
    try:
        with cable() as between:
            far, near = between.far.server(), between.near.server()
            ways = (f"0.0.0.0:0=ws://{between.far.address}:{far.port}", f"0.0.0.0:0=ws://127.0.0.1:{near.port}")
            with RelayProcess(
                near, out, *(word for way in ways for word in ("--listen", way)), *options,
                within=between.near.within, upstream_option=False, listen_option=False,
            ) as relay:  # fmt: skip
                yield Bed(between, relay, far, near)
            far.close()
            near.close()
    except NotHere as why:
        if os.environ.get("CI") and os.geteuid() == 0 and "no program" in str(why):
            raise
        pytest.skip(str(why))


# --- cut ---------------------------------------------------------------------------------------------------------------


@dataclass
class Cut:
    """What a cut cable left: pairs by stream, and the relay, which has stopped."""

    pairs: dict[str, Pair]
    relay: RelayProcess

    def ends(self, stream: str) -> dict[str, End]:
        return {event.dir: event for event in self.relay.recording(stream).events() if isinstance(event, End)}


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cut]:
    """Four connections over a cable that is cut; each learns of it in its own way, at the same time."""
    with bed(tmp_path_factory.mktemp("cut") / "out", "--keepalive", "1") as here:
        here.cable.near.set("tcp_retries2", RETRIES)
        pairs = {
            "idle": here.up("idle"),
            "asking": here.up("asking"),
            "leaving": here.up("leaving"),
            "idle-client": here.down("idle-client"),
            "answering": here.down("answering"),
        }
        here.cable.cut()
        pairs["asking"][0].send(frame(message("CHUNK", data=CHUNKS[1]), mask=MASK))
        pairs["answering"][1].send(frame(message("CHUNK", data=CHUNKS[1])))
        pairs["leaving"][0].send(close_frame(1000, mask=MASK))
        pairs["leaving"][0].finish()
        for stream, side in (("idle", 0), ("asking", 0), ("leaving", 0), ("idle-client", 1), ("answering", 1)):
            pairs[stream][side].read_to_reset()
        here.relay.stop()
        assert here.relay.stderr == []
        yield Cut(pairs, here.relay)


@pytest.mark.parametrize(
    ("stream", "gone"),
    [("idle", "s2c"), ("asking", "s2c"), ("leaving", "s2c"), ("idle-client", "c2s"), ("answering", "c2s")],
)
def test_a_peer_behind_a_cut_cable_is_given_up_and_the_other_side_is_reset(cut: Cut, stream: str, gone: str) -> None:
    client, server = cut.pairs[stream]
    recording = cut.relay.recording(stream)
    assert_whole(recording)
    assert_same(b"".join(recording.wire("c2s")), client.sent, "recorded c2s:")
    assert_same(b"".join(recording.wire("s2c")), server.sent, "recorded s2c:")
    ends = cut.ends(stream)
    assert ends[gone].how == "lost: ETIMEDOUT"
    other = ends["c2s" if gone == "s2c" else "s2c"]
    assert other.how == ("fin" if stream == "leaving" else "aborted")
    sent, heard = (client.sent, server.received) if gone == "s2c" else (server.sent, client.received)
    if stream in ("asking", "answering"):
        assert other.undelivered >= len(sent) - len(heard) > 0


@pytest.mark.parametrize(
    ("stream", "who"),
    [
        ("idle", "control plane"),
        ("asking", "control plane"),
        ("leaving", "control plane"),
        ("idle-client", "client"),
        ("answering", "client"),
    ],
)
def test_diagnose_says_who_vanished_since_when(cut: Cut, stream: str, who: str) -> None:
    diagnosis = wsproxy.diagnose(cut.relay.recording(stream))
    (found,) = [one for one in diagnosis.findings if one.code == "peer-vanished"]
    assert found.ms is not None and found.ms >= 1000
    assert re.match(
        rf"the {who} vanished: nothing came from it after \d+\.\d{{4}} s, and the relay gave it up at \d+\.\d{{4}} s, "
        r".* later \(ETIMEDOUT\)",
        found.sentence,
    )
    assert ("were never acknowledged" in found.sentence) == (stream in ("asking", "answering"))
    if stream in ("asking", "idle", "answering"):
        assert diagnosis.main is found, str(diagnosis)


# --- slow and lossy ----------------------------------------------------------------------------------------------------


def test_over_a_cable_of_200_ms_that_loses_2_percent_nothing_is_lost(tmp_path: Path) -> None:
    with bed(tmp_path / "out") as here:
        here.cable.delay, here.cable.loss = 0.1, 0.02
        pairs = {"slow-server": here.up("slow-server"), "slow-client": here.down("slow-client")}
        for client, server in pairs.values():
            for chunk in CHUNKS[1:]:
                client.send(frame(message("CHUNK", data=chunk), mask=MASK))
            client.send(frame(b"\x00" * 200_000, 2, mask=MASK))
            server.send(frame(b"\x01" * 200_000, 2))
            for chunk in CHUNKS[1:]:
                server.send(frame(message("CHUNK", data=chunk)))
        for client, server in pairs.values():
            server.read(len(client.sent) - len(server.received))
            client.read(len(server.sent) - len(client.received))
            client.close()
            server.read_to_fin()
            server.close()
        assert here.cable.lost
        here.relay.stop()
        for stream, (client, server) in pairs.items():
            recording = here.relay.recording(stream)
            assert_passed(recording, client, server)
            (totals,) = (event for event in recording.events() if isinstance(event, Totals))
            slow, quick = (totals.server, totals.client) if stream == "slow-server" else (totals.client, totals.server)
            assert slow is not None and quick is not None
            assert quick.rtt_us < 50_000 <= 200_000 <= slow.rtt_us
            who = "control plane" if stream == "slow-server" else "client"
            assert f"the way between the relay and the {who} is slow: a round trip takes " in str(
                wsproxy.diagnose(recording)
            )
