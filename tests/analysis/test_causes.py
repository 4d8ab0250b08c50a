"""Every cause by its name: with frames and markers, with frames alone, with markers alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wsproxy.analysis.diagnose import diagnose
from wsproxy.wire.events import C2S, S2C

from .stories import Story, Told, anything, block, is_marker, no_marker, tool_call, words

FINE = "fine"


def begun() -> Story:
    return Story().opens(0).starts(3)


def passing(story: Story, chunks: list[dict[str, object]], *, since: float = 10, step: float = 20) -> Story:
    """Each chunk up and, half a millisecond later, down."""
    for n, chunk in enumerate(chunks):
        story.up(since + n * step, chunk).down(since + n * step + 0.5, chunk)
    return story


def text() -> Story:
    story = passing(begun(), words(7))
    return story.policy_ends(232).client_closes(232)


def text_ended_by_server() -> Story:
    story = passing(begun(), words(7))
    return story.policy_ends(135).server_closes(135)


def tool_call_up() -> Story:
    story = begun()
    for n, chunk in enumerate(tool_call()):
        story.up(10 + n * 52, chunk, until="policy.chunk_in" if n < 6 else "endpoint.chunk_in")
    return story


def blocked_in_time() -> Story:
    story = tool_call_up()
    return story.down(330, block()).policy_ends(331).server_closes(331)


def allowed_late_but_in_time() -> Story:
    story = tool_call_up()
    for n, chunk in enumerate(tool_call()[:6]):
        story.down(340 + n * 0.1, chunk)
    return story.down(345, tool_call()[6]).policy_ends(345).server_closes(346)


def too_late() -> Story:
    story = tool_call_up().client_closes(427)
    return story.down(623, block(), until="endpoint.chunk_out").policy_ends(624)


def too_late_on_wire() -> Story:
    story = tool_call_up().client_closes(427, reply=4)
    return story.down(429, block(), until="wire").policy_ends(430)


def arrived_unread() -> Story:
    story = tool_call_up().down(410, block(), until="wire").says(410.4, S2C, {"type": "END"})
    return story.policy_ends(410.3).client_closes(427)


def policy_hangs() -> Story:
    return tool_call_up().client_closes(427)


def policy_hangs_long() -> Story:
    return tool_call_up().client_closes(30_322)


def policy_cancelled() -> Story:
    return tool_call_up().client_closes(427).policy_ends(428, closed_early=True)


def policy_raises() -> Story:
    story = passing(begun(), words(7)[:2])
    story.policy_ends(32, error="this policy always fails").mark(32.1, "endpoint.error", {"error": "RuntimeError"})
    return story.says(32.3, S2C, {"type": "ERROR", "error": "this policy always fails"}).server_closes(33, end=False)


def policy_swallows() -> Story:
    story = begun()
    for n, chunk in enumerate(words(7)):
        story.up(10 + n * 20, chunk)
    return story.policy_ends(131).server_closes(132)


def policy_buffers_text() -> Story:
    story = begun()
    for n, chunk in enumerate(words(7)):
        story.up(10 + n * 20, chunk)
    for n, chunk in enumerate(words(7)):
        story.down(140 + n * 0.01, chunk)
    return story.policy_ends(141).server_closes(142)


def policy_reorders() -> Story:
    story, chunks = begun(), words(7)
    for n, chunk in enumerate(chunks):
        story.up(10 + n, chunk)
    for n, i in enumerate((0, 2, 1, 3, 4, 5, 6)):
        story.down(20 + n, chunks[i])
    return story.policy_ends(30).server_closes(31)


def policy_duplicates() -> Story:
    story, chunks = begun(), words(7)
    for n, chunk in enumerate(chunks):
        story.up(10 + n * 10, chunk).down(10.5 + n * 10, chunk)
        if n == 3:
            story.down(11.5 + n * 10, chunk)
    return story.policy_ends(80).server_closes(81)


def policy_drops_one() -> Story:
    story = begun()
    for n, chunk in enumerate(words(7)):
        story.up(10 + n * 10, chunk)
        if n != 3:
            story.down(10.5 + n * 10, chunk)
    return story.policy_ends(80).server_closes(81)


def not_forwarded() -> Story:
    story = begun()
    for n, chunk in enumerate(words(7)):
        lost = n == 3
        story.up(10 + n * 10, chunk, until="callback.backend_chunk" if lost else "policy.chunk_in")
        if not lost:
            story.down(10.5 + n * 10, chunk)
    return story.policy_ends(80).server_closes(81)


def not_read_by_endpoint() -> Story:
    story = begun()
    for n, chunk in enumerate(words(7)):
        story.up(10 + n * 10, chunk, until="wire" if n == 3 else "policy.chunk_in")
        if n != 3:
            story.down(10.5 + n * 10, chunk)
    return story.policy_ends(80).server_closes(81)


def nothing_read_by_endpoint() -> Story:
    story = Story().opens(0).starts(3)
    story.told = [(ms, e) for ms, e in story.told if getattr(e, "stage", "") not in ("policy.start", "endpoint.policy")]
    for n, chunk in enumerate(words(7)):
        story.up(10 + n * 10, chunk, until="wire")
    return story.client_closes(172)


def not_read_by_policy() -> Story:
    story = begun()
    for n, chunk in enumerate(words(7)):
        story.up(10 + n * 10, chunk, until="endpoint.chunk_in" if n == 3 else "policy.chunk_in")
        if n != 3:
            story.down(10.5 + n * 10, chunk)
    return story.policy_ends(80).server_closes(81)


def not_sent_by_endpoint() -> Story:
    story = begun()
    for n, chunk in enumerate(words(7)):
        story.up(10 + n * 10, chunk).down(
            10.5 + n * 10, chunk, until="policy.chunk_out" if n == 3 else "callback.yielded"
        )
    return story.policy_ends(80).server_closes(81)


def not_consumed() -> Story:
    story = tool_call_up().down(400, block(), until="wire")
    return story.policy_ends(401).client_closes(427)


def failed_validation() -> Story:
    bad = {key: value for key, value in block().items() if key not in ("model", "created")}
    story = tool_call_up().down(330, bad, until="client.control_in")
    story.mark(330.7, "client.rejected", {"error": "2 validation errors", "missing": ["model", "created"]}, 0)
    return story.policy_ends(331).server_closes(331)


def not_yielded() -> Story:
    return tool_call_up().down(330, block(), until="client.normalized").policy_ends(331).server_closes(331)


def client_leaves() -> Story:
    story = passing(begun(), words(9)[:4])
    return (
        story.close(81, C2S, 1001)
        .close(81.4, S2C, 1001)
        .policy_ends(81.2, closed_early=True)
        .returns(82, closed_early=True)
    )


def server_crashes() -> Story:
    story = passing(begun(), words(9)[:4])
    return story.up(95, words(9)[4]).ends(97, S2C, "reset").ends(97.1, C2S, "aborted")


def server_closes_1011() -> Story:
    story = passing(begun(), words(9)[:4]).up(95, words(9)[4])
    return story.close(97, S2C, 1011, "keepalive ping timeout").close(97.4, C2S, 1011).ends(98, S2C).ends(98, C2S)


def relay_stops() -> Story:
    story = passing(begun(), words(9)[:4]).up(95, words(9)[4])
    return story.ends(96, C2S, "stopped").ends(96, S2C, "stopped")


def client_waits_for_end() -> Story:
    return passing(begun(), words(7)).policy_ends(131).client_closes(30_131)


def stalls() -> Story:
    story = begun().up(10, words(7)[0]).down(2510, words(7)[0])
    return passing(story, words(7)[1:], since=2520).policy_ends(2700).server_closes(2700)


def refused() -> Story:
    return Story().opens(0, status=502, error="connection refused").mark(-1, "callback.invoked", {"function": "f"})


def handshake_refused() -> Story:
    return Story().opens(0, status=403).mark(-1, "callback.invoked", {"function": "f"})


def handshake_unanswered() -> Story:
    return Story().opens(0, answered=False).ends(10_000, C2S).ends(10_000, S2C)


def server_mute() -> Story:
    """The handshake is answered, and nothing after it: no chunk, no close in reply."""
    story = Story().opens(0)
    story.says(3, C2S, {"type": "START", "data": {"model": "demo"}})
    for n, chunk in enumerate(words(7)):
        story.up(10 + n * 10, chunk, until="wire")
    return story.client_closes(427, reply=None).ends(428, C2S).ends(3_500, S2C)


def server_vanishes() -> Story:
    story = passing(begun(), words(9)[:4]).up(95, words(9)[4])
    return story.ends(300_000, C2S, "aborted", 412).ends(300_000, S2C, "lost: ETIMEDOUT")


def server_vanishes_and_the_client_leaves() -> Story:
    story = passing(begun(), words(9)[:4]).up(95, words(9)[4]).close(10_000, C2S).ends(10_001, C2S)
    return story.ends(300_000, S2C, "lost: ETIMEDOUT")


def client_vanishes() -> Story:
    story = passing(begun(), words(9)[:4]).up(95, words(9)[4])
    return story.ends(300_000, C2S, "lost: EHOSTUNREACH").ends(300_000, S2C, "aborted", 412)


def no_start() -> Story:
    return Story().opens(0).close(50, C2S, 1011).close(50.4, S2C, 1011)


def start_refused() -> Story:
    story = Story().opens(0).says(3, C2S, {"type": "CHUNK", "data": words(7)[0]})
    return story.close(4, S2C, 1002, "the first message must be START").close(4.4, C2S, 1002)


def never_opened() -> Story:
    story = Story().mark(0, "callback.invoked", {"function": "async_post_call_streaming_iterator_hook"})
    for n, chunk in enumerate(words(7)):
        story.mark(10 + n, "callback.backend_chunk", chunk, n).mark(10.1 + n, "callback.yielded", chunk, n)
    return story.mark(20, "callback.completed", {"backend_chunks": 7, "yielded": 7})


def not_json() -> Story:
    story = passing(begun(), words(7)[:3])
    story.frame(60, S2C, b'{"type": "CHUNK", "data": ')
    return passing(story, words(7)[3:], since=70).policy_ends(150).server_closes(151)


def not_json_from_a_policy() -> Story:
    """The endpoint's middleware sees no chunk in what it sends, either."""
    story = passing(begun(), words(7)[:3])
    story.up(70, words(7)[3]).down(70.5, words(7)[3], until="policy.chunk_out")
    story.frame(70.8, S2C, b'{"type": "CHUNK", "data": ')
    return passing(story, words(7)[4:], since=90).policy_ends(150).server_closes(151)


