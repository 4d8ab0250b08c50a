"""Events to msgpack and back, through the msgpack library that any other reader would use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsproxy.recording.events import Event, Marker, Unknown
from wsproxy.recording.format import FormatError, FramePacker, pack_event, pack_header, read_event, read_header
from wsproxy.wire.events import C2S, Frame, Part, Piece

from .samples import BASE, EVENTS, HEADER, data_values, frames, moved

few = settings(max_examples=60, deadline=None)
FORMAT_MD = Path(__file__).parents[2] / "recordings" / "FORMAT.md"


def unpack(raw: bytes) -> Any:
    return msgpack.unpackb(raw, raw=False, strict_map_key=False)


def documented() -> dict[str, set[str]]:
    """The keys of each kind as FORMAT.md's table lists them; an optional one ends in '?'."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", FORMAT_MD.read_text(), re.MULTILINE)
    return {kind: keys_of(cell) for kind, cell in rows}


def keys_of(cell: str) -> set[str]:
    """`a` (bin), `b`?, `c` = `"x"` → {"a", "b?", "c"}"""
    return {name + mark for name, mark in re.findall(r"(?:^|, |,)`([a-z_0-9]+)`(\??)", cell)}


def test_every_event_type_has_a_strategy_here() -> None:
    assert {*EVENTS, Unknown} == set(get_args(Event))


@pytest.mark.parametrize("kind", EVENTS)
def test_every_event_survives_the_round_trip(kind: type) -> None:
    @few
    @given(EVENTS[kind], st.sampled_from([0, BASE]))
    def check(event: Any, base: int) -> None:
        assert read_event(unpack(pack_event(moved(event, base), base))) == event

    check()


@pytest.mark.parametrize(
    "event",
    [
        Frame(1, C2S, 2**63, 0x81, None, 1, 7, b"x"),
        Frame(1, C2S, 2**64 - 1, 0x82, b"mask", 300, 16, bytes(300)),
        Frame(1, C2S, 2**63, 0x82, b"mask", 2**40, 64, bytes(70_000)),
        Part(1, C2S, 2**63, 7, b"x"),
        Piece(1, C2S, 2**63, 7, b"x"),
        Marker(2**63, "ws.sent", 3, {"a": 1}, "x", 0),
        Marker(5, "ws.sent", -1, None, None, 0),
        Marker(5, "ws.sent", 3, None, "x", -(2**63)),
    ],
)
def test_a_number_that_is_in_no_recording_of_ours_is_kept_in_a_copy(event: Event) -> None:
    raw = pack_event(event, 0)
    assert read_event(unpack(raw)) == event
    assert pack_event(read_event(unpack(raw)), 0) == raw


@pytest.mark.parametrize("kind", EVENTS)
def test_the_map_of_every_event_has_the_documented_keys(kind: type) -> None:
    keys = documented()[kind.__name__.lower()]
    must = {key for key in keys if not key.endswith("?")} | {"kind", "t"}
    may = must | {key.rstrip("?") for key in keys}

    @few
    @given(EVENTS[kind])
    def check(event: Any) -> None:
        assert must <= set(unpack(pack_event(event, 0))) <= may

    check()


@few
@given(st.lists(st.one_of(frames(), EVENTS[Part], EVENTS[Piece]), max_size=6))
def test_the_frame_packer_writes_the_documented_maps(events: list[Any]) -> None:
    out: list[bytes] = []
    packer = FramePacker(7, C2S, BASE)
    packer.pack([event._replace(t=event.t + BASE) for event in events], out)
    unpacker = msgpack.Unpacker(raw=False)
    unpacker.feed(b"".join(out))
    for event, m in zip(events, unpacker, strict=True):
        expected = {"kind": type(event).__name__.lower(), "conn": 7, "dir": C2S, **event._asdict()} | {
            "conn": 7,
            "dir": C2S,
        }
        if isinstance(event, Frame):
            expected |= {"fin": event.fin, "rsv": event.rsv, "opcode": event.opcode}
            del expected["b0"]
            shortest = 7 if event.length < 126 else 16 if event.length < 65_536 else 64
            if event.form == shortest and len(event.payload) == event.length:
                del expected["form"], expected["length"]
        assert m == expected


