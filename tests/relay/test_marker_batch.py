"""A batch of markers read without a relay around it: what the hooks send and what anybody sends are one; what is wrong is named."""

from __future__ import annotations

import json
import random
from typing import Any

import msgpack
import pytest

from wsproxy.hooks.delivery import Relay
from wsproxy.hooks.sender import Sender
from wsproxy.hooks.snapshot import snapshot
from wsproxy.recording.events import Marker
from wsproxy.recording.format import read_event
from wsproxy.recording.marker_packer import pack_timed
from wsproxy.relay.marker_clock import DAY_NS, BadMarkers, Clock, boot_id
from wsproxy.relay.markers import BATCH_LIMIT, SLICE_BYTES, MarkerBatch

NOW = 7 * DAY_NS
CLOCK = Clock(NOW, 1_700_000_000_000_000_000, boot_id())
CHUNK = {"id": "c1", "choices": [{"index": 0, "delta": {"content": "wörd"}, "finish_reason": None}], "created": 1}
IDS = ("a", "x" * 31, "y" * 32, "ü" * 100, "z" * 255, "long" * 100, "¤data", "\xa5stage")
STAGES = ("policy.chunk_in", "a.b", "my_own.stage_of_more_than_31_characters")
PADDING = {"stream_id": "last", "stage": "a.b", "data": "x" * 2_000, "t_mono_ns": NOW, "boot_id": boot_id()}


def taken(markers: Any, content_type: str = "application/msgpack", clock: Clock = CLOCK) -> dict[str, list[Marker]]:
    """The markers as a recording that starts at 0 has them."""
    body = markers if isinstance(markers, bytes) else msgpack.packb(markers)
    batch = MarkerBatch(body, content_type, clock)
    for _ in batch.slices():
        pass
    out = {}
    for stream_id, found in batch.by_stream.items():
        events = [read_event(m) for m in _unpacked(b"".join(pack_timed(found, 0)))]
        assert all(isinstance(event, Marker) for event in events)
        out[stream_id] = events
    return out  # type: ignore[return-value]


def _unpacked(data: bytes) -> list[Any]:
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
    unpacker.feed(data)
    return list(unpacker)


def of_hooks(count: int) -> list[bytes]:
    """Markers as the hooks pack them, of all ids and stages, with and without index and data."""
    sender = Sender(Relay("http://127.0.0.1:1"), exit_flush=False)
    dice = random.Random(1)
    return [
        sender.pack(
            dice.choice(IDS), dice.choice(STAGES), dice.choice([None, n, n, n]),
            dice.choice([None, *[snapshot({**CHUNK, "id": f"c{n}"})] * 3, snapshot(None)]), (NOW - n, 1_700_000_000_000_000_000),
        )
        for n in range(count)
    ]  # fmt: skip


def test_what_hooks_send_is_recorded_as_if_anybody_had_sent_it() -> None:
    packed = of_hooks(400)
    by_hooks = taken(msgpack.Packer().pack_array_header(400) + b"".join(packed))
    plain = [dict(reversed(msgpack.unpackb(one).items())) for one in packed]
    assert taken(plain) == by_hooks
    assert taken(json.dumps(plain).encode(), "application/json") == by_hooks
    assert sum(map(len, by_hooks.values())) == 400 and set(by_hooks) == set(IDS)
    first = msgpack.unpackb(packed[0])
    marker = by_hooks[first["stream_id"]][0]
    assert (marker.stage, marker.index, marker.t) == (first["stage"], first.get("index"), first["t_mono_ns"])
    assert (marker.data, marker.source, marker.error_ns) == (first.get("data"), first["source"], 0)


def test_a_batch_may_end_anywhere_in_a_marker_of_the_longest_source() -> None:
    packed = msgpack.packb(hooks_marker(stream_id="z" * 255, source="ü" * 200))
    for size in range(len(packed)):
        with pytest.raises(BadMarkers, match=r"^body: not msgpack: it ends too early"):
            taken(b"\x93" + packed + packed + packed[:size])
    assert len(taken(b"\x93" + packed * 3)["z" * 255]) == 3


def test_a_long_batch_is_read_in_slices() -> None:
    body = msgpack.Packer().pack_array_header(500) + b"".join(of_hooks(500))
    assert sum(1 for _ in MarkerBatch(body, "application/msgpack", CLOCK).slices()) >= len(body) // SLICE_BYTES - 1


