"""Recordings that lack something: a verdict is never surer than they are."""

from __future__ import annotations

from pathlib import Path

from wsproxy.analysis.diagnose import diagnose
from wsproxy.recording.events import Header
from wsproxy.recording.reader import Recording
from wsproxy.wire.events import C2S, S2C, Body, Request, Response

from .stories import HEADER, SAMPLES, Story, Told, anything, no_marker, on_disk, tool_call, without, words
from .test_causes import begun, handshake_refused, passing, text, too_late


def codes(story: Story) -> list[str]:
    return [one.code for one in diagnose(Told(story.events())).findings]


def test_a_gap_turns_a_loss_into_a_doubt_and_says_so() -> None:
    story = too_late().gap(330, 400)
    result = diagnose(Told(story.events(no_marker)))
    assert (result.verdict, result.exit_status) == ("unsure", 1)
    assert result.answer.startswith(
        "CANNOT TELL: the recorder lost 4 events between 0.3300 s and 0.4000 s (no space left"
    )
    assert "it looks as if the client stopped listening" in result.answer


def test_a_gap_in_a_healthy_stream_is_said_too() -> None:
    result = diagnose(Told(text().gap(50, 55).events()))
    assert (result.verdict, result.exit_status) == ("unsure", 1)


def test_markers_that_hooks_dropped_make_a_missing_one_doubtful() -> None:
    story = begun()
    for n, chunk in enumerate(words(7)):
        story.up(10 + n * 10, chunk, until="wire" if n == 3 else "policy.chunk_in")
        if n != 3:
            story.down(10.5 + n * 10, chunk)
    story.policy_ends(80).server_closes(81).mark(90, "hooks.dropped", {"count": 12})
    result = diagnose(Told(story.events()))
    assert result.verdict == "unsure"
    assert result.main is not None and result.main.code == "not-read-by-endpoint"
    assert "12 markers" in (result.main.unknown or "")


def test_a_clock_that_is_not_exact_enough_is_not_believed() -> None:
    story = begun()
    for n, chunk in enumerate(tool_call()):
        story.up(10 + n * 52, chunk)
    story.client_closes(427).mark(431, "policy.chunk_out", tool_call()[0] | {"id": "x"}, 0, error_ns=9_000_000)
    result = diagnose(Told(story.events(without("endpoint"))))
    main = result.main
    assert main is not None and (main.code, main.severity) == ("too-late-never-sent", "unsure")
    assert "4.0 ms too late (±9.0 ms)" in main.sentence


def test_a_torn_recording_of_a_running_stream_cannot_be_judged(tmp_path: Path) -> None:
    events = passing(begun(), words(9)[:4]).up(95, words(9)[4]).events(no_marker, trailer=False)
    whole = on_disk(tmp_path / "whole.msgpack", events).path.read_bytes()
    (tmp_path / "torn.msgpack").write_bytes(whole[:-9])
    result = diagnose(Recording(tmp_path / "torn.msgpack"))
    assert (result.verdict, result.exit_status) == ("unsure", 1)
    assert "torn" in result.answer


def test_a_recording_without_trailer_whose_stream_had_ended_is_judged(tmp_path: Path) -> None:
    recording = on_disk(tmp_path / "r.msgpack", too_late().events(trailer=False))
    result = diagnose(recording)
    assert result.verdict == "lost"
    assert "recording-cut" in [one.code for one in result.findings]


def test_a_recording_that_breaks_off_while_the_disk_stalled_may_lack_what_was_forwarded(tmp_path: Path) -> None:
    recording = on_disk(tmp_path / "r.msgpack", too_late().falls_behind(1).events(trailer=False))
    (cut,) = (one for one in diagnose(recording).findings if one.code == "recording-cut")
    assert "while the disk stalled" in cut.sentence


def test_two_connections_for_one_stream_are_judged_each() -> None:
    first = handshake_refused()
    second = Story(conn=3).opens(2000).starts(2003)
    passing(second, words(7), since=2010).policy_ends(2150).server_closes(2151)
    result = diagnose(Told([*first.events(trailer=False), *second.events()]))
    assert [attempt.conn for attempt in result.attempts] == [2, 3]
    assert result.answer.startswith("LOST: attempt 1 of 2: the stream was never opened")
    assert result.attempts[1].findings == () and "7 chunks up, 7 down" in result.attempts[1].figures
    assert "attempt 2 (connection 3): nothing lost" in str(result)


