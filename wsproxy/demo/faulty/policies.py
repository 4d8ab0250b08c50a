"""What goes wrong in a policy: each of these stands around the sound one and spoils what it puts out.

Strategy: each takes the policy and is one. Between the sound policy's output and the endpoint there is a single async
generator, and a fault is what that generator does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from wsproxy.demo.outcome import Chunk, finishes
from wsproxy.demo.policies import Policy, PolicyContext, RaisingPolicy


class _Spoilt:
    """A policy around another one."""

    def __init__(self, policy: Policy) -> None:
        self.name = policy.name
        self._policy = policy

    def generate_response_stream(
        self, context: PolicyContext, incoming_stream: AsyncIterator[Chunk]
    ) -> AsyncIterator[Chunk]:
        sound = self._policy.generate_response_stream(context, incoming_stream)
        return self._spoil(context, sound)

    def _spoil(self, context: PolicyContext, sound: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        raise NotImplementedError


class HangingPolicy(_Spoilt):
    """Gives its first chunk, takes the second, and is never heard of again."""

    async def _spoil(self, context: PolicyContext, sound: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        async for number, chunk in _numbered(sound):
            if number == 1:
                await asyncio.Event().wait()
            yield chunk


class SwallowingPolicy(_Spoilt):
    """Takes everything up to the finish, then ends as if that had been all."""

    async def _spoil(self, context: PolicyContext, sound: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        async for chunk in sound:
            if finishes(chunk):
                break
        context.decide("passed")
        return
        yield  # what makes it a generator


class BufferingPolicy(_Spoilt):
    """Holds everything until the finish, then lets it all go."""

    async def _spoil(self, context: PolicyContext, sound: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        held: list[Chunk] = []
        async for chunk in sound:
            held.append(chunk)
            if finishes(chunk):
                for one in held:
                    yield one
                held.clear()
        for one in held:
            yield one


class ReorderingPolicy(_Spoilt):
    """Gives the third chunk before the second."""

    async def _spoil(self, context: PolicyContext, sound: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        held: list[Chunk] = []
        async for number, chunk in _numbered(sound):
            if number == 1:
                held.append(chunk)
                continue
            yield chunk
            while held:
                yield held.pop()
        for one in held:
            yield one


class DuplicatingPolicy(_Spoilt):
    """Gives the second chunk twice."""

    async def _spoil(self, context: PolicyContext, sound: AsyncIterator[Chunk]) -> AsyncIterator[Chunk]:
        async for number, chunk in _numbered(sound):
            yield chunk
            if number == 1:
                yield chunk


def _not_loaded(policy: Policy) -> Policy:
    raise LookupError(f"no policy {policy.name!r} is loaded")


async def _numbered(chunks: AsyncIterator[Chunk]) -> AsyncIterator[tuple[int, Chunk]]:
    number = 0
    async for chunk in chunks:
        yield number, chunk
        number += 1


POLICIES: Final[dict[str, Callable[[Policy], Policy]]] = {
    "policy-not-loaded": _not_loaded,
    "policy-raises": lambda policy: RaisingPolicy(),
    "policy-hangs": HangingPolicy,
    "policy-swallows": SwallowingPolicy,
    "policy-buffers": BufferingPolicy,
    "reorder": ReorderingPolicy,
    "duplicate": DuplicatingPolicy,
}
