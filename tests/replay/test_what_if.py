"""Edits change what they say and nothing else: on scripts of any shape, and before a real client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import wsproxy
from tests.cli.command import SAMPLES
from tests.relay.raw import ACCEPTED, close_frame, frame, upgrade
from wsproxy import replay
from wsproxy.recording.events import Marker
from wsproxy.replay import whatif
from wsproxy.replay.reading import read_scenario
from wsproxy.replay.script import SILENCE, Script, Step
from wsproxy.wire.events import S2C, End

from .made import CLIENT, MS, SERVER, spoken, write

COUNT = 5
WORDS = [f'{{"type":"CHUNK","n":{n}}}' for n in range(1, COUNT + 1)]


def numbered(folder: Path) -> wsproxy.Recording:
    """One word of the client, then five of the server's; the third in two frames with a ping in between."""
    said: list[tuple[str, bytes | str]] = [
        (CLIENT, upgrade("/stream/s1")),
        (SERVER, ACCEPTED),
        (CLIENT, frame(b"go", mask=b"abcd")),
    ]
    for n, word in enumerate(WORDS, 1):
        data = word.encode()
        if n == 3:
            said += [(SERVER, frame(data[:5], fin=False)), (SERVER, frame(b"p", 9)), (SERVER, frame(data[5:], 0))]
        else:
            said.append((SERVER, frame(data)))
    said += [(SERVER, close_frame(1000)), (CLIENT, close_frame(1000, mask=b"abcd")), (SERVER, "fin"), (CLIENT, "fin")]
    return spoken(folder / "numbered.msgpack", said)  # type: ignore[arg-type]


async def heard(recording: wsproxy.Recording, *edits: replay.Edit) -> tuple[list[str], int | None]:
    """What a real client hears of the edited server, and the close code (None: no close frame)."""
    got: list[str] = []
    silent = any(edit.text.startswith("--truncate-after") for edit in edits)
    async with (
        replay.serve(recording, edits=edits, pace=replay.at_once, match="none") as server,
        connect(f"{server.url}/stream/s1", close_timeout=0.2) as client,
    ):
        try:
            await client.send("go")
            while not silent or len(got) < 2:
                got.append(str(await client.recv()))
        except ConnectionClosed as closed:
            return got, closed.rcvd.code if closed.rcvd else None
    return got, None


ONE, TWO, THREE, FOUR, FIVE = WORDS


@pytest.mark.parametrize(
    ("edits", "words", "code"),
    [
        ([], WORDS, 1000),
        ([replay.delay("1-", 0.001)], WORDS, 1000),
        ([replay.drop("2")], [ONE, THREE, FOUR, FIVE], 1000),
        ([replay.drop("3")], [ONE, TWO, FOUR, FIVE], 1000),
        ([replay.drop("server type:CHUNK 2-4")], [ONE, FIVE], 1000),
        ([replay.duplicate('grep:"n":3')], [ONE, TWO, THREE, THREE, FOUR, FIVE], 1000),
        ([replay.duplicate("last")], [*WORDS, FIVE], 1000),
        ([replay.swap("1")], [TWO, ONE, THREE, FOUR, FIVE], 1000),
        ([replay.swap("2")], [ONE, THREE, TWO, FOUR, FIVE], 1000),
        ([replay.swap("3")], [ONE, TWO, FOUR, THREE, FIVE], 1000),
        ([replay.truncate_after(2)], [ONE, TWO], None),
        ([replay.close_with(1011, "no more", after=3)], [ONE, TWO, THREE], 1011),
        ([replay.close_with(4000, after=0)], [], 4000),
        ([replay.reset_after(4)], [ONE, TWO, THREE, FOUR], None),
        ([replay.set_value("n", 7)], ['{"type":"CHUNK","n":7}'] * 5, 1000),
        ([replay.drop("1"), replay.duplicate("2"), replay.swap("4")], [TWO, TWO, THREE, FIVE, FOUR], 1000),
    ],
    ids=lambda value: (
        " ".join(edit.text for edit in value)
        if value and isinstance(value, list) and not isinstance(value[0], str)
        else ""
    ),
)
async def test_a_real_client_hears_the_edited_server(
    tmp_path: Path, edits: list[replay.Edit], words: list[str], code: int | None
) -> None:
    assert await heard(numbered(tmp_path), *edits) == (words, code)


async def test_a_corrupted_text_is_refused_by_the_client(tmp_path: Path) -> None:
    async with (
        replay.serve(numbered(tmp_path), edits=[replay.corrupt("2")], match="none") as server,
        connect(f"{server.url}/stream/s1") as client,
    ):
        await client.send("go")
        assert await client.recv() == ONE
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
    assert closed.value.sent is not None and closed.value.sent.code == 1007


