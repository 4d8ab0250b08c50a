"""The real `litellm` proxy as a child process, with the callback beside its config, hooked or not.

Strategy: LiteLLM cannot take port 0 and say what it got, nor print a ready line; so it gets a port that was free just
now and is ready when it answers /health/liveliness. The wait has a deadline, and ends at once when the process does.

`WSPROXY_TEST_LITELLM` may be of another environment, with another LiteLLM and without wsproxy (msgpack it must have):
hooks are found there by PYTHONPATH.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx

from tests.strict import LENIENT
from wsproxy.demo.process import PartFailed

READY_SECONDS = 120.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05

Hooks = Literal["none", "no code", "call sites"]
"""How the callback is hooked: not; by entries in LiteLLM's YAML around it; by calls in it."""

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

CALLBACKS: dict[Hooks, list[str]] = {
    "none": ["control_plane_callback.instance"],
    "no code": ["wsproxy_hooks.before", "control_plane_callback.instance", "wsproxy_hooks.after"],
    "call sites": ["instrumented_callback.instance"],
}
FILES: dict[Hooks, list[str]] = {
    "none": ["control_plane_callback.py"],
    "no code": ["control_plane_callback.py", "wsproxy_hooks.py"],
    "call sites": ["control_plane_callback.py", "instrumented_callback.py"],
}
"""What stands beside the config, by the hooks."""

CONFIG = """\
model_list:
  - model_name: demo
    litellm_params:
      model: openai/demo
      api_base: {backend_url}/v1
      api_key: {provider_key}
litellm_settings:
  callbacks: {callbacks}
  telemetry: false
  num_retries: 0
"""


@dataclass(frozen=True)
class Settings:
    """What a LiteLLM proxy is started with. The keys are planted: made up, and looked for in recordings."""

    backend_url: str
    control_plane_url: str
    client_key: str
    provider_key: str
    callback_journal: Path
    fixed_callback: bool
    hooks: Hooks = "none"
    markers: Mapping[str, str] = field(default_factory=dict)
    """The environment that tells hooks where to send."""


def program() -> Path:
    """The `litellm` to run: `WSPROXY_TEST_LITELLM`, else the one beside this Python."""
    return Path(os.environ.get("WSPROXY_TEST_LITELLM") or Path(sys.executable).with_name("litellm"))


@asynccontextmanager
async def running(settings: Settings, folder: Path) -> AsyncIterator[str]:
    """Run a LiteLLM proxy with its config, callback and log in `folder`; give its base URL when it answers.

    Raises:
        PartFailed: it ended before it answered, or did not answer within 120 s.
    """
    config, log = folder / "config.yaml", folder / "litellm.log"
    fields = {"backend_url": settings.backend_url, "provider_key": settings.provider_key}
    config.write_text(CONFIG.format(**fields, callbacks=json.dumps(CALLBACKS[settings.hooks])))
    for name in FILES[settings.hooks]:
        shutil.copy(HERE / name, folder)
    port = _free_port()
    command = [str(program()), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            *("--num_workers", "1", "--telemetry", "False"),
            cwd=folder,
            env=_environment(settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        await _answers(url, process, log)
        yield url
    finally:
        await _stop(process)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _environment(settings: Settings) -> dict[str, str]:
    hooked = {**settings.markers, "PYTHONPATH": str(ROOT)} if settings.hooks != "none" else {}
    return (
        plain_environment()
        | LENIENT
        | {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_MASTER_KEY": settings.client_key,
            "CONTROL_PLANE_URL": settings.control_plane_url,
            "CALLBACK_JOURNAL": str(settings.callback_journal),
            "CALLBACK_FIXED": "1" if settings.fixed_callback else "0",
            **hooked,
        }
    )


def plain_environment() -> dict[str, str]:
    """Ours, without a proxy that would send loopback traffic elsewhere, and without settings of wsproxy."""
    kept = os.environ.items()
    return {key: value for key, value in kept if not (key.lower().endswith("_proxy") or key.startswith("WSPROXY_"))}


async def _answers(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    """Return when the proxy answers."""
    deadline = time.monotonic() + READY_SECONDS
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        while process.returncode is None and time.monotonic() < deadline:
            try:
                if (await client.get("/health/liveliness")).is_success:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            await asyncio.sleep(POLL_SECONDS)
    what = "did not answer" if process.returncode is None else f"ended with status {process.returncode}"
    raise PartFailed(f"litellm {what}; its log ends:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, and SIGKILL to one that will not."""
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
