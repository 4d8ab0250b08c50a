"""A stream of chunks with an observer, as the host would have it without one.

Strategy: not a generator around a generator, which would change who closes whom and when, but an object in the stream's
place: each call goes to the stream and comes back from it, and the observer hears of it afterwards. Attributes,
`isinstance` and `aclose` are the stream's own. A stream that is dropped half-way is finalised as it would have been; that
is how the observer learns of it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from types import AsyncGeneratorType
from typing import Any

from . import marks
from .messages import failure


class Observer:
    """What is done when a stream moves; the methods of this one do nothing. They must not raise."""

    def begun(self) -> None:
        """The first item is asked for."""

    def passed(self, item: Any) -> None:
        """An item is about to be handed on."""

    def ended(self, error: BaseException | None) -> None:
        """No more items: the end (None), a failure, or GeneratorExit when the consumer wants no more."""


class ChunkMarks(Observer):
    """Marks each chunk at a stage, with its index."""

    def __init__(self, stream_id: str, *stages: str, policy: str = "") -> None:
        self.count = 0
        self._stream_id = stream_id
        self._stages = stages
        self._policy = policy

    def passed(self, item: Any) -> None:
        index, self.count = self.count, self.count + 1
        data = item if len(self._stages) == 1 else marks.Packed(item)
        for stage in self._stages:
            marks.record(self._stream_id, stage, index, data, policy=self._policy)


class ObservedStream:
    """An async iterable in whose place this stands.

    Args:
        stream: has `__aiter__`.
        closes: whether `aclose` closes the stream; False when whoever owns the stream closes it anyway.
    """

    __slots__ = ("__weakref__", "_begun", "_closes", "_ended", "_observer", "_stream")

    def __init__(self, stream: Any, observer: Observer, *, closes: bool = True) -> None:
        keep = object.__setattr__  # ours is the stream's
        keep(self, "_stream", stream)
        keep(self, "_observer", observer)
        keep(self, "_closes", closes)
        keep(self, "_begun", False)
        keep(self, "_ended", False)

    def __aiter__(self) -> Any:
        iterator = self._stream.__aiter__()
        return self if iterator is self._stream else ObservedStream(iterator, self._observer, closes=self._closes)

    def __anext__(self) -> Awaitable[Any]:
        return self._observed(self._stream.__anext__())

    async def _observed(self, step: Awaitable[Any]) -> Any:
        if not self._begun:
            object.__setattr__(self, "_begun", True)
            self._observer.begun()
        try:
            item = await step
        except StopAsyncIteration:
            self._end(None)
            raise
        except BaseException as error:
            # Who is cancelled may only have stopped waiting: a generator is finished by that, another iterator is not.
            if not cancelled(error) or isinstance(self._stream, AsyncGeneratorType):
                self._end(error)
            raise
        self._observer.passed(item)
        return item

    def _end(self, error: BaseException | None) -> None:
        if self._begun and not self._ended:
            object.__setattr__(self, "_ended", True)
            self._observer.ended(error)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._stream, name)  # AttributeError is the stream's own
        if name == "aclose":
            return self._closing(value)
        if name in ("asend", "athrow"):
            return lambda *args: self._observed(value(*args))
        return value

    def _closing(self, aclose: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        async def close() -> Any:
            try:
                return await aclose() if self._closes else None
            finally:
                self._end(GeneratorExit())

        return close

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._stream, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._stream, name)

    def __repr__(self) -> str:
        return repr(self._stream)

    @property  # type: ignore[misc]  # object's can be written
    def __class__(self) -> Any:
        return type(self._stream)

    def __del__(self) -> None:
        try:
            self._end(GeneratorExit())
        except Exception:
            pass  # the interpreter is going


def is_stream(value: object) -> bool:
    """Whether `async for` takes it."""
    return hasattr(type(value), "__aiter__")


class Totals:
    """How long something took and how it ended, as the data of its last mark."""

    def __init__(self) -> None:
        self.since = time.monotonic_ns()

    def ending(self, error: BaseException | None) -> dict[str, object]:
        """`duration_ns`, and `closed_early` or the failure. A cancelled host is a consumer that has gone."""
        said: dict[str, object] = {"duration_ns": time.monotonic_ns() - self.since}
        if isinstance(error, GeneratorExit):
            return said | {"closed_early": True}
        if cancelled(error):
            return said | {"closed_early": True, "cancelled": True}
        return said | (failure(error) if error is not None else {})


def cancelled(error: BaseException | None) -> bool:
    """Whether that is asyncio's or trio's cancellation, told by its name: importing asyncio takes longer than all of this."""
    return not isinstance(error, Exception) and type(error).__name__ in ("CancelledError", "Cancelled")


def failed(error: BaseException | None) -> bool:
    """Whether a stream ended in a failure, and not by its end or its consumer's wish."""
    return error is not None and not isinstance(error, GeneratorExit) and not cancelled(error)