def test_the_frame_packer_keeps_the_first_close_frame() -> None:
    packer = FramePacker(1, C2S, 0)
    first, second = (Frame(1, C2S, t, 0x88, None, 2, 7, b"\x03\xe8") for t in (1, 2))
    packer.pack([Frame(1, C2S, 0, 0x81, None, 0, 7, b""), first, second], [])
    assert packer.close == first


def test_the_header_survives_the_round_trip() -> None:
    for header in (HEADER, HEADER._replace(stream_id=None), HEADER._replace(stream_id="ü/…" * 100)):
        assert read_header(unpack(pack_header(header))) == header


@few
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), data_values, max_size=5))
def test_a_kind_of_the_future_is_kept_as_it_is(fields: dict[str, Any]) -> None:
    m = fields | {"kind": "hologram"}
    event = read_event(m)
    assert event == Unknown("hologram", m)
    assert unpack(pack_event(event, 0)) == m


@pytest.mark.parametrize("kind", EVENTS)
def test_a_known_kind_with_wrong_or_missing_fields_is_a_format_error_or_an_event_that_is_typed(kind: type) -> None:
    @few
    @given(st.data())
    def check(data: st.DataObject) -> None:
        m = unpack(pack_event(data.draw(EVENTS[kind]), 0))
        m.pop(data.draw(st.sampled_from(sorted(m))))
        if m:
            m[data.draw(st.sampled_from(sorted(m)))] = data.draw(data_values)
        try:
            read_event(m)
        except FormatError as error:
            assert str(error)

    check()


_NUMBERS = [("body", "omitted"), ("end", "undelivered"), ("marker", "error_ns"), ("marker", "index")]


@pytest.mark.parametrize(("kind", "key"), _NUMBERS)
@pytest.mark.parametrize("value", ["three", b"3", [3], {"n": 3}])
def test_an_optional_number_that_is_none_is_a_format_error(kind: str, key: str, value: object) -> None:
    m = {
        "kind": kind,
        "conn": 1,
        "dir": "c2s",
        "t": 1,
        "exchange": 1,
        "raw": b"",
        "end": True,
        "how": "fin",
        "stage": "a.b",
    }
    with pytest.raises(FormatError):
        read_event(m | {key: value})


def test_a_marker_whose_text_is_half_a_surrogate_pair_can_be_recorded() -> None:
    event = Marker(1, "ws.sent", None, {"content": "\ud83d"}, None, 0)
    assert isinstance(pack_event(event, 0), bytes)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"mask": b"abc"}, "'mask' is not 4 bytes"),
        ({"mask": "abcd"}, "'mask' is not 4 bytes"),
        ({"length": 1}, "'length' is impossible"),
        ({"length": 2**64}, "'length' is impossible"),
        ({"form": 9}, "'form' is impossible"),
        ({"length": 200, "form": 7}, "'form' is impossible"),
        ({"payload": "text"}, "'payload' is not binary"),
        ({"dir": "up"}, "'dir' is neither 'c2s' nor 's2c'"),
        ({"conn": "1"}, "'conn' is not an integer"),
        ({"kind": "totals", "c2s": 5}, "a malformed totals: "),
        ({"kind": "totals"}, "a totals without 'c2s'"),
    ],
)
def test_a_map_that_is_not_what_its_kind_should_be_is_refused_by_name(changed: dict[str, Any], says: str) -> None:
    good = {"kind": "frame", "conn": 1, "dir": "c2s", "t": 1, "fin": True, "rsv": 0, "opcode": 2}
    good |= {"mask": None, "payload": b"abc"}
    assert read_event(good) == Frame(1, "c2s", 1, 0x82, None, 3, 7, b"abc")
    with pytest.raises(FormatError, match=re.escape(says)):
        read_event(good | changed)


def test_a_header_says_whether_secrets_are_masked() -> None:
    for header in (HEADER, HEADER._replace(redacted=True)):
        assert read_header(msgpack.unpackb(pack_header(header))) == header
