"""What a recording becomes: steps with what they wait for."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import wsproxy
from tests.cli.command import SAMPLES
from tests.relay.raw import ACCEPTED, close_frame, frame, request, response, upgrade
from wsproxy.recording.events import Gap, Open
from wsproxy.replay.reading import read_scenario
from wsproxy.replay.script import Need, Script, Step
from wsproxy.wire.events import C2S, S2C, Dir, Frame, frame_header, mask_at

from .made import CLIENT, HEADER, MS, SERVER, spoken, write

OPENED = [(CLIENT, upgrade("/stream/s1")), (SERVER, ACCEPTED)]


def the_script(path: Path, *words: tuple[Dir, bytes | str]) -> Script:
    (script,) = read_scenario(spoken(path / "r.msgpack", [*OPENED, *words])).scripts  # type: ignore[list-item]
    return script


def up(data: bytes, opcode: int = 1, **options: int) -> tuple[Dir, bytes]:
    return CLIENT, frame(data, opcode, mask=b"abcd", **options)  # type: ignore[arg-type]


def down(data: bytes, opcode: int = 1, **options: int) -> tuple[Dir, bytes]:
    return SERVER, frame(data, opcode, **options)  # type: ignore[arg-type]


def test_a_step_waits_for_what_stood_before_it(tmp_path: Path) -> None:
    script = the_script(
        tmp_path, up(b"a"), down(b"1"), up(b"b"), up(b"c"), down(b"2"), (SERVER, "fin"), (CLIENT, "fin")
    )
    assert [step.need for step in script.steps_of(S2C)] == [Need(1), Need(3), Need(3)]
    assert [step.need for step in script.steps_of(C2S)] == [Need(0), Need(1), Need(1), Need(2, end=True)]


def test_delays_count_from_the_later_of_both_sides(tmp_path: Path) -> None:
    script = the_script(tmp_path, up(b"a"), up(b"b"), down(b"1"), down(b"2"))
    assert [step.delay for step in script.steps] == [MS, MS, MS, MS]
    events = [event._replace(t=event.t * 2) if isinstance(event, Frame) and event.payload == b"1" else event
              for event in spoken(tmp_path / "a.msgpack", [*OPENED, up(b"a"), down(b"1"), up(b"b")]).events()]  # fmt: skip
    (script,) = read_scenario(write(tmp_path / "b.msgpack", events)).scripts
    assert [step.delay for step in script.steps] == [MS, 5 * MS, 0]


def test_a_fragmented_message_counts_when_it_is_whole(tmp_path: Path) -> None:
    script = the_script(tmp_path, up(b"a", fin=False), down(b"1"), up(b"b", 0), down(b"2"))
    one, two = script.steps_of(S2C)
    assert (one.need, two.need) == (Need(0), Need(1))
    first, last = script.steps_of(C2S)
    assert (first.part, last.part, first.sizes) == (0, 1, (1, 1))
    assert first.message is last.message and first.message is not None and first.message.data == b"ab"


def test_an_answered_ping_leaves_no_pong_to_play(tmp_path: Path) -> None:
    script = the_script(tmp_path, up(b"?", 9), down(b"?", 10), up(b"a"), down(b"alone", 10))
    ping, text = script.steps_of(C2S)
    assert isinstance(ping.act, Frame) and ping.act.opcode == 9
    assert text.need == Need(0, pongs=1)
    (unasked,) = script.steps_of(S2C)
    assert isinstance(unasked.act, Frame) and unasked.act.payload == b"alone"


def test_a_close_frame_is_waited_for(tmp_path: Path) -> None:
    script = the_script(
        tmp_path, (SERVER, close_frame(1000)), (CLIENT, close_frame(1000, mask=b"abcd")), (SERVER, "reset")
    )
    assert [step.need for step in script.steps] == [Need(), Need(close=True), Need(close=True)]
    assert script.end_of(S2C) == "reset" and script.end_of(C2S) is None


def test_connections_wait_for_those_that_had_ended() -> None:
    scenario = read_scenario(wsproxy.open(SAMPLES / "blocked-delivered.msgpack"))
    hook, stream = scenario.scripts
    assert [exchange.target for exchange in hook.exchanges] == ["/api/hooks/async_pre_call_hook"]
    assert stream.after == (hook.conn,)
    assert 0 < stream.delay < 50 * MS
    assert scenario.id == scenario.stream_id is not None


def test_an_id_that_no_request_mentions_is_none(tmp_path: Path) -> None:
    recording = spoken(tmp_path / "r.msgpack", OPENED, HEADER._replace(stream_id="conn-1-abcdef"))
    assert read_scenario(recording).id is None


def test_bodies_are_kept_as_they_were(tmp_path: Path) -> None:
    words = [(CLIENT, request("POST", "/a", body=b"up")), (SERVER, response("200 OK", body=b"down"))]
    (script,) = read_scenario(spoken(tmp_path / "r.msgpack", words)).scripts
    (exchange,) = script.exchanges
    assert (exchange.request_body, exchange.response_body, exchange.delay) == (b"up", b"down", MS)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    recording = spoken(tmp_path / "a.msgpack", [*OPENED, down(b"1")])
    events = [Open(1, 0, "", ""), *recording.events(), Gap(9 * MS, 10 * MS, 3, 100, "no space left on device")]
    scenario = read_scenario(write(tmp_path / "b.msgpack", events))
    assert any("lost 3 events" in note for note in scenario.notes)
    assert any("cut off" in note for note in scenario.notes)


def wire(steps: list[Step]) -> bytes:
    """The bytes that the frames of steps were on the wire."""
    frames = (step.act for step in steps if isinstance(step.act, Frame))
    return b"".join(frame_header(f) + (mask_at(f.payload, f.mask, 0) if f.mask else f.payload) for f in frames)


raw_frames = st.builds(
    frame,
    st.one_of(st.binary(max_size=40), st.integers(126, 70_000).map(lambda size: b"z" * size)),
    st.sampled_from([1, 2, 2, 9]),
    fin=st.just(True),
    mask=st.none() | st.binary(min_size=4, max_size=4),
)


@given(st.lists(st.tuples(st.sampled_from([CLIENT, SERVER]), raw_frames), max_size=8), st.data())
def test_steps_hold_the_wire_of_both_sides_however_it_was_read(
    tmp_path_factory: object, said: list[tuple[Dir, bytes]], data: st.DataObject
) -> None:
    cut: list[tuple[Dir, bytes]] = []
    for dir, raw in said:  # in reads of any size
        at = data.draw(st.integers(0, len(raw)))
        cut += [(dir, part) for part in (raw[:at], raw[at:]) if part]
    path = tmp_path_factory.mktemp("wire") / "r.msgpack"  # type: ignore[attr-defined]
    (script,) = read_scenario(spoken(path, [*OPENED, *cut])).scripts
    for dir in (CLIENT, SERVER):
        assert wire(script.steps_of(dir)) == b"".join(raw for one, raw in said if one == dir)
