"""The four loggers: the table of PIPELINE.md, and the lines that scripts grep, word for word."""

from __future__ import annotations

import inspect
import logging
from collections import UserDict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsproxy import hooks
from wsproxy.hooks import (
    CallbackChunkLogger,
    PolicyStreamLogger,
    StreamingEndpointLogger,
    WebSocketMessageLogger,
    get_callback_chunk_logger,
    get_endpoint_logger,
    get_policy_logger,
    get_websocket_logger,
    mark,
)

from .collector import Collector

SECRET = "sk-planted-secret"
REQUEST = {
    "litellm_call_id": "call-1",
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "private"}] * 3,
    "stream": True,
    "secret_fields": {"raw_headers": {"authorization": SECRET}},
    "deployment": {"litellm_params": {"api_key": SECRET}},
}
SUMMARY = {"litellm_call_id": "call-1", "model": "gpt-4o", "messages": 3, "stream": True}


def chunk(content: str | None = "Hello", **choice: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": content}, **choice}]}


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of marks; what the sender says of a relay that another test has stopped is not."""
    said = [record.getMessage() for record in caplog.records if record.name == "wsproxy.hooks"]
    return [line for line in said if not line.startswith("stage markers do not reach")]


@pytest.fixture
def heard(relay: Collector, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "wsproxy.hooks")
    return caplog


TABLE: dict[type[Any], dict[str, str]] = {
    WebSocketMessageLogger: {
        "log_outgoing": "stream_id message",
        "log_incoming": "stream_id message",
        "log_json_error": "stream_id raw_data error",
    },
    StreamingEndpointLogger: {
        "log_start_message": "stream_id request_data",
        "log_incoming_chunk": "stream_id chunk index",
        "log_policy_invocation": "stream_id policy_class request_data",
        "log_outgoing_chunk": "stream_id chunk index",
        "log_end_message": "stream_id",
        "log_error": "stream_id error",
    },
    PolicyStreamLogger: {
        "log_stream_start": "stream_id policy_class",
        "log_chunk_in": "stream_id policy_class chunk index",
        "log_chunk_out": "stream_id policy_class chunk index",
        "log_stream_end": "stream_id policy_class total_chunks",
    },
    CallbackChunkLogger: {
        "log_control_chunk_received": "stream_id message index",
        "log_chunk_normalized": "stream_id chunk success error",
        "log_chunk_to_client": "stream_id chunk index",
    },
}


@pytest.mark.parametrize("logger", TABLE)
def test_the_names_and_signatures_are_those_of_the_table(logger: type[Any]) -> None:
    methods = {name: value for name, value in vars(logger).items() if name.startswith("log_")}
    signatures = {name: " ".join(list(inspect.signature(value).parameters)[1:]) for name, value in methods.items()}
    assert signatures == TABLE[logger]
    assert inspect.signature(CallbackChunkLogger.log_chunk_normalized).parameters["error"].default is None


def test_the_accessors_give_one_for_the_process() -> None:
    assert get_websocket_logger() is get_websocket_logger() and type(get_websocket_logger()) is WebSocketMessageLogger
    assert type(get_endpoint_logger()) is StreamingEndpointLogger
    assert type(get_policy_logger()) is PolicyStreamLogger
    assert type(get_callback_chunk_logger()) is CallbackChunkLogger
    assert set(hooks.__all__) <= set(dir(hooks))


def test_the_words_of_the_websocket_logger(heard: pytest.LogCaptureFixture) -> None:
    log = WebSocketMessageLogger()
    log.log_outgoing("id", {"type": "START", "data": REQUEST})
    log.log_outgoing("id", {"type": "CHUNK", "data": chunk()})
    log.log_incoming("id", {"type": "END"})
    log.log_incoming("id", {})
    log.log_json_error("id", "no { json\n", ValueError("Expecting value"))
    assert lines(heard) == [
        "WebSocket OUT [id]: type=START, keys=['type', 'data']",
        "WebSocket OUT [id]: type=CHUNK, keys=['type', 'data']",
        "WebSocket IN [id]: type=END, keys=['type']",
        "WebSocket IN [id]: type=UNKNOWN, keys=[]",
        r"WebSocket JSON ERROR [id]: ValueError: Expecting value, raw='no { json\n'",
    ]


def test_the_words_of_the_endpoint_logger(heard: pytest.LogCaptureFixture) -> None:
    log = get_endpoint_logger()
    log.log_start_message("id", REQUEST)
    log.log_incoming_chunk("id", chunk("x" * 60), 3)
    log.log_policy_invocation("id", "NoOpPolicy", REQUEST)
    log.log_outgoing_chunk("id", chunk(None), 4)
    log.log_end_message("id")
    log.log_error("id", "it broke")
    assert lines(heard) == [
        "ENDPOINT START [id]: call_id=call-1, model=gpt-4o, stream=True",
        f"ENDPOINT CHUNK IN [id] #3: content='{'x' * 50}...'",
        "ENDPOINT POLICY [id]: invoking NoOpPolicy",
        "ENDPOINT CHUNK OUT [id] #4: content=''",
        "ENDPOINT END [id]: stream complete",
        "ENDPOINT ERROR [id]: it broke",
    ]
    assert heard.records[-1].levelno == logging.ERROR


def test_the_words_of_the_policy_logger(heard: pytest.LogCaptureFixture) -> None:
    log = get_policy_logger()
    log.log_stream_start("id", "NoOpPolicy")
    log.log_chunk_in("id", "NoOpPolicy", chunk(), 0)
    log.log_chunk_out("id", "NoOpPolicy", chunk(), 3)
    log.log_stream_end("id", "NoOpPolicy", 4)
    assert lines(heard) == [
        "POLICY STREAM START [id] NoOpPolicy",
        "POLICY CHUNK IN [id] NoOpPolicy #0: content='Hello'",
        "POLICY CHUNK OUT [id] NoOpPolicy #3: content='Hello'",
        "POLICY STREAM END [id] NoOpPolicy: processed 4 chunks",
    ]


def test_the_words_of_the_callback_chunk_logger(heard: pytest.LogCaptureFixture) -> None:
    log = CallbackChunkLogger()
    log.log_control_chunk_received("id", {"type": "CHUNK", "data": chunk()}, 0)
    log.log_chunk_normalized("id", chunk(), True)
    log.log_chunk_normalized("id", {"no": "choices"}, False, "choices: Field required")
    log.log_chunk_to_client("id", chunk(), 3)
    assert lines(heard) == [
        "CALLBACK CONTROL IN [id] #0: type=CHUNK",
        "CALLBACK NORMALIZED [id]: success=True, model=m",
        "CALLBACK NORMALIZED [id]: success=False, error='choices: Field required'",
        "CALLBACK TO CLIENT [id] #3: content='Hello'",
    ]


def test_a_chunk_without_text_is_previewed_by_what_it_has(heard: pytest.LogCaptureFixture) -> None:
    call = {"index": 0, "function": {"name": "f", "arguments": '{"sql": "DROP'}}
    log = get_endpoint_logger()
    log.log_incoming_chunk("id", {"choices": [{"delta": {"tool_calls": [call]}}]}, 0)
    log.log_incoming_chunk("id", chunk(None, finish_reason="stop"), 1)
    mark("id", "my.stage", 2, {"a": 1})
    mark("id", "my.stage")
    assert lines(heard) == [
        """ENDPOINT CHUNK IN [id] #0: tool_call='{"sql": "DROP'""",
        "ENDPOINT CHUNK IN [id] #1: content='', finish_reason='stop'",
        """MARK my.stage [id] #2: "{'a': 1}\"""",
        "MARK my.stage [id]",
    ]


