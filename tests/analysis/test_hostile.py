"""Recordings and markers from strangers: nothing raises, nothing acts on a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsproxy import stages
from wsproxy.analysis.diagnose import diagnose
from wsproxy.analysis.trace import trace
from wsproxy.recording.events import Event, Marker
from wsproxy.render.diagnosis import diagnosis_lines, listing_line
from wsproxy.render.jsonl import dump
from wsproxy.render.lanes import trace_lines
from wsproxy.wire.events import C2S, S2C, Frame

from ..recording.samples import any_event, data_values
from ..render.acting import acts
from .stories import Story, Told, block, tool_call, words
from .test_causes import CAUSES

EVIL = "\x1b]0;owned\x07\x1b[2J\r\n\x9b1A\u202e\u2028 fake"
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

_times = st.integers(-(10**9), 10**10)
_errors = st.sampled_from([0, 0, 0, 1000, 10**9])
_chunks = st.one_of(
    data_values,
    st.sampled_from([*tool_call(), *words(5), block()]),
    st.builds(lambda data: {"type": "CHUNK", "data": data}, st.sampled_from(words(4))),
    st.sampled_from(
        [{"type": "END"}, {"type": "START", "data": {}}, {"error": EVIL, "missing": [EVIL]}, {"count": -1}]
    ),
    st.sampled_from([{"yielded": 1, "closed_early": True}, {"error": ["x"], "cancelled": 7}]),
)
_markers = st.builds(
    Marker, _times, st.sampled_from(sorted(stages.KNOWN)), st.none() | st.integers(0, 9), _chunks, st.none(), _errors
)
_messages = st.one_of(
    st.builds(
        lambda chunk: {"type": "CHUNK", "data": chunk}, st.sampled_from([*tool_call(), *words(5), block(), EVIL])
    ),
    st.sampled_from([{"type": "START", "data": {}}, {"type": "END"}, {"type": "ERROR", "error": EVIL}, [], None, {}]),
)


@st.composite
def _frames(draw: st.DrawFn) -> Frame:
    close = draw(st.integers(0, 9)) == 0
    payload = (
        draw(st.sampled_from([b"", b"\x03\xe8", b"\x03\xea" + EVIL.encode()]))
        if close
        else json.dumps(draw(_messages)).encode()
    )
    form = 7 if len(payload) < 126 else 16
    dir = draw(st.sampled_from([C2S, S2C]))
    return Frame(draw(st.integers(1, 3)), dir, draw(_times), 0x88 if close else 0x81, None, len(payload), form, payload)


def assert_harmless(events: list[Event]) -> None:
    recording = Told(events)
    diagnosis, traced = diagnose(recording), trace(recording)
    assert diagnosis.exit_status in (0, 1)
    assert "\n" not in dump({"answer": diagnosis.answer})
    lines = [*diagnosis_lines(diagnosis, 80), listing_line(diagnosis, 80), *trace_lines(traced, 80)]
    assert not [char for line in lines for text, _ in line for char in text if acts(char)]
    for line in [*diagnosis.to_json(), *traced.to_json()]:
        assert dump(line).isascii()
    for one in diagnosis.findings:
        assert one.code and one.sentence


@few
@given(st.lists(any_event, max_size=8))
def test_any_events_are_judged(events: list[Event]) -> None:
    assert_harmless(events)


@few
@given(st.lists(_markers, max_size=25))
def test_any_markers_are_judged(events: list[Event]) -> None:
    assert_harmless(events)


@few
@given(st.lists(_frames() | _markers | any_event, max_size=25))
def test_any_mixture_of_the_pipeline_s_own_events_is_judged(events: list[Event]) -> None:
    assert_harmless(events)


@few
@given(st.sampled_from(list(CAUSES)), st.randoms(use_true_random=False), st.integers(0, 12))
def test_any_story_with_pieces_missing_is_judged(story: Any, random: Any, missing: int) -> None:
    events = story().events()
    for _ in range(min(missing, len(events))):
        del events[random.randrange(len(events))]
    assert_harmless(events)


@few
@given(st.sampled_from(list(CAUSES)), st.randoms(use_true_random=False))
def test_the_order_in_which_markers_were_recorded_changes_nothing(story: Any, random: Any) -> None:
    events = story().events()
    frames = [event for event in events if not isinstance(event, Marker)]
    marks = [event for event in events if isinstance(event, Marker)]
    shuffled = marks.copy()
    random.shuffle(shuffled)
    one, other = diagnose(Told([*frames, *marks])), diagnose(Told([*frames, *shuffled]))
    assert (one.verdict, one.main and one.main.code) == (other.verdict, other.main and other.main.code)


@pytest.mark.parametrize("where", ["error", "close", "chunk", "marker", "stage"])
def test_what_a_stranger_writes_is_shown_and_does_nothing(where: str) -> None:
    story = Story().opens(0).starts(3).up(10, words(9)[0])
    chunk = words(9)[0] | {"choices": [{"index": 0, "delta": {"content": EVIL}}]}
    if where == "error":
        story.says(20, S2C, {"type": "ERROR", "error": EVIL})
    elif where == "close":
        story.close(20, S2C, 1011, EVIL[:60])
    elif where == "chunk":
        story.down(20, chunk).client_closes(100)
    elif where == "marker":
        story.policy_ends(20, error=EVIL)
    else:
        story.mark(20, EVIL, {"x": EVIL})
    assert_harmless(story.events())


def test_secrets_in_errors_are_masked() -> None:
    key = "sk-thisisasecretkey12345"
    story = Story().opens(0).starts(3).up(10, words(9)[0])
    story.says(20, S2C, {"type": "ERROR", "error": f"401 for {key}"}).policy_ends(19, error=f"401 for {key}")
    result = diagnose(Told(story.events()))
    assert key not in str(result) and key not in json.dumps(result.to_json())
