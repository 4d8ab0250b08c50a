"""The decorator: what is decorated behaves as before, to the last protocol detail, and is seen."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from wsproxy.hooks import instrument_callback

from .collector import Collector

REQUEST = {
    "litellm_call_id": "s",
    "model": "gpt",
    "messages": [1, 2],
    "stream": True,
    "api_key": "sk-planted-secret",
}


async def backend(count: int, fails: bool = False) -> AsyncIterator[dict[str, int]]:
    for n in range(count):
        yield {"n": n}
    if fails:
        raise ConnectionError("backend gone")


class Callback:
    closed = False
    thrown: BaseException | None = None

    @instrument_callback
    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncGenerator[dict[str, int], Any]:
        """The pipeline's own words."""
        try:
            async for chunk in response:
                yield {"n": chunk["n"] * 10}
        finally:
            self.closed = True

    @instrument_callback
    async def echo(self, request_data: dict[str, Any]) -> AsyncGenerator[Any, Any]:
        got: Any = "first"
        while got != "stop":
            try:
                got = yield got
            except ValueError as error:
                self.thrown = error
                got = "caught"

    @instrument_callback
    async def async_pre_call_hook(self, data: dict[str, Any], fails: bool = False) -> dict[str, Any] | None:
        if fails:
            raise PermissionError("no")
        return data

    @instrument_callback
    def plain(self, data: dict[str, Any], *, answer: int) -> int:
        return answer

    @staticmethod
    @instrument_callback
    def static(data: dict[str, Any]) -> None:
        return None

    @instrument_callback
    @classmethod
    def of_class(cls, data: dict[str, Any]) -> type:
        return cls


def stages(collector: Collector) -> list[str]:
    return [marker["stage"] for marker in collector.of("s")]


Hook = Callback.async_post_call_streaming_iterator_hook


def test_what_is_decorated_stays_what_it_is() -> None:
    assert inspect.isasyncgenfunction(Hook)
    assert inspect.iscoroutinefunction(Callback.async_pre_call_hook)
    assert not inspect.iscoroutinefunction(Callback.plain)
    assert list(inspect.signature(Hook).parameters) == ["self", "user_api_key_dict", "response", "request_data"]
    assert Hook.__doc__ == "The pipeline's own words."
    assert Hook.__name__ == "async_post_call_streaming_iterator_hook"
    assert instrument_callback(3) == 3  # type: ignore[type-var]
    assert Callback.of_class(REQUEST) is Callback and Callback.static(REQUEST) is None


async def test_a_stream_is_seen_from_end_to_end(relay: Collector) -> None:
    stream = Callback().async_post_call_streaming_iterator_hook({"key": "sk-planted-secret"}, backend(3), REQUEST)
    assert [chunk["n"] async for chunk in stream] == [0, 10, 20]
    marks = relay.wait_for(8, "s")
    assert stages(relay) == [
        "callback.invoked",
        *("callback.backend_chunk", "callback.yielded") * 3,
        "callback.completed",
    ]
    assert [(m["index"], m["data"]["n"]) for m in marks[1:7]] == [(0, 0), (0, 0), (1, 1), (1, 10), (2, 2), (2, 20)]
    invoked, completed = marks[0]["data"], marks[7]["data"]
    assert invoked["function"].endswith("Callback.async_post_call_streaming_iterator_hook")
    assert invoked["arguments"] == {
        "self": "Callback",
        "user_api_key_dict": "dict",
        "response": "async_generator",
        "request_data": "dict",
    }
    assert invoked["request"] == {"litellm_call_id": "s", "model": "gpt", "messages": 2, "stream": True}
    assert (completed["backend_chunks"], completed["yielded"]) == (3, 3) and completed["duration_ns"] > 0
    assert "closed_early" not in completed
    assert "sk-planted" not in repr(relay.markers)


async def test_a_failure_goes_through_and_is_told(relay: Collector) -> None:
    stream = Callback().async_post_call_streaming_iterator_hook(None, backend(1, fails=True), request_data=REQUEST)
    with pytest.raises(ConnectionError, match="backend gone"):
        [chunk async for chunk in stream]
    failed = relay.wait_for(1, "s", "callback.failed")[0]["data"]
    assert (failed["error_type"], failed["error"], failed["yielded"]) == ("ConnectionError", "backend gone", 1)
    assert "callback.completed" not in stages(relay)