def test_no_content_starts_a_line_of_its_own(heard: pytest.LogCaptureFixture) -> None:
    get_endpoint_logger().log_incoming_chunk("id\nENDPOINT END [x]", chunk("a\nb\x1b[2J"), 0)
    get_endpoint_logger().log_error("id", "one\ntwo")
    get_policy_logger().log_stream_start("id", "P\nQ")
    assert not any("\n" in line or "\x1b" in line for line in lines(heard))


def test_without_a_stream_id_there_is_a_line_and_no_marker(heard: pytest.LogCaptureFixture, relay: Collector) -> None:
    get_endpoint_logger().log_incoming_chunk(None, chunk(), 0)  # type: ignore[arg-type]
    get_endpoint_logger().log_end_message("id")
    relay.wait_for(1, "id")
    assert lines(heard)[0] == "ENDPOINT CHUNK IN [no id] #0: content='Hello'"
    assert len(relay.markers) == 1


def test_the_marks_carry_the_chunk_and_never_a_credential(relay: Collector) -> None:
    sockets, endpoint, policy, client = (
        WebSocketMessageLogger(),
        get_endpoint_logger(),
        get_policy_logger(),
        CallbackChunkLogger(),
    )
    sockets.log_outgoing("s", {"type": "START", "data": REQUEST})
    sockets.log_outgoing("s", {"type": "CHUNK", "data": chunk()})
    sockets.log_outgoing("s", {"type": "CHUNK", "data": chunk()})
    endpoint.log_start_message("s", REQUEST)
    endpoint.log_policy_invocation("s", "P", REQUEST)
    policy.log_chunk_out("s", "P", chunk(), 7)
    policy.log_stream_end("s", "P", 8)
    client.log_chunk_normalized("s", chunk(), True)
    client.log_chunk_normalized("s", {"bad": 1}, False, ValueError("why"))
    marks = relay.wait_for(9, "s")
    assert [(m["stage"], m.get("index")) for m in marks] == [
        ("ws.sent", None),
        ("ws.sent", 0),
        ("ws.sent", 1),
        ("endpoint.start", None),
        ("endpoint.policy", None),
        ("policy.chunk_out", 7),
        ("policy.end", None),
        ("client.normalized", 0),
        ("client.rejected", 0),
    ]
    data = [marker["data"] for marker in marks]
    assert data[0] == {"type": "START", "keys": ["type", "data"], "summary": SUMMARY}
    assert data[1] == {"type": "CHUNK", "data": chunk()}
    assert data[3] == SUMMARY
    assert data[4] == {"policy": "P", "request": SUMMARY}
    assert data[5] == data[7] == chunk()
    assert data[6] == {"policy": "P", "total_chunks": 8}
    assert data[8] == {"error_type": "ValueError", "error": "why", "chunk": {"bad": 1}}
    assert SECRET not in repr(relay.markers)


