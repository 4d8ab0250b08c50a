"""The relay changes nothing: the client and both ends see the same with and without it.

Strategy: the backend's answers are a pure function of the request, so two runs can be compared as they are, but for one
thing: LiteLLM stamps each streamed chunk with its own `created`. Only that is dropped before comparing; the chunks' ids
are the backend's and stay.
"""

from __future__ import annotations

import re

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from .bed import Answer, Bed, Question
from .questions import QUESTIONS

pytestmark = pytest.mark.asyncio(loop_scope="session")


END = '"type": "END"'


def timeless(answer: Answer) -> list[str]:
    """The lines that the client got, byte for byte, but for `created`."""
    return [re.sub(r'"created":\d+,', "", line) for line in answer.lines]


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
async def test_the_client_gets_the_same_lines_with_and_without_the_relay(
    direct_bed: Bed, relayed_bed: Bed, question: Question
) -> None:
    direct, relayed = await direct_bed.ask(question), await relayed_bed.ask(question)
    assert relayed.status == direct.status == 200
    assert timeless(relayed) == timeless(direct)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS.keys())
async def test_each_end_receives_what_the_other_sent(bed: Bed, question: Question) -> None:
    stream_id = (await bed.ask(question)).stream_id
    await bed.control_plane.lines_until(stream_id, "finished")
    up, got_up = bed.callback.texts(stream_id, "sent"), bed.control_plane.texts(stream_id, "received")
    down, got_down = bed.control_plane.texts(stream_id, "sent"), bed.callback.texts(stream_id, "received")
    # Whoever ends first reads no further: the control plane after a block, the callback after its own END.
    assert got_up == up[: len(got_up)]
    assert got_down == down[: len(got_down)]
    assert END not in up[-1] or got_up == up
    assert set(down[len(got_down) :]) <= {'{"type":"END"}'}


async def test_a_first_message_that_is_not_start_is_refused_with_1002(bed: Bed) -> None:
    url = bed.base_url.replace("http", "ws", 1)
    async with connect(f"{url}/stream/no-start") as connection:
        await connection.send('{"type": "CHUNK", "data": {}}')
        with pytest.raises(ConnectionClosedError) as refused:
            await connection.recv()
    assert refused.value.rcvd is not None
    assert (refused.value.rcvd.code, refused.value.rcvd.reason) == (1002, "the first message must be START")
