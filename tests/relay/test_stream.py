"""A recording that is being written: what its trailer adds up."""

from __future__ import annotations

from pathlib import Path

import pytest
from xxhash import xxh64

from wsproxy.recording.events import Trailer
from wsproxy.recording.reader import Recording
from wsproxy.relay.streams import Streams


@pytest.mark.parametrize("connections", [1, 2, 64, 65, 150])
def test_the_trailer_digests_the_digests_of_all_connections(tmp_path: Path, connections: int) -> None:
    streams = Streams(str(tmp_path), upstream="ws://h:2", relay="r")
    digests = {"c2s": "", "s2c": ""}
    for conn in range(connections):
        stream = streams.of("s", 0)  # which has ended since, and goes on
        lane = stream.lane(conn, "c", "u", None, 0, 0)
        lane.c2s.add(b"%d" % conn)
        stream.release(lane, 1, None, None)
        for dir in digests:
            digests[dir] += getattr(lane, dir).totals().digest
    *_, trailer = Recording(next(tmp_path.glob("*.msgpack"))).events()
    assert isinstance(trailer, Trailer)
    assert trailer.c2s.digest == xxh64(digests["c2s"].encode()).hexdigest()
    assert trailer.s2c.digest == xxh64(digests["s2c"].encode()).hexdigest()