def hooks_marker(**changed: Any) -> dict[str, Any]:
    fields = {
        "stream_id": "s", "stage": "policy.chunk_in", "t_mono_ns": NOW, "t_wall_ns": 1_700_000_000_000_000_000,
        "boot_id": boot_id(), "source": "pid 1 x", "index": 1 << 62, "data": CHUNK,
    }  # fmt: skip
    return fields | changed


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"stream_id": ""}, "stream_id"),
        ({"stream_id": b"\xff\xfe"}, "stream_id"),
        ({"stream_id": None}, "stream_id"),
        ({"stream_id": "x" * 1025}, "stream_id"),
        ({"stage": "nodot"}, "stage"),
        ({"stage": "Upper.case"}, "stage"),
        ({"stage": "a.b\n"}, "stage"),
        ({"stage": 5}, "stage"),
        ({"stage": ["a.b"]}, "stage"),
        ({"index": 1 << 63}, "index"),
        ({"index": -1}, "index"),
        ({"index": 0.5}, "index"),
        ({"t_mono_ns": NOW + 2 * DAY_NS}, "t_mono_ns"),
        ({"t_mono_ns": -1}, "t_mono_ns"),
        ({"t_mono_ns": "now"}, "t_mono_ns"),
        ({"t_mono_ns": None, "t_wall_ns": 5}, "t_wall_ns"),
        ({"boot_id": 7}, "boot_id"),
        ({"boot_id": "x" * 201}, "boot_id"),
        ({"source": "x" * 201}, "source"),
        ({"source": 1}, "source"),
        ({"source": {}}, "source"),
        ({"data": "x" * (1 << 20)}, "data"),
    ],
)
@pytest.mark.parametrize("place", [0, 3])
def test_a_wrong_field_is_named_with_its_place(wrong: dict[str, Any], field: str, place: int) -> None:
    batch = [*[hooks_marker()] * place, hooks_marker(**wrong), PADDING, PADDING]
    with pytest.raises(BadMarkers, match=rf"^markers\[{place}\]\.{field}: "):
        taken(batch)


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\x90\xc0",  # a map with a list as key, which no reader of Python takes
        b"\x81\x80\xc0",
        b"\xdc\xff\xff",  # a list that ends too early
        b"\xdd\x00\x02\x00\x01" + b"\xc0" * 0x20001,  # longer than a reader of recordings takes
        b"\x91" * 2_000 + b"\xc0",  # deeper
        b"\xd5\xff\x00\x00",  # a timestamp of two bytes
        b"\xc1",
    ],
    ids=["list-as-key", "map-as-key", "cut", "long", "deep", "time", "never-used"],
)
def test_data_that_a_reader_of_recordings_could_not_take_is_refused(data: bytes) -> None:
    good = msgpack.packb(hooks_marker(data=None))[:-1]
    for place in (0, 1, 2):
        markers = [good + b"\xc0"] * 3 + [msgpack.packb(PADDING)]
        markers[place] = good + data
        with pytest.raises(BadMarkers, match=r"^body: not msgpack"):
            taken(b"\x94" + b"".join(markers))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "body: not msgpack: it ends too early"),
        (b"\x92" + msgpack.packb(hooks_marker()), "body: not msgpack: it ends too early"),
        (msgpack.packb(hooks_marker()) + b"\xc0", "body: not msgpack: more than one value"),
        (msgpack.packb(hooks_marker())[:-3], "body: not msgpack: it ends too early"),
        (msgpack.packb([hooks_marker(), 5]), r"markers\[1\].marker: not an object"),
        (msgpack.packb("text"), "marker: not an object"),
        (b"\x80", "stream_id: "),
        (b"\xdd\xff\xff\xff\xff", "markers: 4,294,967,295 of them"),
        (b"\xdc\xff\xff", f"markers: 65,535 of them; send at most {BATCH_LIMIT:,}"),
    ],
)
def test_a_body_that_is_no_batch_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(BadMarkers, match=f"^{said}"):
        taken(body)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"stream_id": "s", "stage": "a.b", "data": {"n": 1%s}}' % ("0" * 30), "data"),
        ('[{"stream_id": "s", "stage": "a.b", "index": 1%s}]' % ("0" * 30), r"markers\[0\].index"),
        ('{"stream_id": "s"', "body"),
        ("\xff", "body"),
    ],
)
def test_json_that_cannot_be_recorded_is_refused_by_name(text: str, field: str) -> None:
    with pytest.raises(BadMarkers, match=f"^{field}: "):
        taken(text.encode("latin-1"), "application/json")


def test_a_shared_kernel_with_another_clock_is_not_believed_to_be_exact() -> None:
    skewed = CLOCK._replace(offset=(-5_000_000_000, 1_000))
    (found,) = taken([hooks_marker(t_mono_ns=NOW + 5_000_000_000)] * 3 + [PADDING], clock=skewed)["s"][:1]
    assert (found.t, found.error_ns) == (NOW, 1_000)
