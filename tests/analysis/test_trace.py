"""A stream at a glance, and one chunk through the six steps."""

from __future__ import annotations

import pytest

from wsproxy.analysis.journey.ways import Fold
from wsproxy.analysis.trace import trace
from wsproxy.errors import WsproxyError
from wsproxy.render.lanes import trace_lines
from wsproxy.wire.events import C2S

from .stories import Story, Told, anything, is_marker, no_marker, tool_call, words
from .test_causes import (
    begun,
    blocked_in_time,
    failed_validation,
    not_read_by_policy,
    passing,
    policy_drops_one,
    policy_raises,
    text,
    too_late,
)


def drawn(story: Story, width: int = 120, **chosen: object) -> list[str]:
    result = trace(Told(story.events()), **chosen)  # type: ignore[arg-type]
    return ["".join(part for part, _ in line) for line in trace_lines(result, width)]


def test_a_chunk_goes_through_all_six_steps_in_order() -> None:
    path = trace(Told(text().events()), chunk=3).path
    assert path is not None and path.reached and path.turn == "pass"
    assert [step.stage for step in path.steps] == [
        *("callback.backend_chunk", "ws.sent", "wire.c2s", "endpoint.chunk_in", "policy.chunk_in"),
        *("policy.chunk_out", "endpoint.chunk_out", "wire.s2c", "ws.received"),
        *("client.control_in", "client.normalized", "client.to_client", "callback.yielded"),
    ]
    assert {step.step for step in path.steps} == {1, 2, 3, 4, 5, 6}
    assert all((step.ms or 0) >= 0 for step in path.steps)
    assert {step.sighting.index for step in path.steps} == {3, None}  # frames have no index


def test_its_digest_is_the_same_at_every_step() -> None:
    lines = trace(Told(text().events()), chunk=3).to_json()
    assert lines[0]["reached"] is True
    digests = {line["digest"] for line in lines[1:]}
    assert len(digests) == 1 and None not in digests


def test_frames_alone_give_steps_two_and_five() -> None:
    path = trace(Told(text().events(no_marker)), chunk=3).path
    assert path is not None and path.reached
    assert [step.step for step in path.steps] == [2, 5]
    assert path.known is not None and "client.*" in path.known


def test_markers_alone_give_the_others() -> None:
    path = trace(Told(text().events(is_marker)), chunk=3).path
    assert path is not None and path.reached and len(path.steps) == 11


def test_the_blocked_chunk_is_followed_to_where_it_ended() -> None:
    result = trace(Told(too_late().events()), blocked=True)
    path = result.path
    assert path is not None and result.exit_status == 1
    assert (path.chunk, path.turn, path.inputs) == (5, "merge", (0, 1, 2, 3, 4, 5))
    assert path.end == "it is on no wire: 196 ms too late, the client had stopped listening at 0.4270 s (event 45)"


def test_the_blocked_chunk_of_a_good_stream_reaches_the_client() -> None:
    result = trace(Told(blocked_in_time().events()), blocked=True)
    assert result.path is not None and result.path.reached and result.exit_status == 0


def test_a_chunk_is_found_by_its_text() -> None:
    path = trace(Told(text().events()), grep="of-2").path
    assert path is not None and path.chunk == 2


def test_a_text_that_only_the_policy_wrote_is_found_too() -> None:
    path = trace(Told(blocked_in_time().events()), grep="destructive SQL").path
    assert path is not None and path.turn == "merge"


@pytest.mark.parametrize(
    ("story", "ends"),
    [
        (not_read_by_policy, "the policy never got it"),
        (policy_drops_one, "the policy took it, put nothing out for it, and answered later ones"),
    ],
)
def test_a_chunk_that_ends_on_the_way_says_where(story: object, ends: str) -> None:
    result = trace(Told(story().events()), chunk=3)  # type: ignore[operator]
    assert result.path is not None and result.path.end == ends and result.exit_status == 1


def test_a_rejected_chunk_says_why() -> None:
    path = trace(Told(failed_validation().events()), blocked=True).path
    assert path is not None and path.end == "it failed the client's validation: no model, created"


@pytest.mark.parametrize("chosen", [{"chunk": 7}, {"grep": "no such text"}, {"blocked": True}])
def test_what_is_not_there_is_trouble_in_one_line(chosen: dict[str, object]) -> None:
    with pytest.raises(WsproxyError) as trouble:
        trace(Told(text().events()), **chosen)  # type: ignore[arg-type]
    assert "\n" not in str(trouble.value)