class Hostile(UserDict[str, Any]):
    def get(self, *args: Any) -> Any:
        raise RuntimeError("get")

    def __repr__(self) -> str:
        raise RuntimeError("repr")


beasts: dict[str, object] = {"hostile": Hostile(), "object": object(), "type": int, "bytes": b"\xff", "choices": None}
anything = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=20),
    st.sampled_from(sorted(beasts)).map(lambda name: beasts[name]),
    st.dictionaries(
        st.sampled_from(["type", "data", "choices", "delta", "content", "messages", "model"]),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(["delta", "content", "tool_calls", "function", "arguments", "finish_reason"]),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=6,
        ),
        max_size=4,
    ),
)
methods = [(logger, name) for logger, names in TABLE.items() for name in names]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.sampled_from(methods), st.lists(anything, min_size=5, max_size=5))
def test_no_argument_makes_a_logger_raise(
    heard: pytest.LogCaptureFixture, method: tuple[type[Any], str], arguments: list[object]
) -> None:
    logger, name = method
    takes = len(TABLE[logger][name].split())
    getattr(logger(), name)(*arguments[:takes])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(anything, anything, anything, anything)
def test_no_argument_makes_a_mark_raise(
    heard: pytest.LogCaptureFixture, stream_id: Any, stage: Any, index: Any, data: Any
) -> None:
    mark(stream_id, stage, index, data)


def test_a_handler_that_raises_is_not_the_callers_trouble(relay: Collector) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("disk full")

    log, handler = logging.getLogger("wsproxy.hooks"), Broken()
    log.addHandler(handler)
    try:
        get_endpoint_logger().log_error("s", "x")
    finally:
        log.removeHandler(handler)
    relay.wait_for(1, "s")


def test_disabled_loggers_say_nothing(disabled: None, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    get_endpoint_logger().log_error("s", "x")
    get_websocket_logger().log_outgoing("s", {"type": "START", "data": REQUEST})
    assert not caplog.records
