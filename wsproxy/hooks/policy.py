"""`instrument_policy_stream`: any policy, seen from its call site (step 4).

Strategy: a policy is an async generator between two streams, so watching both tells all: what it took, what it gave,
when, and how it ended. The policy itself is not touched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from wsproxy import stages

from . import marks
from .streams import ChunkMarks, ObservedStream, Observer, Totals, is_stream


def instrument_policy_stream(stream_id: str, policy: Any, incoming: AsyncIterator[Any]) -> PolicyStream:
    """Watch one policy at work on one stream.

    Where the endpoint has

        async for chunk in policy.generate_response_stream(context, incoming):

    write

        async for chunk in instrument_policy_stream(stream_id, policy, incoming).run(context):

    or, where the policy is called in another way, put `.incoming` and `.outgoing(…)` around it:

        watched = instrument_policy_stream(stream_id, policy, incoming)
        async for chunk in watched.outgoing(policy.rewrite(watched.incoming)):

    Marks `policy.start` when the first chunk is asked for, `policy.chunk_in` for each chunk that the policy consumes,
    `policy.chunk_out` for each that it yields, and `policy.end` with totals; `error` when it raised, `closed_early` when
    the endpoint wanted no more.

    Args:
        policy: has `generate_response_stream(context, incoming_stream)`; its class is the name in the marks.
    """
    return PolicyStream(stream_id, policy, incoming)


class PolicyStream:
    """A policy's two streams, watched: see `instrument_policy_stream`."""

    def __init__(self, stream_id: str, policy: Any, incoming: AsyncIterator[Any]) -> None:
        self.incoming = incoming
        self._policy = policy
        self._observer: _Outgoing | None = None
        if marks.enabled():
            name = policy if isinstance(policy, str) else _class_name(policy)
            taken = ChunkMarks(stream_id, stages.POLICY_CHUNK_IN, policy=name)
            if is_stream(incoming):
                self.incoming = _observed(incoming, taken)
            self._observer = _Outgoing(stream_id, name, taken)

    def run(self, context: Any) -> AsyncIterator[Any]:
        """The policy's chunks: `generate_response_stream(context, incoming)`, watched."""
        return self.outgoing(self._policy.generate_response_stream(context, self.incoming))

    def outgoing(self, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The stream that the policy makes of `incoming`, watched."""
        if self._observer is None or not is_stream(stream):
            return stream
        return _observed(stream, self._observer)


class _Outgoing(Observer):
    def __init__(self, stream_id: str, name: str, taken: ChunkMarks) -> None:
        self._stream_id = stream_id
        self._name = name
        self._taken = taken
        self._given = ChunkMarks(stream_id, stages.POLICY_CHUNK_OUT, policy=name)
        self._totals = Totals()

    def begun(self) -> None:
        self._totals = Totals()
        marks.record(self._stream_id, stages.POLICY_START, None, {"policy": self._name}, policy=self._name)

    def passed(self, item: Any) -> None:
        self._given.passed(item)

    def ended(self, error: BaseException | None) -> None:
        counts = {"policy": self._name, "total_chunks": self._given.count, "chunks_in": self._taken.count}
        said = counts | self._totals.ending(error)
        marks.record(self._stream_id, stages.POLICY_END, None, said, policy=self._name)


def _observed(stream: AsyncIterator[Any], observer: Observer) -> AsyncIterator[Any]:
    return ObservedStream(stream, observer)


def _class_name(policy: Any) -> str:
    return policy.__name__ if isinstance(policy, type) else type(policy).__name__
