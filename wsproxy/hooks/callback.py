"""`instrument_callback`: the hooks of a LiteLLM callback, seen from inside (step 1).

Strategy: the decorated function stays what it was (async generator function, coroutine function, function), with its
signature, and its exceptions go through untouched. Around an async generator stands the whole protocol of one: what the
consumer sends, throws and closes reaches it. Its `response` argument is replaced by an observed one, so that each chunk
which the hook consumes is marked too. Of the request only a summary is kept, of other arguments only the type.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeVar, cast

from wsproxy import stages

from . import marks
from .messages import summary
from .streams import ChunkMarks, ObservedStream, Totals, failed, is_stream

F = TypeVar("F", bound=Callable[..., Any])

_REQUESTS = ("request_data", "data", "kwargs")


def instrument_callback(function: F) -> F:
    """Decorate a hook: an async generator function, a coroutine function or a plain one, method or not.

    Marks `callback.invoked` (argument types, a summary of the request), `callback.backend_chunk` for each chunk that
    the hook takes from its `response`, `callback.yielded` for each that it yields, and `callback.completed` (counts,
    duration, `closed_early` when the consumer wanted no more) or `callback.failed` (the exception).
    """
    import inspect  # 8 ms, and whoever has a callback has it already

    if isinstance(function, (staticmethod, classmethod)):
        return cast(F, type(function)(instrument_callback(function.__func__)))
    if inspect.isasyncgenfunction(function):
        return cast(F, _async_generator(function))
    if inspect.iscoroutinefunction(function):
        return cast(F, _coroutine(function))
    return cast(F, _plain(function)) if callable(function) else function


class _Call:
    """One invocation: what it was called with, and what there is to say at its end."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.function = getattr(function, "__qualname__", type(function).__name__)
        self.totals = Totals()
        bound = _signature(function).bind(*args, **kwargs)
        arguments = bound.arguments
        self.request = _request(arguments)
        self.stream_id = _stream_id(self.request, arguments)
        types = {name: type(value).__name__ for name, value in arguments.items()}
        invoked = {"function": self.function, "arguments": types, "request": summary(self.request)}
        marks.record(self.stream_id, stages.CALLBACK_INVOKED, None, invoked)
        self.backend = ChunkMarks(self.stream_id, stages.CALLBACK_BACKEND_CHUNK)
        self.yielded = ChunkMarks(self.stream_id, stages.CALLBACK_YIELDED)
        if is_stream(arguments.get("response")):
            arguments["response"] = ObservedStream(arguments["response"], self.backend)
        self.args, self.kwargs = bound.args, bound.kwargs

    @classmethod
    def of(cls, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call | None:
        """The call, or None when nothing is to be marked: no relay, or arguments that do not fit (its own TypeError)."""
        try:
            return cls(function, args, kwargs) if marks.enabled() else None
        except Exception:
            return None

    def ended(self, error: BaseException | None = None, **more: object) -> None:
        said = {"function": self.function, **self.totals.ending(error), **more}
        stage = stages.CALLBACK_FAILED if failed(error) else stages.CALLBACK_COMPLETED
        marks.record(self.stream_id, stage, None, said)

    def stream_ended(self, error: BaseException | None = None) -> None:
        self.ended(error, backend_chunks=self.backend.count, yielded=self.yielded.count)


def _async_generator(function: Callable[..., AsyncGenerator[Any, Any]]) -> Callable[..., AsyncGenerator[Any, Any]]:
    @functools.wraps(function)
    async def hook(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = _Call.of(function, args, kwargs)
        inner = function(*args, **kwargs) if call is None else function(*call.args, **call.kwargs)
        step = inner.__anext__()
        try:
            while True:
                try:
                    item = await step
                except StopAsyncIteration:
                    break
                if call is not None:
                    call.yielded.passed(item)
                try:
                    sent = yield item
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:
                    step = inner.athrow(error)
                else:
                    step = inner.asend(sent)
        except BaseException as error:
            if call is not None:
                call.stream_ended(error)
            raise
        if call is not None:
            call.stream_ended()

    return hook


def _coroutine(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def hook(*args: Any, **kwargs: Any) -> Any:
        call = _Call.of(function, args, kwargs)
        if call is None:
            return await function(*args, **kwargs)
        try:
            result = await function(*call.args, **call.kwargs)
        except BaseException as error:
            call.ended(error)
            raise
        call.ended(result=type(result).__name__)
        return result

    return hook


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def hook(*args: Any, **kwargs: Any) -> Any:
        call = _Call.of(function, args, kwargs)
        if call is None:
            return function(*args, **kwargs)
        try:
            result = function(*call.args, **call.kwargs)
        except BaseException as error:
            call.ended(error)
            raise
        call.ended(result=type(result).__name__)
        return result

    return hook


@functools.lru_cache(maxsize=256)
def _signature(function: Callable[..., Any]) -> Any:
    import inspect

    return inspect.signature(function)


def _request(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in _REQUESTS:
        if isinstance(arguments.get(name), Mapping):
            return cast(Mapping[str, Any], arguments[name])
    return {}


def _stream_id(request: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    """`litellm_call_id`; before routing it may be known to LiteLLM's logging object only. "" when there is none."""
    found = request.get("litellm_call_id") or arguments.get("stream_id")
    found = found or getattr(request.get("litellm_logging_obj"), "litellm_call_id", None)
    return found if isinstance(found, str) else ""