def test_markers_go_to_the_attempt_in_whose_time_they_fall() -> None:
    first = too_late()
    second = Story(conn=3).opens(2000).starts(2003)
    passing(second, words(7), since=2010).policy_ends(2150).server_closes(2151)
    result = diagnose(Told([*first.events(trailer=False), *second.events()]))
    assert [[one.code for one in attempt.findings if one.severity == "lost"] for attempt in result.attempts] == [
        ["too-late-never-sent"],
        [],
    ]


def test_hooks_alone_are_no_stream() -> None:
    head = b"POST /api/hooks/async_pre_call_hook HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"
    events = [
        Request(1, C2S, 0, 1, "POST", "/api/hooks/async_pre_call_hook", head),
        Body(1, C2S, 0, 1, b"{}", True),
        Response(1, S2C, 5, 1, 200, "OK", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
        Body(1, S2C, 5, 1, b"{}", True),
    ]
    result = diagnose(Told(events, Header("http-1", *HEADER[1:])))
    assert (result.verdict, result.exit_status) == ("no-stream", 0)
    assert result.answer == "no stream: this recording holds 1 HTTP exchange and no WebSocket."


def test_marked_hooks_of_a_call_in_one_piece_are_no_stream_that_was_never_opened() -> None:
    story = Story()
    for ms, hook in ((0, "async_pre_call_hook"), (40, "async_post_call_success_hook")):
        story.mark(ms, "callback.invoked", {"function": hook}).mark(
            ms + 3, "callback.completed", {"function": hook, "duration_ns": 3_000_000, "result": "NoneType"}
        )
    result = diagnose(Told(story.events()))
    assert (result.verdict, result.exit_status) == ("no-stream", 0)
    story.mark(50, "callback.invoked", {"function": "async_post_call_streaming_iterator_hook"})
    assert diagnose(Told(story.events())).findings[0].code == "never-opened"


def test_a_hook_that_failed_is_told_beside_the_verdict() -> None:
    story = text()
    story.add(0.2, Response(1, S2C, 0, 1, 500, "oops", b"HTTP/1.1 500 oops\r\n\r\n"))
    result = diagnose(Told(story.events()))
    assert result.exit_status == 0
    assert (
        "an HTTP hook was answered with 500"
        in next(one for one in result.findings if one.code == "hook-failed").sentence
    )


def test_chunks_that_went_up_after_the_server_s_close_are_told() -> None:
    story = passing(begun(), words(9)[:4]).close(95, S2C).up(97, words(9)[4], until="wire").close(98, C2S)
    result = diagnose(Told(story.events(no_marker)))
    (late,) = [one for one in result.findings if one.code == "send-after-close"]
    assert (late.chunk, late.ms) == (4, 2.0)
    assert result.main is not None and result.main.code == "closed-by-server"


def test_an_empty_recording_is_no_stream() -> None:
    assert diagnose(Told([])).answer == "no stream: nothing was recorded."


def test_a_websocket_of_something_else_is_not_judged() -> None:
    story = Story().opens(0).says(3, C2S, {"hello": 1}).says(4, S2C, {"hello": 2}).close(5, C2S).close(6, S2C)
    result = diagnose(Told(story.events()))
    assert (result.verdict, result.exit_status) == ("no-stream", 0)
    assert "does not speak the pipeline's messages" in result.answer


def test_frames_alone_say_which_hook_would_tell_more() -> None:
    result = diagnose(Told(text().events(no_marker)))
    assert result.exit_status == 0 and "client.* marks would tell" in str(result)
    assert "not known" not in str(diagnose(Told(text().events(anything))))


def test_a_recording_in_progress_is_no_loss(tmp_path: Path) -> None:
    import fcntl

    events = passing(begun(), words(9)[:4]).events(no_marker, trailer=False)
    recording = on_disk(tmp_path / "r.msgpack", events)
    with recording.path.open("rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = diagnose(recording)
    assert result.exit_status == 0 and "is recording this stream now" in result.answer


def test_the_usage_chunk_after_the_finish_is_missed_by_nobody() -> None:
    story = begun()
    chunks = tool_call()
    for n, chunk in enumerate(chunks):
        story.up(10 + n * 20, chunk)
        if n < 6:
            story.down(10.5 + n * 20, chunk)
    assert diagnose(Told(story.client_closes(240).events(no_marker))).verdict == "fine"


def test_samples_are_where_they_should_be() -> None:
    assert (SAMPLES / "blocked-lost.msgpack").is_file()
