"""Properties of the tap: nothing that goes by is ever missing from its events, and nothing makes it raise."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsproxy.wire.events import C2S, S2C, Request, Response
from wsproxy.wire.http1 import HEAD_LIMIT

from .conversation import SWITCH, UPGRADE, Conversation, settled
from .strategies import cuts, frame_bytes, interleavings, mutated, requests, responses

few = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@few
@given(interleavings)
def test_after_every_word_of_any_two_peers_the_events_rebuild_to_all_bytes_fed(said: list[tuple[bool, bytes]]) -> None:
    conversation = Conversation()
    for client, data in said:
        conversation.says(C2S if client else S2C, data)
    for dir in (C2S, S2C):
        conversation.ends(dir)
        assert conversation.rebuilt(dir) == conversation.wires[dir].fed


@few
@given(st.binary(max_size=12), st.sampled_from([SWITCH, b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", b"garbage"]))
def test_bytes_held_before_the_answer_are_never_doubled_or_lost(held: bytes, answer: bytes) -> None:
    conversation = Conversation()
    conversation.client(UPGRADE)
    conversation.client(held, in_steps_of=3)
    conversation.server(answer)
    conversation.client(b"\x00\x01\x02 more")
    conversation.ends(C2S)


@few
@given(st.data())
def test_what_a_valid_http_conversation_means_does_not_depend_on_how_it_is_split(data: st.DataObject) -> None:
    asked = data.draw(st.lists(requests(), min_size=1, max_size=4))
    answers = data.draw(st.lists(responses(), min_size=1, max_size=4))
    whole, split = Conversation(), Conversation()
    whole.client(b"".join(asked))
    whole.server(b"".join(answers))
    for part in data.draw(cuts(b"".join(asked))):
        split.client(part)
    for part in data.draw(cuts(b"".join(answers))):
        split.server(part)
    for dir in (C2S, S2C):
        whole.ends(dir)
        split.ends(dir)
        assert settled(whole.of(dir)) == settled(split.of(dir))


@few
@given(st.data())
def test_a_mutated_upgrade_is_recorded_whole_whatever_it_turns_into(data: st.DataObject) -> None:
    conversation = Conversation()
    for part in data.draw(cuts(data.draw(mutated(st.just(UPGRADE))) + data.draw(frame_bytes))):
        conversation.client(part)
    for part in data.draw(cuts(data.draw(mutated(st.just(SWITCH))) + data.draw(frame_bytes))):
        conversation.server(part)
    conversation.ends(S2C)
    conversation.ends(C2S)


@few
@given(st.lists(requests(), min_size=1, max_size=5))
def test_pipelined_requests_are_counted_from_one_and_keep_their_heads(asked: list[bytes]) -> None:
    conversation = Conversation()
    events = conversation.client(b"".join(asked))
    heads = [event for event in events if isinstance(event, Request)]
    assert [head.exchange for head in heads] == list(range(1, len(asked) + 1))
    assert [request.startswith(head.raw) for request, head in zip(asked, heads, strict=True)] == [True] * len(asked)


@few
@given(frame_bytes.filter(lambda held: len(held) < HEAD_LIMIT), frame_bytes)
def test_after_a_101_both_directions_are_frames(up: bytes, down: bytes) -> None:
    conversation = Conversation()
    conversation.client(UPGRADE + up)
    events = conversation.server(SWITCH + down)
    assert isinstance(events[0], Response)
    assert conversation.tap.both_in_frames
    assert {type(event).__name__ for event in conversation.events} <= {"Request", "Response", "Frame", "Part", "Piece"}
