"""Each of the six steps apart, on the real pipeline: what its marks say, and that they say nothing else.

Strategy: a section per step, against what is known without the marks: the wire, the journals of both ends, the
client's answer. What every way of hooking sees is asked of both; what only call sites can see, of those. The middle
steps are asked for every policy.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wsproxy import stages
from wsproxy.recording.events import Marker
from wsproxy.wire.events import C2S, S2C

from .marked import CALL_SITES, NO_CODE, Stream, Streams
from .questions import BLOCKED, PASSED, SHOUTED, TEXT

POLICIES = {
    "passed": "NoOpPolicy",
    "shouted": "AllCapsPolicy",
    "block delivered": "JudgePolicy",
    "block lost": "JudgePolicy",
    "tool allowed": "JudgePolicy",  # the indulgent one
    "policy fails": "RaisingPolicy",
    "chunk incomplete": "IncompletePolicy",
}
every_policy = pytest.mark.parametrize("name", POLICIES)

HOOK = "async_post_call_streaming_iterator_hook"


def of_hook(markers: list[Marker], hook: str = HOOK) -> Marker:
    """The only marker of these that is of this hook of the callback."""
    (found,) = (marker for marker in markers if str(marker.data.get("function", HOOK)).endswith(hook))
    return found


def summary(seen: Stream, *, streamed: bool = True) -> dict[str, Any]:
    """What marks are to say of a request."""
    call_id = {"litellm_call_id": seen.answer.stream_id}
    return {**call_id, "model": "demo", "messages": 1, **({"stream": True} if streamed else {})}


def chunks_of(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message["data"] for message in messages if message["type"] == "CHUNK"]


def chunks_at(seen: Stream, stage: str) -> list[dict[str, Any]]:
    """The chunks at a stage; their indices must count from 0."""
    sightings = seen.at(stage)
    assert [sighting.position for sighting in sightings] == list(range(len(sightings)))
    return [sighting.chunk for sighting in sightings]


def texts(chunks: list[dict[str, Any]]) -> list[str | None]:
    return [chunk["choices"][0]["delta"].get("content") for chunk in chunks if chunk.get("choices")]


# --- step 1: the callback is invoked ----------------------------------------------------------------------------------


def test_the_invocation_is_marked_once_with_its_request(streams: Streams) -> None:
    seen = streams["passed"]
    invoked = of_hook(seen.markers("callback.invoked"))
    assert invoked.data["request"] == summary(seen)
    assert invoked.t < min(sighting.t for sighting in seen.at("callback.backend_chunk"))


def test_a_call_site_tells_the_types_of_the_arguments_too(call_sites: Streams) -> None:
    arguments = of_hook(call_sites["passed"].markers("callback.invoked")).data["arguments"]
    assert list(arguments) == ["self", "user_api_key_dict", "response", "request_data"]
    assert (arguments["self"], arguments["user_api_key_dict"]) == ("InstrumentedCallback", "UserAPIKeyAuth")
    assert arguments["request_data"] == "dict"


def test_the_completion_has_counts_and_a_duration(streams: Streams) -> None:
    seen = streams["passed"]
    completed = of_hook(seen.markers("callback.completed"))
    assert completed.data["yielded"] == len(seen.at("callback.yielded")) >= 7
    assert "closed_early" not in completed.data
    first, last = seen.at("callback.backend_chunk")[0].t, seen.at("callback.yielded")[-1].t
    assert completed.data["duration_ns"] >= last - first


def test_what_the_backend_gives_is_marked_chunk_by_chunk(streams: Streams) -> None:
    seen = streams["shouted"]
    assert texts(chunks_at(seen, "callback.backend_chunk"))[:2] == ["Hello", ", this is "]
    assert texts(chunks_at(seen, "callback.yielded"))[:2] == ["HELLO", ", THIS IS "]


def test_coroutine_hooks_are_marked_at_their_call_sites(call_sites: Streams) -> None:
    streamed, whole = call_sites["passed"], call_sites["one piece"]
    before = of_hook(streamed.markers("callback.invoked"), "async_pre_call_hook")
    assert before.data["arguments"]["data"] == "dict"
    assert before.data["request"]["litellm_call_id"] == streamed.answer.stream_id
    assert of_hook(streamed.markers("callback.completed"), "async_pre_call_hook").t > before.t
    after = of_hook(whole.markers("callback.completed"), "async_post_call_success_hook")
    assert after.data["result"] == "ModelResponse"


# --- steps 2 and 5: the wire, as the callback sees it -----------------------------------------------------------------


def test_every_outgoing_message_is_marked_with_its_type_and_content(call_sites: Streams) -> None:
    seen = call_sites["passed"]
    sent, wire = seen.markers("ws.sent"), seen.said(C2S)
    count = len(chunks_of(wire))
    assert [m.data["type"] for m in sent] == [m["type"] for m in wire] == ["START", *["CHUNK"] * count, "END"]
    assert [list(m.data) for m in sent[1:]] == [list(m) for m in wire[1:]]
    assert [m.data["data"] for m in sent[1:-1]] == chunks_of(wire)
    assert [m.index for m in sent] == [None, *range(count), None]


def test_a_sent_start_is_marked_as_a_summary_only(call_sites: Streams) -> None:
    seen = call_sites["passed"]
    start = seen.markers("ws.sent")[0]
    assert start.data == {"type": "START", "keys": ["type", "data"], "summary": summary(seen)}


def test_every_incoming_message_is_marked_with_its_type_and_content(call_sites: Streams) -> None:
    seen = call_sites["block delivered"]
    received = seen.markers("ws.received")
    assert [m.data for m in received] == seen.said(S2C)[: len(received)]
    assert received[0].data["data"]["choices"][0]["delta"]["content"] == BLOCKED
    assert (received[0].index, len(chunks_of(seen.said(S2C)))) == (0, 1)


def test_an_incoming_message_that_is_no_json_is_marked_with_its_text_and_the_error(call_sites: Streams) -> None:
    seen = call_sites["chunk garbled"]
    error = seen.one("ws.json_error")
    (garbled,) = (m.text for m in seen.recording.messages() if m.dir == S2C and m.opcode == 1 and m.json is None)
    assert error.data["raw"] == garbled
    assert error.data["error_type"] == "JSONDecodeError"
    assert len(seen.markers("ws.received")) == len(seen.at("endpoint.chunk_out")) - 1  # those before and after it


# --- step 3: the endpoint ---------------------------------------------------------------------------------------------


def test_the_endpoint_marks_start_with_a_summary_of_the_request(streams: Streams) -> None:
    seen = streams["passed"]
    start = seen.one("endpoint.start")
    assert start.data.items() <= summary(seen).items()
    assert {"model": "demo", "stream": True}.items() <= start.data.items()


@every_policy
def test_the_endpoint_marks_each_chunk_that_it_reads(streams: Streams, name: str) -> None:
    seen = streams[name]
    read = chunks_at(seen, "endpoint.chunk_in")
    assert read and read == chunks_of(seen.said(C2S))[: len(read)]


@every_policy
def test_the_endpoint_marks_each_chunk_that_it_sends(streams: Streams, name: str) -> None:
    seen = streams[name]
    sent = chunks_at(seen, "endpoint.chunk_out") if name != "block lost" else []
    assert sent == chunks_of(seen.said(S2C))
    assert len(seen.markers("endpoint.chunk_out")) == len(seen.markers("policy.chunk_out"))


@every_policy
def test_the_policy_is_marked_by_its_class_when_the_endpoint_calls_it(call_sites: Streams, name: str) -> None:
    seen = call_sites[name]
    called = seen.one("endpoint.policy")
    assert called.data == {"policy": POLICIES[name], "request": summary(seen)}
    assert called.t <= seen.one("policy.start").t


@every_policy
def test_the_endpoint_marks_one_end_or_one_error(streams: Streams, name: str) -> None:
    seen = streams[name]
    ended = [marker.stage for marker in seen.markers("endpoint.end", "endpoint.error")]
    expected = ["endpoint.error" if name == "policy fails" else "endpoint.end"]
    if name == "block lost" and streams.way is NO_CODE:
        expected = []  # after the block that could not be sent Starlette itself refuses END: no middleware sees it
    assert ended == expected


def test_the_endpoint_marks_the_error_that_it_sends(streams: Streams) -> None:
    seen = streams["policy fails"]
    (error,) = (message["error"] for message in seen.said(S2C) if message["type"] == "ERROR")
    assert seen.one("endpoint.error").data["error"] == error


def test_the_middleware_knows_that_the_connection_was_over(no_code: Streams) -> None:
    assert no_code["block lost"].one("endpoint.chunk_out").data["after_close"] is True
    assert "after_close" not in no_code["block delivered"].one("endpoint.chunk_out").data


# --- step 4: the policy -----------------------------------------------------------------------------------------------


@every_policy
def test_the_policy_marks_its_start_and_what_it_takes_and_gives(streams: Streams, name: str) -> None:
    seen = streams[name]
    start, taken, given = seen.one("policy.start"), seen.at("policy.chunk_in"), seen.at("policy.chunk_out")
    assert start.data == {"policy": POLICIES[name]}
    assert start.t <= taken[0].t <= given[0].t
    # A policy takes what the endpoint read, in order, and not always all of it.
    read = chunks_at(seen, "endpoint.chunk_in")
    assert chunks_at(seen, "policy.chunk_in") == read[: len(taken)]
    blocked = [BLOCKED] if name.startswith("block") else []
    assert blocked == [text for text in texts(chunks_at(seen, "policy.chunk_out")) if text and "BLOCKED" in text]


@every_policy
def test_the_policy_marks_its_end_with_totals(streams: Streams, name: str) -> None:
    seen = streams[name]
    if name == "policy fails" and streams.way is CALL_SITES:
        assert not seen.markers("policy.end")  # the call behind the loop is not reached
        return
    end = seen.one("policy.end")
    assert (end.data["policy"], end.data["total_chunks"]) == (POLICIES[name], len(seen.at("policy.chunk_out")))
    assert end.t >= seen.at("policy.chunk_out")[-1].t


def test_the_wrapper_of_the_policy_tells_what_it_took_and_why_it_failed(no_code: Streams) -> None:
    end = no_code["policy fails"].one("policy.end").data
    assert (end["chunks_in"], end["total_chunks"]) == (1, 1)
    assert (end["error_type"], end["error"]) == ("RuntimeError", "this policy always fails after its first chunk")
    assert no_code["block delivered"].one("policy.end").data["chunks_in"] == 6


def test_an_answer_in_one_piece_passes_a_marked_policy_too(streams: Streams) -> None:
    seen = streams["one piece"]
    assert texts(chunks_at(seen, "policy.chunk_out"))[0] == seen.answer.choice["message"]["content"]
    assert seen.one("policy.end").data["total_chunks"] == 2
    assert not seen.markers("endpoint.start")


# --- step 6: back in the callback, and to the client ------------------------------------------------------------------


def test_every_control_message_is_marked_when_it_is_taken(call_sites: Streams) -> None:
    seen = call_sites["shouted"]
    taken, received = seen.markers("client.control_in"), seen.markers("ws.received")
    assert [m.data for m in taken] == [m.data for m in received]
    assert [m.index for m in taken] == list(range(len(taken)))


def test_every_valid_chunk_is_marked_as_normalized(call_sites: Streams) -> None:
    seen = call_sites["shouted"]
    assert texts(chunks_at(seen, "client.normalized")) == texts(chunks_of(seen.said(S2C)))
    assert not seen.markers("client.rejected")


def test_an_invalid_chunk_is_marked_with_the_reason_and_itself(call_sites: Streams) -> None:
    seen = call_sites["chunk incomplete"]
    rejected = seen.one("client.rejected")
    assert (rejected.index, rejected.data["error"]) == (0, "no choices, model")
    assert rejected.data["chunk"] == chunks_of(seen.said(S2C))[1]
    assert len(seen.at("client.normalized")) == len(seen.at("client.to_client")) == len(seen.at("wire.s2c")) - 1


@every_policy
def test_every_chunk_to_the_client_is_marked_and_is_what_the_client_gets(streams: Streams, name: str) -> None:
    seen = streams[name]
    marked = [text for text in texts(chunks_at(seen, "client.to_client")) if text]
    assert marked == [text for text in texts(seen.answer.chunks) if text]
    assert len(seen.at("client.to_client")) == len(seen.at("callback.yielded"))


# --- all of them ------------------------------------------------------------------------------------------------------


def test_all_marks_are_of_the_stages_that_are_known(streams: Streams) -> None:
    marked = {marker.stage for name in POLICIES for marker in streams[name].all_markers}
    assert marked <= stages.KNOWN - {stages.HOOKS_DROPPED}


def test_no_mark_holds_a_credential(streams: Streams) -> None:
    for name in POLICIES:
        seen = streams[name]
        told = " ".join(repr(marker.data) for marker in seen.all_markers)
        assert streams.bed.client_key not in told and streams.bed.provider_key not in told
        assert streams.bed.client_key in repr(seen.said(C2S)[0])  # where it would have come from


def test_marks_are_lines_of_log_in_the_words_that_people_grep(streams: Streams) -> None:
    seen = streams["passed"]
    stream_id, count = seen.answer.stream_id, len(seen.at("policy.chunk_out"))
    log = streams.bed.control_plane_logs[0].read_text().splitlines()
    for line in (
        f"ENDPOINT CHUNK IN [{stream_id}] #3: content='backend: '",
        f"POLICY CHUNK OUT [{stream_id}] NoOpPolicy #3: content='backend: '",
        f"POLICY STREAM END [{stream_id}] NoOpPolicy: processed {count} chunks",
    ):
        assert f"wsproxy.hooks {line}" in log


@pytest.mark.asyncio(loop_scope="session")
async def test_twenty_streams_at_once_have_each_its_own_marks(no_code: Streams) -> None:
    bed, way = no_code.bed, no_code.way
    answers = await asyncio.gather(*map(bed.ask, [PASSED, SHOUTED] * 10))
    ids = [answer.stream_id for answer in answers]
    recordings = await asyncio.gather(*(bed.recording(stream_id, marked=way.ends) for stream_id in ids))
    for question, answer, recording in zip([PASSED, SHOUTED] * 10, answers, recordings, strict=True):
        seen = Stream(answer, recording)
        assert of_hook(seen.markers("callback.invoked")).data["request"]["litellm_call_id"] == answer.stream_id
        assert chunks_at(seen, "endpoint.chunk_in") == chunks_of(seen.said(C2S))
        assert chunks_at(seen, "endpoint.chunk_out") == chunks_of(seen.said(S2C))
        assert "".join(text or "" for text in texts(chunks_at(seen, "client.to_client"))) == answer.folded.text
        assert answer.folded.text == (TEXT if question is PASSED else TEXT.upper())