async def test_in_a_compressed_stream_what_follows_an_edit_is_still_read() -> None:
    recording = wsproxy.open(SAMPLES / "long-compressed.msgpack")
    down = [message.text for message in recording.messages() if message.dir == "s2c" and message.opcode == 1]
    up = [message.text for message in recording.messages() if message.dir == "c2s" and message.opcode == 1]
    edits = [replay.drop("1"), replay.swap("10"), replay.duplicate("20")]
    async with (
        replay.serve(recording, edits=edits, pace=replay.at_once) as server,
        connect(f"{server.url}/stream/x") as client,
    ):
        for text in up:
            await client.send(text)
        got = [await client.recv() for _ in down]
    expected = [*down[1:9], down[10], down[9], *down[11:20], *down[19:]]
    assert got == expected


# --- on scripts --------------------------------------------------------------------------------------------------------


def the_script(recording: wsproxy.Recording) -> Script:
    (script,) = (script for script in read_scenario(recording).scripts if script.upgrade is not None)
    return script


def shape(steps: list[Step]) -> list[tuple[object, ...]]:
    """Everything that playing a step depends on."""
    return [(id(s.act), s.need, s.delay, s.hold, s.silent, s.edited, s.part) for s in steps]


places = st.integers(1, COUNT)
Both = Callable[[], tuple[Script, Script]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """Gives the numbered script twice: one to edit, one to compare."""
    recording = numbered(tmp_path_factory.mktemp("numbered"))
    return lambda: (the_script(recording), the_script(recording))


@given(place=places, ms=st.integers(0, 10_000))
def test_a_delay_changes_one_hold(both: Both, place: int, ms: int) -> None:
    script, before = both()
    assert whatif.apply(script, S2C, (replay.delay(str(place), ms / 1e3),), []) == [1]
    changed = [
        (a, b) for a, b in zip(shape(before.steps_of(S2C)), shape(script.steps_of(S2C)), strict=True) if a[1:] != b[1:]
    ]
    assert len(changed) == (1 if ms else 0)
    assert all(b[3] == ms * MS for _, b in changed)
    assert not script.rewritten


@given(place=places)
def test_a_drop_keeps_all_times(both: Both, place: int) -> None:
    script, before = both()
    whatif.apply(script, S2C, (replay.drop(str(place)),), [])
    steps = script.steps_of(S2C)
    assert [(s.need, s.delay) for s in steps] == [(s.need, s.delay) for s in before.steps_of(S2C)]
    assert {s.message.number for s in steps if s.silent and s.message} == {before.messages_of(S2C)[place - 1].number}
    assert script.rewritten == {S2C}


@given(place=places)
def test_a_truncation_ends_in_silence(both: Both, place: int) -> None:
    script, before = both()
    whatif.apply(script, S2C, (replay.truncate_after(place),), [])
    *kept, last = script.steps_of(S2C)
    assert isinstance(last.act, End) and last.act.how == SILENCE
    assert [s.delay for s in kept] == [s.delay for s in before.steps_of(S2C)][: len(kept)]
    data = [s for s in kept if s.message is not None and not s.message.is_control]
    assert len({s.message.number for s in data if s.message}) == place


@given(
    kinds=st.lists(st.sampled_from([replay.drop, replay.duplicate, replay.swap, replay.corrupt]), max_size=4),
    place=places,
)
def test_the_other_side_is_never_touched(both: Both, kinds: list[Callable[[str], replay.Edit]], place: int) -> None:
    script, before = both()
    whatif.apply(script, S2C, tuple(kind(str(place)) for kind in kinds), [])
    assert [s.act for s in script.steps_of(CLIENT)] == [s.act for s in before.steps_of(CLIENT)]
    assert [s.need for s in script.steps_of(CLIENT)] == [s.need for s in before.steps_of(CLIENT)]


def test_a_stage_chooses_what_was_said_after_its_marker(tmp_path: Path) -> None:
    recording = numbered(tmp_path)
    second = [message for message in recording.messages() if message.dir == S2C and message.opcode == 1][1]
    marker = Marker(second.t - 1, "policy.chunk_out", 1, None, None, 0)
    recording = write(tmp_path / "marked.msgpack", [*recording.events(), marker])
    script = the_script(recording)
    whatif.apply(script, S2C, (whatif.parse_delay("policy.chunk_out=+130ms"),), read_scenario(recording).markers)
    held = [step for step in script.steps_of(S2C) if step.hold]
    assert [(step.message.text if step.message else "", step.hold) for step in held] == [(TWO, 130 * MS)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("last=+130ms", 0.13), ("grep:a=+b=+1.5s", 1.5), ("3-=+0ms", 0.0), ("type:CHUNK 2=+0.5ms", 0.0005)],
)
def test_delays_are_read(text: str, seconds: float) -> None:
    edit = whatif.parse_delay(text)
    assert edit.selector is not None and edit.selector.text == text.rpartition("=+")[0]
    assert f"{seconds * 1e3:g}ms" in edit.text