def not_json_on_a_busy_machine() -> Story:
    """What is sent is on the wire some milliseconds after the endpoint has said so."""
    story = passing(begun(), words(7)[:3])
    story.up(70, words(7)[3]).down(70.5, words(7)[3], until="endpoint.chunk_out")
    story.frame(82, S2C, b'{"type": "CHUNK", "data": ')
    return passing(story, words(7)[4:], since=90).policy_ends(150).server_closes(151)


def lost_before_what_is_not_json() -> Story:
    """The next chunk came before it, so it does not stand for this one."""
    story = passing(begun(), words(7)[:3])
    story.up(70, words(7)[3]).down(70.5, words(7)[3], until="endpoint.chunk_out")
    passing(story, words(7)[4:6], since=90).frame(140, S2C, b'{"type": "CHUNK", "data": ')
    return passing(story, words(7)[6:], since=150).policy_ends(190).server_closes(191)


def failed_validation_unmarked() -> Story:
    """Hooks without call sites see what goes into the callback and what comes out, and not what it rejects."""
    story, unseen = begun(), ("ws.sent", "ws.received", "client.control_in", "client.normalized")
    for n, chunk in enumerate(words(7)):
        story.up(10 + n * 20, chunk, without=unseen)
        if n == 1:
            bad = {key: value for key, value in chunk.items() if key not in ("choices", "model")}
            story.down(10.5 + n * 20, bad, until="wire", without=unseen)
        else:
            story.down(10.5 + n * 20, chunk, without=unseen)
    return story.policy_ends(232).client_closes(232)


