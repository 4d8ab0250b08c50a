"""Every fault in the real processes: what the client got, and what the recording holds."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import NamedTuple

import pytest

from wsproxy.demo import faults
from wsproxy.demo.faulty import backend, callback, client, endpoint, policies
from wsproxy.recording.events import Open
from wsproxy.wire.events import C2S, S2C

from .runs import HEALTHY, Run, text

TEXT = "Hello, this is the demo's backend: all is well \u2615\u00e9."
BLOCKED = "BLOCKED by judge (p=0.97): destructive SQL (DROP)"
WORDS = ["Hello", ", this is ", "the demo's ", "backend: ", "all is well", " \u2615\u00e9.", ""]

by_fault = pytest.mark.parametrize("fault", [HEALTHY, *faults.NAMES])


EITHER = ("", "1000")
"""The control plane closes upon END, and the callback after it: either may be first."""


class Expected(NamedTuple):
    """What a fault leaves.

    `got` is the client's text; `down` what came down but END, which may lose a race on a healthy stream; `closed` who closed
    first and how, "" where both may have; `end` how the server's side of the TCP connection ended.
    """

    got: str
    down: list[str]
    closed: tuple[str, str] | None = EITHER
    end: str = "fin"
    done: bool = True


def chunks(count: int, *more: str) -> list[str]:
    return [*["CHUNK"] * count, *more]


CUT = "Hello, this is "
CLOSED = "close 1000"
BY_CLIENT = ("client", "1000")
BY_SERVER = ("server", "1000")

EXPECTED = {
    HEALTHY: Expected(TEXT, chunks(7, CLOSED)),
    "no-relay": Expected(TEXT, [], None, ""),
    "no-control-plane": Expected(TEXT, [], None),
    "handshake-refused": Expected(TEXT, [], None),
    "no-start": Expected("", ["close 1002"], ("server", "1002")),
    "start-raises": Expected("", [CLOSED], BY_CLIENT, done=False),
    "policy-not-loaded": Expected("", ["ERROR", CLOSED]),
    "not-forwarded": Expected(TEXT.replace(WORDS[2], ""), chunks(6, CLOSED)),
    "not-read": Expected("".join(WORDS[:3]), chunks(3, CLOSED)),
    "policy-raises": Expected("Hello", ["CHUNK", "ERROR", CLOSED]),
    "policy-hangs": Expected("Hello", ["CHUNK", CLOSED], BY_CLIENT),
    "policy-swallows": Expected("", [CLOSED]),
    "policy-buffers": Expected(TEXT, chunks(7, CLOSED)),
    "reorder": Expected("".join([WORDS[0], WORDS[2], WORDS[1], *WORDS[3:]]), chunks(7, CLOSED)),
    "duplicate": Expected("".join([*WORDS[:2], *WORDS[1:]]), chunks(8, CLOSED)),
    "slow-judge": Expected("", [CLOSED], BY_CLIENT),
    "late-frame": Expected("", ["CHUNK", CLOSED]),
    "never-polled": Expected("", ["CHUNK", CLOSED]),
    "after-close": Expected("", ["CHUNK", CLOSED], BY_CLIENT),
    "not-sent": Expected(TEXT.replace(WORDS[1], ""), chunks(6, CLOSED)),
    "not-yielded": Expected(TEXT.replace(WORDS[1], ""), chunks(7, CLOSED)),
    "bad-chunk": Expected(TEXT.replace(WORDS[1], ""), chunks(7, CLOSED)),
    "bad-json": Expected(TEXT.replace(WORDS[1], ""), ["CHUNK", "no JSON", *chunks(5, CLOSED)]),
    "error": Expected(CUT, ["CHUNK", "CHUNK", "ERROR", CLOSED]),
    "missing-end": Expected(BLOCKED, ["CHUNK", CLOSED], BY_SERVER),
    "early-close": Expected(CUT, chunks(2, CLOSED), BY_SERVER),
    "abnormal-close": Expected(CUT, chunks(2, "close 1011"), ("server", "1011")),
    "reset": Expected(CUT, chunks(2), None, "reset"),
    "vanish": Expected(CUT, chunks(2), None),
    "client-leaves": Expected("one-0 stream-1 ", [], BY_CLIENT, done=False),
    "stall": Expected(TEXT, chunks(7, CLOSED)),
}


@by_fault
def test_the_client_gets_what_the_fault_leaves_it(seen: Run, fault: str) -> None:
    assert (seen.answer.text, seen.answer.done) == (EXPECTED[fault].got, EXPECTED[fault].done)


@pytest.mark.parametrize("fault", [name for name in EXPECTED if name not in ("no-relay", "client-leaves")])
def test_the_recording_holds_all_that_came_down_and_how_it_ended(seen: Run, fault: str) -> None:
    expected = EXPECTED[fault]
    assert [said for said in seen.said(S2C) if said != "END"] == expected.down
    assert seen.closed == expected.closed or (expected.closed == EITHER and seen.closed in (BY_CLIENT, BY_SERVER))
    assert seen.end(S2C) == expected.end


@pytest.mark.parametrize("fault", [name for name in EXPECTED if name != "start-raises"])
def test_no_part_breaks_over_a_fault(seen: Run, fault: str) -> None:
    assert not [name for name, log in seen.logs.items() if "Traceback" in log or "Unclosed" in log]


@pytest.mark.parametrize(
    "fault",
    ["not-read", "policy-hangs", "policy-swallows", "policy-buffers", "reorder", "duplicate", "not-sent", "stall"],
)
def test_what_fails_later_leaves_the_way_up_alone(seen: Run, fault: str) -> None:
    up = [said for said in seen.said(C2S) if said != "END"]
    assert up == ["START", *chunks(7, CLOSED)]
    assert [text(message) for message in seen.chunks(C2S)] == WORDS


# --- never opened ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["no-relay"])
def test_without_a_relay_there_is_a_recording_of_markers_only(seen: Run, fault: str) -> None:
    assert not seen.of(Open)
    assert seen.markers("callback.invoked") and seen.markers("callback.completed")
    assert "UNFILTERED" in seen.logs["proxy"]


@pytest.mark.parametrize("fault", ["no-control-plane"])
def test_without_a_control_plane_the_relay_answers_502(seen: Run, fault: str) -> None:
    assert {event.error for event in seen.of(Open)} == {"connection refused"}
    assert seen.status == 502
    assert "UNFILTERED" in seen.logs["proxy"]


@pytest.mark.parametrize("fault", ["handshake-refused"])
def test_a_refused_handshake_is_a_403_and_no_frame(seen: Run, fault: str) -> None:
    assert (seen.status, seen.messages) == (403, [])
    assert "UNFILTERED" in seen.logs["proxy"]


@pytest.mark.parametrize("fault", ["no-start"])
def test_without_start_a_chunk_comes_first(seen: Run, fault: str) -> None:
    assert seen.said(C2S)[0] == "CHUNK"


@pytest.mark.parametrize("fault", ["start-raises"])
def test_a_callback_that_raises_before_start_says_nothing_and_closes(seen: Run, fault: str) -> None:
    assert seen.said(C2S) == [CLOSED]
    (failed,) = seen.markers("callback.failed")
    assert failed.data["error_type"] == "TypeError"


@pytest.mark.parametrize("fault", ["policy-not-loaded"])
def test_a_policy_that_is_not_loaded_is_an_error_of_the_endpoint_alone(seen: Run, fault: str) -> None:
    (error,) = seen.markers("endpoint.error")
    assert error.data["error"] == "no policy 'judge' is loaded"
    assert not seen.markers("endpoint.policy", "policy.start", "endpoint.chunk_in")


# --- on the way up, and in the policy --------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["not-forwarded"])
def test_a_chunk_that_is_not_forwarded_came_from_the_backend_and_is_on_no_wire(seen: Run, fault: str) -> None:
    assert len(seen.markers("callback.backend_chunk")) == 7
    assert [text(message) for message in seen.chunks(C2S)] == [*WORDS[:2], *WORDS[3:]]


@pytest.mark.parametrize("fault", ["not-read"])
def test_a_chunk_that_is_not_read_is_on_the_wire_and_not_in_the_endpoint(seen: Run, fault: str) -> None:
    assert len(seen.chunks(C2S)) == 7
    assert len(seen.markers("endpoint.chunk_in")) == 3


@pytest.mark.parametrize("fault", ["policy-raises", "error"])
def test_who_failed_is_told_by_the_end_of_the_policy(seen: Run, fault: str) -> None:
    (end,) = seen.markers("policy.end")
    assert ("error" in end.data) == (fault == "policy-raises")
    assert len(seen.markers("endpoint.error")) == 1


@pytest.mark.parametrize("fault", ["policy-hangs"])
def test_a_policy_that_hangs_takes_two_chunks_and_gives_one(seen: Run, fault: str) -> None:
    assert (len(seen.markers("policy.chunk_in")), len(seen.markers("policy.chunk_out"))) == (2, 1)
    assert seen.said(C2S)[-2:] == ["END", CLOSED]


@pytest.mark.parametrize("fault", ["policy-swallows"])
def test_a_policy_that_swallows_takes_all_and_ends(seen: Run, fault: str) -> None:
    assert (len(seen.markers("policy.chunk_in")), len(seen.markers("policy.chunk_out"))) == (7, 0)
    assert seen.said(S2C) == ["END", CLOSED]


@pytest.mark.parametrize("fault", ["policy-buffers"])
def test_a_policy_that_buffers_gives_nothing_before_the_last_chunk_is_in(seen: Run, fault: str) -> None:
    assert seen.chunks(C2S)[-1].t < seen.chunks(S2C)[0].t


@pytest.mark.parametrize(
    ("fault", "order"), [("reorder", [0, 2, 1, 3, 4, 5, 6]), ("duplicate", [0, 1, 1, 2, 3, 4, 5, 6])]
)
def test_a_policy_that_reorders_or_repeats_does_so_on_the_wire(seen: Run, fault: str, order: list[int]) -> None:
    assert [text(message) for message in seen.chunks(S2C)] == [WORDS[number] for number in order]


# --- too late --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["slow-judge"])
def test_the_famous_bug_says_sent_when_the_connection_is_long_closed(seen: Run, fault: str) -> None:
    (sent,) = seen.markers("endpoint.chunk_out")
    assert sent.t > seen.first(C2S, CLOSED).t
    assert seen.chunks(S2C) == []
    assert "blocked, sent chunk" in seen.logs["control_plane"]


@pytest.mark.parametrize("fault", ["late-frame"])
def test_a_late_frame_is_on_the_wire_when_the_callback_has_said_end(seen: Run, fault: str) -> None:
    (block,) = seen.chunks(S2C)
    assert text(block) == BLOCKED
    assert block.t > seen.first(C2S, "END").t
    assert not seen.markers("ws.received", "client.control_in")


@pytest.mark.parametrize("fault", ["never-polled"])
def test_what_is_never_polled_was_received_in_time(seen: Run, fault: str) -> None:
    (block,) = seen.chunks(S2C)
    assert text(block) == BLOCKED
    assert "END" not in seen.said(C2S) or block.t < seen.first(C2S, "END").t
    assert seen.markers("ws.received")
    assert not seen.markers("client.control_in")


@pytest.mark.parametrize("fault", ["after-close"])
def test_what_is_sent_after_the_close_frame_still_passes_and_is_recorded(seen: Run, fault: str) -> None:
    (block,) = seen.chunks(S2C)
    assert text(block) == BLOCKED
    assert block.t > seen.first(C2S, CLOSED).t


# --- on the way down, and the ends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["not-sent"])
def test_a_chunk_that_is_not_sent_is_in_the_log_and_on_no_wire(seen: Run, fault: str) -> None:
    assert len(seen.markers("endpoint.chunk_out")) == 7
    assert [text(message) for message in seen.chunks(S2C)] == [WORDS[0], *WORDS[2:]]


@pytest.mark.parametrize("fault", ["not-yielded"])
def test_a_chunk_that_is_not_yielded_arrived_and_was_valid(seen: Run, fault: str) -> None:
    assert (len(seen.markers("client.normalized")), len(seen.markers("client.to_client"))) == (7, 6)


@pytest.mark.parametrize("fault", ["bad-chunk"])
def test_a_bad_chunk_is_rejected_with_what_it_lacks(seen: Run, fault: str) -> None:
    (rejected,) = seen.markers("client.rejected")
    assert rejected.data["error"] == "no choices, model, created"
    assert set(seen.chunks(S2C)[1].json["data"]).isdisjoint({"choices", "model", "created"})


@pytest.mark.parametrize("fault", ["bad-json"])
def test_a_message_that_is_no_json_is_marked_as_such(seen: Run, fault: str) -> None:
    assert len(seen.markers("ws.json_error")) == 1


@pytest.mark.parametrize("fault", ["missing-end", "early-close", "abnormal-close", "reset", "vanish"])
def test_who_goes_without_a_word_says_no_end_though_its_log_does(seen: Run, fault: str) -> None:
    assert "END" not in seen.said(S2C)
    assert len(seen.markers("endpoint.end")) == 1


@pytest.mark.parametrize("fault", ["client-leaves"])
def test_a_client_that_leaves_is_a_close_without_end_in_the_middle(seen: Run, fault: str) -> None:
    assert "END" not in seen.said(C2S)
    assert seen.closed == ("client", "1000")
    assert 2 <= len(seen.chunks(C2S)) < 200
    (completed,) = seen.markers("callback.completed")
    assert completed.data["closed_early"] is True


@pytest.mark.parametrize("fault", ["stall"])
def test_a_stall_is_the_longest_silence_of_the_stream(seen: Run, fault: str) -> None:
    times = [message.t for message in seen.messages]
    silences = [later - earlier for earlier, later in pairwise(times)]
    longest = seen.messages[silences.index(max(silences)) + 1]
    assert longest is seen.chunks(C2S)[backend.STALLS_AFTER]


# --- the table -------------------------------------------------------------------------------------------------------


def test_each_fault_of_the_table_is_in_the_room_of_its_part_and_no_other() -> None:
    rooms: dict[str, set[str]] = {
        "callback": set(callback.CONTROL_STREAMS),
        "endpoint": set(endpoint.CONNECTIONS),
        "policy": set(policies.POLICIES),
        "backend": set(backend.PACES),
        "client": set(client.READERS),
    }
    for where, names in rooms.items():
        assert names == {fault.name for fault in faults.TABLE if fault.where == where}
    assert len(set(faults.NAMES)) == len(faults.TABLE) == len(EXPECTED) - 1


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "wsproxy", "demo", *arguments], capture_output=True, text=True)


def test_the_command_lists_the_table() -> None:
    listed = demo("--faults")
    assert listed.returncode == 0
    assert all(f"\n{fault.name} " in f"\n{listed.stdout}" and fault.shows in listed.stdout for fault in faults.TABLE)


def test_a_fault_that_does_not_exist_is_trouble_with_a_hint() -> None:
    refused = demo("--fault", "slow-jugde")
    assert refused.returncode == 2
    assert "did you mean slow-judge?" in refused.stderr
