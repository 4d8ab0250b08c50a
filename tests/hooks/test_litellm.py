"""The two entries for LiteLLM's YAML, in LiteLLM's own chain of hooks.

Strategy: LiteLLM is imported by a child process (it takes seconds and a lot of memory), which builds the chain as the
proxy does and prints what happened. `WSPROXY_TEST_PYTHON` names another Python to run it with: one that has LiteLLM 1.77.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.strict import LENIENT

from .collector import Collector

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("WSPROXY_TEST_PYTHON") or sys.executable

pytestmark = pytest.mark.skipif(
    sys.executable == PYTHON and find_spec("litellm") is None, reason="needs litellm[proxy]: pip install -e '.[test]'"
)

PROGRAM = """
import asyncio, json, sys
import litellm
from litellm.caching.caching import DualCache
from litellm.integrations.custom_logger import CustomLogger
from litellm.proxy._types import UserAPIKeyAuth
from litellm.proxy.types_utils.utils import get_instance_fn
from litellm.proxy.utils import ProxyLogging
from litellm.types.utils import ModelResponseStream

config = sys.argv[1]

class Pipeline(CustomLogger):
    closed = 0
    async def async_post_call_streaming_iterator_hook(self, user_api_key_dict, response, request_data):
        try:
            async for chunk in response:
                content = chunk.choices[0].delta.content
                if content == "fail":
                    raise ValueError("the callback broke")
                chunk.choices[0].delta.content = content.upper()
                yield chunk
        finally:
            self.closed += 1

def chunk(text):
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    fields = {"id": "c", "created": 1, "model": "m", "object": "chat.completion.chunk"}
    return ModelResponseStream.model_validate({**fields, "choices": [choice]})

async def backend(*texts):
    for text in texts:
        yield chunk(text)

def load(name):
    try:
        return get_instance_fn(name, config)
    except ImportError as error:
        return str(error)

async def main():
    told = {"installed": str(type(load("wsproxy.hooks.litellm.before")))}
    before, after = load("wsproxy_hooks.before"), load("wsproxy_hooks.after")
    pipeline = Pipeline()
    litellm.callbacks = [before, pipeline, after]
    logging = ProxyLogging(user_api_key_cache=DualCache())
    def stream(stream_id, *texts):
        return logging.async_post_call_streaming_iterator_hook(
            response=backend(*texts), user_api_key_dict=UserAPIKeyAuth(),
            request_data={"litellm_call_id": stream_id, "model": "m", "messages": [1], "stream": True})
    whole = [c async for c in stream("whole", "a", "b")]
    told["whole"] = [c.choices[0].delta.content for c in whole]
    told["types"] = sorted({type(c).__name__ for c in whole})
    try:
        [c async for c in stream("fails", "a", "fail")]
    except ValueError as error:
        told["error"] = str(error)
    left = stream("left", "a", "b")
    await left.__anext__()
    await left.aclose()
    told["no_id"] = [c.choices[0].delta.content async for c in stream(None, "a")]
    told["closed"] = pipeline.closed
    data = {"model": "m", "messages": []}
    for entry in (before, after):
        assert await entry.async_pre_call_hook(UserAPIKeyAuth(), DualCache(), data, "completion") is None
        assert await entry.async_post_call_success_hook(data, UserAPIKeyAuth(), None) is None
        assert await entry.async_post_call_failure_hook(data, ValueError(), UserAPIKeyAuth()) is None
    assert data == {"model": "m", "messages": []}
    print(json.dumps(told))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    (folder / "config.yaml").write_text("")
    (folder / "wsproxy_hooks.py").write_text("from wsproxy.hooks.litellm import after, before\n")
    return folder


def run(folder: Path, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [PYTHON, "-c", PROGRAM, str(folder / "config.yaml")],
        env={**os.environ, **LENIENT, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": _path(), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _path() -> str:
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def contents(markers: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(marker["index"], marker["data"]["choices"][0]["delta"]["content"]) for marker in markers]


def test_steps_1_and_6_are_seen_without_touching_any_code(collector: Collector, folder: Path) -> None:
    told = run(folder, WSPROXY_MARKERS=collector.url)
    assert told["whole"] == ["A", "B"] and told["types"] == ["ModelResponseStream"]
    assert told["error"] == "the callback broke"
    assert told["no_id"] == ["A"]

    assert contents(collector.of("whole", "callback.backend_chunk")) == [(0, "a"), (1, "b")]
    assert contents(collector.of("whole", "client.to_client")) == [(0, "A"), (1, "B")]
    assert [marker["stage"] for marker in collector.of("whole")] == [
        "callback.invoked",
        *("callback.backend_chunk", "client.to_client", "callback.yielded") * 2,
        "callback.completed",
    ]
    assert collector.of("whole")[0]["data"]["request"] == {
        "litellm_call_id": "whole",
        "model": "m",
        "messages": 1,
        "stream": True,
    }
    failed = collector.of("fails", "callback.failed")[0]["data"]
    assert (failed["error_type"], failed["error"], failed["yielded"]) == ("ValueError", "the callback broke", 1)
    left = collector.of("left", "callback.completed")[0]["data"]
    assert left["closed_early"] is True and left["yielded"] == 1
    assert {marker["stream_id"] for marker in collector.markers} == {"whole", "fails", "left"}


def test_without_a_relay_the_chain_is_what_it_was(folder: Path) -> None:
    told = run(folder, WSPROXY_MARKERS="")
    assert told["whole"] == ["A", "B"] and told["error"] == "the callback broke" and told["no_id"] == ["A"]


def test_the_module_can_be_imported_without_litellm() -> None:
    program = """
import sys
sys.modules["litellm"] = None
import wsproxy.hooks.litellm as entries
print(type(entries.before).__mro__[1].__name__)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "object\n", done.stderr
