"""The marker endpoint's batches: refused in a sentence, or written as markers that the reader reads. The first byte chooses JSON or msgpack."""

from __future__ import annotations

import msgpack

from wsproxy.recording.events import Marker
from wsproxy.recording.marker_packer import pack_timed
from wsproxy.relay.marker_clock import DAY_NS, BadMarkers, Clock, read_offset
from wsproxy.relay.markers import MarkerBatch

from .files import MemoryFile, recording

NOW = 7 * DAY_NS
CLOCK = Clock(NOW, 1_700_000_000_000_000_000, "boot")
TOKENS = [
    *(b'"stream_id"', b'"stage"', b'"policy.chunk_in"', b'"index"', b'"data"', b'"t_wall_ns"', b'"t_mono_ns"', b'"boot_id"', b'"source"'),
    *(msgpack.packb(word) for word in ("stream_id", "stage", "a.b", "index", "data", "t_wall_ns", "t_mono_ns", "boot_id", "boot", "source", NOW)),
    *(b"\x88", b"\xcf", b"\xd9", b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xc1", b"\xd6\xff\0\0\0\0", b"1e999", b"NaN", b"\\ud800", b"[[[["),
]  # fmt: skip
_file = MemoryFile()


def check(data: bytes) -> None:
    kind, body = data[:1], data[1:]
    try:
        if kind == b"c":
            read_offset(body.decode("utf-8", "surrogateescape"))
            return
        batch = MarkerBatch(body, "application/json" if kind == b"j" else "application/msgpack", CLOCK)
        for _ in batch.slices():
            pass
    except BadMarkers as error:
        assert str(error)
        return
    for stream_id, markers in batch.by_stream.items():
        assert 0 < len(stream_id) <= 1024
        rec = recording(_file, b"".join(pack_timed(markers, 0)))
        events = list(rec.events())
        assert len(events) == len(markers), (rec.ending, len(events), len(markers))
        assert all(type(event) is Marker for event in events)
        assert all(abs(event.t - NOW) <= 2 * DAY_NS for event in events if isinstance(event, Marker))