def test_lanes_stand_only_where_there_is_evidence() -> None:
    def lanes(keep: object) -> tuple[str, ...]:
        return trace(Told(text().events(keep))).tracks[0].lanes  # type: ignore[arg-type]

    assert lanes(no_marker) == ("wire ↑", "policy", "wire ↓")
    assert lanes(is_marker) == ("backend", "callback", "endpoint", "policy", "client")
    assert lanes(anything) == ("backend", "callback", "wire ↑", "endpoint", "policy", "wire ↓", "client")


def test_hops_are_measured_from_stage_to_stage() -> None:
    hops = trace(Told(text().events())).tracks[0].hops
    assert [hop.before for hop in hops][:2] == ["callback.backend_chunk", "ws.sent"]
    assert all(hop.chunks == 7 and hop.p50 <= hop.p95 <= hop.max for hop in hops)
    assert {round(hop.p50, 1) for hop in hops if hop.before == "endpoint.chunk_out"} == {0.2}


def test_what_the_policy_did_is_counted() -> None:
    work = trace(Told(blocked_in_time().events())).tracks[0].policy
    assert (work.consumed, work.put_out, work.kinds, work.held) == (6, 1, {"merge": 1}, 5)
    work = trace(Told(policy_drops_one().events())).tracks[0].policy
    assert (work.kinds, work.dropped, work.owed) == ({"pass": 6}, 1, 0)


def test_a_long_stream_is_folded_and_what_is_odd_stays_visible() -> None:
    story = begun()
    chunks = [words(9)[0] | {"choices": [{"index": 0, "delta": {"content": f"w{n} "}}]} for n in range(200)]
    for n, chunk in enumerate(chunks):
        story.up(10 + n, chunk, until="wire" if n == 117 else "policy.chunk_in")
        if n != 117:
            story.down(10.5 + n, chunk)
    track = trace(Told(story.policy_ends(300).server_closes(301).events())).tracks[0]
    assert len(track.entries) < 30 and sum(isinstance(entry, Fold) for entry in track.entries) == 2
    assert track.lost == 1
    shown = drawn(story)
    assert any("#117" in line and "LOST: not-read-by-endpoint" in line for line in shown)


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("story", [text, too_late, blocked_in_time, policy_raises, failed_validation])
def test_no_line_is_wider_than_the_terminal(story: object, width: int) -> None:
    room = max(width, 80)  # seven lanes need eighty cells
    assert max(map(len, drawn(story(), width))) <= room  # type: ignore[operator]


def test_merged_chunks_join_in_the_picture() -> None:
    shown = "\n".join(drawn(blocked_in_time()))
    assert "┐" in shown and shown.count("┤") == 5 and shown.count("└") == 1


def test_secrets_are_masked_unless_they_are_asked_for() -> None:
    key = "sk-thisisasecretkey12345"
    chunk = words(9)[0] | {"choices": [{"index": 0, "delta": {"content": f"key {key}"}}]}
    result = trace(Told(passing(begun(), [chunk]).client_closes(100).events(no_marker)))
    assert key not in str(result)
    assert any(key in text for line in trace_lines(result, 120, secrets=True) for text, _ in line)


def test_every_attempt_has_its_picture() -> None:
    second = Story(conn=3).opens(2000).starts(2003)
    passing(second, words(7), since=2010).server_closes(2151)
    result = trace(Told([*too_late().events(trailer=False), *second.events()]))
    assert len(result.tracks) == 2 and "2 connections" in result.note
    assert "attempt 2 of 2, connection 3" in str(result)
    assert trace(Told([*too_late().events(trailer=False), *second.events()]), chunk=6).path is not None


def test_a_recording_without_a_stream_says_so() -> None:
    story = Story()
    story.frame(1, C2S, b"x")
    assert "no stream in this recording" in str(trace(Told([])))
    with pytest.raises(WsproxyError, match="no chunks in this recording"):
        trace(Told(story.events()), chunk=0)


def test_rewritten_chunks_are_one_way_and_say_so() -> None:
    story = begun()
    for n, chunk in enumerate(tool_call()[:3]):
        changed = {**chunk, "choices": [{"index": 0, "delta": {"content": f"X{n}"}}]}
        story.up(10 + n * 10, chunk).down(10.5 + n * 10, changed)
    result = trace(Told(story.client_closes(100).events()))
    assert result.tracks[0].policy.kinds == {"rewrite": 3}
    assert str(result).count("rewritten:") == 3