async def test_a_consumer_that_closes_early_is_told_apart(relay: Collector) -> None:
    callback = Callback()
    stream = callback.async_post_call_streaming_iterator_hook(None, backend(3), REQUEST)
    assert await anext(stream) == {"n": 0}
    await stream.aclose()
    assert callback.closed
    completed = relay.wait_for(1, "s", "callback.completed")[0]["data"]
    assert completed["closed_early"] is True and completed["yielded"] == 1
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_host_that_is_cancelled_is_told_apart(relay: Collector) -> None:
    async def silent() -> AsyncIterator[dict[str, int]]:
        yield {"n": 1}
        await asyncio.Event().wait()

    async def consume() -> None:
        async for _ in Callback().async_post_call_streaming_iterator_hook(None, silent(), REQUEST):
            pass

    task = asyncio.create_task(consume())
    await asyncio.to_thread(relay.wait_for, 1, "s", "callback.yielded")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    completed = relay.wait_for(1, "s", "callback.completed")[0]["data"]
    assert completed["closed_early"] is True and completed["cancelled"] is True


async def test_what_is_sent_and_thrown_reaches_the_hook(relay: Collector) -> None:
    callback = Callback()
    stream = callback.echo(REQUEST)
    assert await anext(stream) == "first"
    assert await stream.asend("second") == "second"
    error = ValueError("x")
    assert await stream.athrow(error) == "caught"
    assert callback.thrown is error
    with pytest.raises(KeyError):
        await stream.athrow(KeyError("out"))
    assert relay.wait_for(1, "s", "callback.failed")[0]["data"]["error_type"] == "KeyError"


async def test_a_hook_that_ends_at_a_value_sent_ends(relay: Collector) -> None:
    stream = Callback().echo(REQUEST)
    await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await stream.asend("stop")


async def test_a_hook_that_will_not_close_fails_as_it_would_have(relay: Collector) -> None:
    @instrument_callback
    async def stubborn(request_data: dict[str, Any]) -> AsyncGenerator[int, None]:
        try:
            yield 1
        except GeneratorExit:
            yield 2

    stream = stubborn(REQUEST)
    await anext(stream)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        await stream.aclose()


async def test_a_coroutine_hook_is_seen(relay: Collector) -> None:
    assert await Callback().async_pre_call_hook(REQUEST) is REQUEST
    with pytest.raises(PermissionError):
        await Callback().async_pre_call_hook(REQUEST, fails=True)
    marks = relay.wait_for(4, "s")
    assert stages(relay) == ["callback.invoked", "callback.completed", "callback.invoked", "callback.failed"]
    assert marks[1]["data"]["result"] == "dict"


def test_a_plain_hook_is_seen(relay: Collector) -> None:
    assert Callback().plain(REQUEST, answer=42) == 42
    assert relay.wait_for(2, "s")[1]["data"]["result"] == "int"


async def test_arguments_that_do_not_fit_raise_what_they_would_have(relay: Collector) -> None:
    with pytest.raises(TypeError, match="answer"):
        Callback().plain(REQUEST)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing"):
        await anext(Callback().echo())  # type: ignore[call-arg]


async def test_the_response_is_still_what_the_hook_takes_it_for(relay: Collector) -> None:
    class Wrapper:
        model = "gpt"
        noted = False

        def __init__(self) -> None:
            self.chunks = iter(({"n": 1}, {"n": 2}))

        def __aiter__(self) -> Wrapper:
            return self

        async def __anext__(self) -> dict[str, int]:
            for chunk in self.chunks:
                return chunk
            raise StopAsyncIteration

    @instrument_callback
    async def hook(response: Any, request_data: dict[str, Any]) -> AsyncGenerator[Any, None]:
        assert isinstance(response, Wrapper)
        assert response.model == "gpt" and not hasattr(response, "aclose")
        response.noted = True
        async for chunk in response:
            yield chunk

    wrapper = Wrapper()
    assert [chunk["n"] async for chunk in hook(wrapper, REQUEST)] == [1, 2]
    assert wrapper.noted
    assert len(relay.wait_for(2, "s", "callback.backend_chunk")) == 2


async def test_a_chunk_that_the_hook_changes_is_recorded_as_it_came(relay: Collector) -> None:
    @instrument_callback
    async def hook(response: Any, request_data: dict[str, Any]) -> AsyncGenerator[Any, None]:
        async for chunk in response:
            chunk["n"] = "changed"
            yield chunk

    async for chunk in hook(backend(1), REQUEST):
        chunk["n"] = "by the client"
    assert relay.wait_for(1, "s", "callback.backend_chunk")[0]["data"] == {"n": 0}
    assert relay.wait_for(1, "s", "callback.yielded")[0]["data"] == {"n": "changed"}


async def test_the_id_may_be_with_the_logging_object_only(relay: Collector) -> None:
    class Logging:
        litellm_call_id = "s"

    await Callback().async_pre_call_hook({"litellm_logging_obj": Logging(), "model": "m"})
    relay.wait_for(2, "s")


async def test_disabled_it_is_only_in_between(disabled: None) -> None:
    callback = Callback()
    response = backend(2)
    assert [c["n"] async for c in callback.async_post_call_streaming_iterator_hook(None, response, REQUEST)] == [0, 10]
    assert await callback.async_pre_call_hook(REQUEST) is REQUEST
    assert callback.plain(REQUEST, answer=1) == 1