#: name: (story, code with both, with frames alone, with markers alone); None: not to be asked.
CAUSES: dict[Callable[[], Story], tuple[str | None, str | None, str | None]] = {
    text: (FINE, FINE, FINE),
    text_ended_by_server: (FINE, FINE, FINE),
    blocked_in_time: (FINE, FINE, FINE),
    allowed_late_but_in_time: (FINE, FINE, FINE),
    policy_buffers_text: (FINE, FINE, FINE),
    policy_drops_one: (FINE, FINE, FINE),
    client_waits_for_end: (FINE, FINE, FINE),
    stalls: (FINE, FINE, FINE),
    client_leaves: (FINE, FINE, FINE),
    too_late: ("too-late-never-sent", "unanswered-at-close", "too-late-never-sent"),
    too_late_on_wire: ("too-late-on-wire", "too-late-on-wire", "too-late-never-sent"),
    arrived_unread: ("delivered-not-consumed", "arrived-not-read", None),
    policy_hangs: ("policy-hung", "unanswered-at-close", "policy-hung"),
    policy_hangs_long: ("policy-hung", "policy-hung", "policy-hung"),
    policy_cancelled: ("unanswered-at-close", "unanswered-at-close", "unanswered-at-close"),
    policy_raises: ("policy-raised", "error-sent", "policy-raised"),
    policy_swallows: ("policy-swallowed", "policy-swallowed", "policy-swallowed"),
    policy_reorders: ("reordered", "reordered", "reordered"),
    policy_duplicates: ("duplicated", "duplicated", "duplicated"),
    not_forwarded: ("chunk-not-forwarded", FINE, "chunk-not-forwarded"),
    not_read_by_endpoint: ("not-read-by-endpoint", FINE, "not-read-by-endpoint"),
    nothing_read_by_endpoint: ("not-read-by-endpoint", "unanswered-at-close", "not-read-by-endpoint"),
    not_read_by_policy: ("not-read-by-policy", FINE, "not-read-by-policy"),
    not_sent_by_endpoint: ("not-sent-by-endpoint", FINE, "not-sent-by-endpoint"),
    not_consumed: ("delivered-not-consumed", FINE, "not-received"),
    failed_validation: ("failed-validation", "failed-validation", "failed-validation"),
    not_yielded: ("not-yielded", FINE, "not-yielded"),
    server_crashes: ("abnormal-close", "abnormal-close", "end-unknown"),
    server_closes_1011: ("closed-by-server", "closed-by-server", "end-unknown"),
    relay_stops: ("relay-stopped", "relay-stopped", "end-unknown"),
    refused: ("connection-refused", "connection-refused", "never-opened"),
    handshake_refused: ("handshake-refused", "handshake-refused", "never-opened"),
    handshake_unanswered: ("handshake-unanswered", "handshake-unanswered", None),
    server_mute: ("server-silent", "server-silent", None),
    server_vanishes: ("peer-vanished", "peer-vanished", None),
    server_vanishes_and_the_client_leaves: ("peer-vanished", "peer-vanished", None),
    client_vanishes: ("peer-vanished", "peer-vanished", None),
    no_start: ("start-missing", "start-missing", None),
    start_refused: ("start-refused", "start-refused", None),
    never_opened: ("never-opened", None, "never-opened"),
    not_json: ("not-json", "not-json", None),
    not_json_from_a_policy: ("not-json", "not-json", None),
    not_json_on_a_busy_machine: ("not-json", "not-json", None),
    lost_before_what_is_not_json: ("sent-not-on-wire", "not-json", None),
    failed_validation_unmarked: ("failed-validation", "failed-validation", None),
}
VIEWS = {"both": anything, "frames": no_marker, "markers": is_marker}
CASES = [
    pytest.param(story, view, codes[n], id=f"{story.__name__}-{view}")
    for story, codes in CAUSES.items()
    for n, view in enumerate(VIEWS)
    if codes[n]
]


@pytest.mark.parametrize(("story", "view", "code"), CASES)
def test_each_cause_is_told_by_its_code(story: Callable[[], Story], view: str, code: str) -> None:
    result = diagnose(Told(story().events(VIEWS[view])))
    main = result.main.code if result.main else result.verdict
    assert main == code, str(result)
    assert result.exit_status == (0 if code == FINE else 1)
    assert "\n" not in result.answer
    for one in result.findings:
        assert set(one.evidence) <= set(result.items), one


def test_a_send_into_a_closed_connection_is_not_called_sent() -> None:
    seen = tool_call_up().client_closes(427).down(623, block(), until="policy.chunk_out")
    seen.mark(623.1, "endpoint.chunk_out", {"chunk": block(), "after_close": True}, 0)
    assert "though the endpoint gave it to the closed connection at 0.6231 s" in diagnose(Told(seen.events())).answer
    assert "though the endpoint says 'sent' at 0.6231 s" in diagnose(Told(too_late().events())).answer
