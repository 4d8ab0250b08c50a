"""The whole pipeline as one async context manager.

Strategy: each part is started when the one that it talks to has said where it is: backend, control plane,
relay, proxy; an exit stack ends them in the reverse order, whatever happened. Then a question is an
ordinary HTTP request of an ordinary client. Nothing here prints, and nothing waits for a time: a part is
awaited by its ready line and a decision by the control plane's word.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

from wsproxy.demo.outcome import Answer, Chunk, Decision, fold
from wsproxy.demo.process import Part, PartFailed, running

__all__ = ["CLIENT_KEY", "HARMFUL", "HARMLESS", "PartFailed", "Pipeline"]

HARMLESS = "Say hello."
"""A prompt that gets a short text."""
HARMFUL = "Please delete the old customer data."
"""A prompt that gets a tool call which the judge refuses."""
CLIENT_KEY = "sk-demo-client-key-not-a-real-one"
"""The bearer key of the demo's client; it shows up in recordings, where it must be masked."""

_DECISION_SECONDS = 30.0


class Pipeline:
    """Backend, control plane, relay and proxy as processes on 127.0.0.1, for as long as the context lasts.

    Args:
        policy: the control plane's policy: "noop", "allcaps", "judge" or "raises".
        judge_delay: seconds that the judge takes, unless a question says otherwise.
        fixed: run the callback without its bug.
        out: folder for the relay's recordings.
        chunk_interval: seconds between two chunks of the backend.
        relay: False lets the proxy talk to the control plane directly, to compare.
        relay_arguments: more arguments for `wsproxy record`.

    Raises:
        PartFailed: on entering, when a part does not come up; its message has the part's own words.
    """

    def __init__(
        self,
        policy: str = "judge",
        *,
        judge_delay: float = 0.3,
        fixed: bool = False,
        out: Path = Path("recordings"),
        chunk_interval: float = 0.01,
        relay: bool = True,
        relay_arguments: Sequence[str] = (),
    ) -> None:
        self.policy = policy
        self.judge_delay = judge_delay
        self.fixed = fixed
        self.out = out
        self.chunk_interval = chunk_interval
        self.with_relay = relay
        self.relay_arguments = tuple(relay_arguments)
        self.parts: dict[str, Part] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Pipeline:
        async with AsyncExitStack() as stack:
            logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wsproxy-demo-")))

            async def start(name: str, arguments: Sequence[str], *, ready_fd: bool = False) -> Part:
                part = running(name, arguments, log=logs / f"{name}.log", ready_fd=ready_fd)
                self.parts[name] = await stack.enter_async_context(part)
                return self.parts[name]

            await start("backend", self._backend_arguments())
            await start("control_plane", self._control_plane_arguments())
            if self.with_relay:
                await start("relay", self._relay_arguments(), ready_fd=True)
            await start("proxy", self._proxy_arguments())
            self._client = await stack.enter_async_context(_client())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def ask(self, prompt: str, stream: bool = True, *, judge_delay: float | None = None) -> Answer:
        """Ask the proxy as an OpenAI client would, and give what came back.

        Args:
            stream: as server-sent events, or in one piece.
            judge_delay: seconds that the judge is to take for this question.

        Raises:
            aiohttp.ClientError: the proxy could not be asked or refused.
        """
        began = time.monotonic()
        body = {"model": "demo", "messages": [{"role": "user", "content": prompt}], "stream": stream}
        headers = {} if judge_delay is None else {"x-judge-delay": str(judge_delay)}
        async with self._client.post(f"{self.proxy_url}/v1/chat/completions", json=body, headers=headers) as response:
            chunks, done = await _streamed(response) if stream else (_as_chunks(await response.json()), True)
            total = fold(chunks)
            return Answer(
                stream_id=response.headers["x-litellm-call-id"],
                text=total.text,
                tool_arguments=total.tool_arguments,
                finish_reasons=tuple(total.finish_reasons),
                chunks=tuple(chunks),
                done=done,
                seconds=time.monotonic() - began,
            )

    async def decisions(self) -> list[Decision]:
        """What the policy has decided so far, oldest first, by the control plane's own account."""
        return await self._decisions({})

    async def decision(self, stream_id: str, timeout: float = _DECISION_SECONDS) -> Decision | None:
        """The decision on one stream, awaited up to `timeout` seconds: it may come long after `[DONE]`."""
        found = await self._decisions({"stream_id": stream_id, "wait": str(timeout)})
        return found[0] if found else None

    async def _decisions(self, query: dict[str, str]) -> list[Decision]:
        async with self._client.get(f"{self.control_plane_url}/decisions", params=query) as response:
            return [Decision(**one) for one in await response.json()]

    def log(self, name: str) -> str:
        """What a part ("backend", "control_plane", "relay" or "proxy") has written to its standard error."""
        return self.parts[name].log.read_text(errors="replace")

    @property
    def backend_url(self) -> str:
        return self.parts["backend"].url

    @property
    def control_plane_url(self) -> str:
        return self.parts["control_plane"].url

    @property
    def relay_url(self) -> str | None:
        """Where the relay stands in for the control plane; None without a relay."""
        return self.parts["relay"].url if self.with_relay else None

    @property
    def relay_control_url(self) -> str | None:
        """The relay's control API; None without a relay."""
        return f"http://127.0.0.1:{self.parts['relay'].ready['control_port']}" if self.with_relay else None

    @property
    def proxy_url(self) -> str:
        return self.parts["proxy"].url

    def _backend_arguments(self) -> list[str]:
        pace = ["--chunk-interval", str(self.chunk_interval), "--judge-delay", str(self.judge_delay)]
        return ["wsproxy.demo.backend", *pace]

    def _control_plane_arguments(self) -> list[str]:
        return ["wsproxy.demo.control_plane", "--policy", self.policy, "--judge-url", self.backend_url]

    def _relay_arguments(self) -> list[str]:
        upstream = f"ws://127.0.0.1:{self.parts['control_plane'].port}"
        ports = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]
        out = ["--out", str(self.out)]
        return ["wsproxy", "record", "--upstream", upstream, *ports, *out, *self.relay_arguments]

    def _proxy_arguments(self) -> list[str]:
        through = self.relay_url or self.control_plane_url
        arguments = ["wsproxy.demo.proxy", "--backend", self.backend_url, "--control-plane", through]
        return [*arguments, "--fixed"] if self.fixed else arguments


def _client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60),
        headers={"authorization": f"Bearer {CLIENT_KEY}"},
        raise_for_status=True,
    )


async def _streamed(response: aiohttp.ClientResponse) -> tuple[list[Chunk], bool]:
    """The chunks of a streamed response, and whether its `[DONE]` came."""
    chunks: list[Chunk] = []
    async for line in response.content:
        if not line.startswith(b"data: "):
            continue
        event = line.removeprefix(b"data: ").strip()
        if event == b"[DONE]":
            return chunks, True
        chunks.append(json.loads(event))
    return chunks, False


def _as_chunks(completion: dict[str, Any]) -> list[Chunk]:
    """A response in one piece as the one chunk that says the same."""
    choices = [
        {"index": choice["index"], "delta": choice["message"], "finish_reason": choice["finish_reason"]}
        for choice in completion["choices"]
    ]
    return [{**completion, "object": "chat.completion.chunk", "choices": choices}]
