"""The whole pipeline around a real LiteLLM, as real processes on this machine's loopback.

    client (here) → litellm → backend             wsproxy.demo.backend, which is the judge as well
                       ↓ control_plane_callback.py
                  [wsproxy record]                only with relay=True
                       ↓
                  control plane                   control_plane.py: FastAPI, one of wsproxy.demo's policies

Strategy: LiteLLM takes seconds to start, so a bed is started once and serves many requests. Each request says in its
headers which policy it wants, how long the judge thinks and whether the callback is the fixed one; START carries
these headers to the control plane.

Hooks send to the relay's control port, so LiteLLM and the control plane must know it, and the relay the control
plane's port: that one is bound here, before all of them, and handed on when it may listen.

The first request warms the pipeline up: LiteLLM imports a good deal only then (1.5 s), and a deadline of 102 ms
should not be measured on that.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

import wsproxy
from tests.strict import complaints
from wsproxy.demo.outcome import Chunk, Folded, fold
from wsproxy.demo.process import Part, running
from wsproxy.recording.events import Marker

from . import litellm_proxy
from .journal import Journal
from .litellm_proxy import Hooks, plain_environment

ANSWER_SECONDS = 60.0
RECORDING_SECONDS = 20.0
POLL_SECONDS = 0.02

CONTROL_PLANES: dict[Hooks, str] = {
    "none": "tests.litellm_pipeline.control_plane",
    "no code": "tests.litellm_pipeline.control_plane",
    "call sites": "tests.litellm_pipeline.instrumented_control_plane",
}
BACKLOG = 512


@dataclass(frozen=True)
class Question:
    """A request of the client.

    `policy` is "noop", "allcaps", "raises", "judge", "indulgent" (a judge that allows everything) or "incomplete";
    `judge_delay` is how long the judge thinks, in seconds; `fixed` asks for the callback without the bug, `garbled` for a
    second chunk that is no JSON.
    """

    prompt: str
    policy: str = "noop"
    judge_delay: float = 0.005
    fixed: bool = False
    garbled: bool = False

    @property
    def headers(self) -> dict[str, str]:
        asked = {"x-policy": self.policy, "x-judge-delay": str(self.judge_delay)}
        wishes = {"x-callback-fixed": self.fixed, "x-garbled": self.garbled}
        return asked | {name: "1" for name, wished in wishes.items() if wished}


@dataclass(frozen=True)
class Answer:
    """What the client got. `stream_id` is LiteLLM's call id; `lines` are those of the body, `seconds` until its end."""

    status: int
    stream_id: str
    lines: tuple[str, ...]
    seconds: float

    @property
    def events(self) -> list[str]:
        """The data of each server-sent event, `[DONE]` included."""
        return [line.removeprefix("data: ") for line in self.lines if line.startswith("data: ")]

    @property
    def chunks(self) -> list[Chunk]:
        return [json.loads(event) for event in self.events if event != "[DONE]"]

    @property
    def folded(self) -> Folded:
        """The sum of the chunks of a streamed answer."""
        return fold(self.chunks)

    @property
    def choice(self) -> dict[str, Any]:
        """The choice of an answer in one piece: its message and finish reason."""
        choice: dict[str, Any] = json.loads("".join(self.lines))["choices"][0]
        return choice


class Bed:
    """The running pipeline, for as long as the context lasts.

    Args:
        folder: for config, logs and journals.
        relay: put a `wsproxy record` between LiteLLM and the control plane.
        out: where the relay records to; `recordings` in `folder` by default.
        fixed: every request gets the callback without the bug.
        chunk_interval: seconds between two chunks of the backend.
        hooks: how the callback and the control plane are hooked: "none"; "no code", by entries in LiteLLM's YAML, the
            middleware and the wrapper of the policy; "call sites", by calls of the loggers.
        markers_url: where the hooks send to; by default to the bed's relay.
        markers_token: what they identify themselves with.

    Raises:
        PartFailed: on entering, when a process does not come up; the message has its own words.
    """

    def __init__(
        self,
        folder: Path,
        *,
        relay: bool,
        out: Path | None = None,
        fixed: bool = False,
        chunk_interval: float = 0.002,
        hooks: Hooks = "none",
        markers_url: str | None = None,
        markers_token: str | None = None,
    ) -> None:
        self.folder = folder
        self.out = out or folder / "recordings"
        self.chunk_interval = chunk_interval
        self.client_key = f"sk-planted-client-{secrets.token_hex(24)}"
        self.provider_key = f"sk-planted-provider-{secrets.token_hex(24)}"
        self.callback = Journal(folder / "callback.jsonl")
        self.control_plane = Journal(folder / "control_plane.jsonl")
        self.control_plane_logs: list[Path] = []  # one for each time it was started
        self.litellm_log = folder / "litellm.log"
        self.startup_seconds = 0.0
        self._with_relay = relay
        self._fixed = fixed
        self._hooks: Hooks = hooks
        self._markers_url = markers_url
        self._markers_token = markers_token
        self._control_plane_process = AsyncExitStack()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            self.backend = await stack.enter_async_context(self._backend())
            stack.push_async_callback(self._control_plane_process.aclose)
            listener = stack.enter_context(_bound())
            self.control_plane_port = int(listener.getsockname()[1])
            self.base_url = f"http://127.0.0.1:{self.control_plane_port}"
            if self._with_relay:
                self.relay = await stack.enter_async_context(self._relay())
                self.base_url = self.relay.url
            await self._start_control_plane(listener)
            settings = litellm_proxy.Settings(
                backend_url=self.backend.url,
                control_plane_url=self.base_url,
                client_key=self.client_key,
                provider_key=self.provider_key,
                callback_journal=self.callback.path,
                fixed_callback=self._fixed,
                hooks=self._hooks,
                markers=self._markers(),
            )
            url = await stack.enter_async_context(litellm_proxy.running(settings, self.folder))
            authorization = {"authorization": f"Bearer {self.client_key}"}
            client = httpx.AsyncClient(base_url=url, headers=authorization, timeout=ANSWER_SECONDS, trust_env=False)
            self._client = await stack.enter_async_context(client)
            await self.ask(Question("drop everything", policy="judge", fixed=True))
            self._stack = stack.pop_all()
        self.startup_seconds = time.monotonic() - began
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        for log in self.folder.glob("*.log"):
            if log != self.litellm_log:
                assert not complaints(log.read_text(errors="replace")), log

    async def ask(self, question: Question, *, stream: bool = True, leave_after: int | None = None) -> Answer:
        """Ask as an OpenAI client would.

        Args:
            stream: as server-sent events, or in one piece.
            leave_after: hang up after so many lines; by default the answer is read to its end.
        """
        messages = [{"role": "user", "content": question.prompt}]
        body = {"model": "demo", "messages": messages, "stream": stream}
        began = time.monotonic()
        request = self._client.stream("POST", "/v1/chat/completions", json=body, headers=question.headers)
        lines: list[str] = []
        async with request as response:
            async for line in response.aiter_lines():
                lines.append(line)
                if len(lines) == leave_after:
                    break
        return Answer(
            status=response.status_code,
            stream_id=response.headers["x-litellm-call-id"],
            lines=tuple(lines),
            seconds=time.monotonic() - began,
        )

    @asynccontextmanager
    async def control_plane_absent(self) -> AsyncIterator[None]:
        """While in here nothing listens at the control plane's port; the rest of the bed runs on."""
        await self._control_plane_process.aclose()
        try:
            yield
        finally:
            with _bound(self.control_plane_port) as listener:
                await self._start_control_plane(listener)

    async def recording(self, stream_id: str, *, marked: Collection[str] = ()) -> wsproxy.Recording:
        """The recording of a stream, finished and with every connection that the callback opened for it.

        Args:
            marked: stages whose markers must be there too, as often as they are named: markers come when the stream may
                be long over.

        Raises:
            TimeoutError: there is none within 20 s.
        """
        deadline = time.monotonic() + RECORDING_SECONDS
        found = "no file with that name"
        while time.monotonic() < deadline:
            for path in self.out.glob(f"*-{stream_id}.msgpack"):
                try:
                    recording = wsproxy.open(path)
                except wsproxy.RecordingError as error:  # its header is being written
                    found = str(error)
                    continue
                events = list(recording.events())
                kinds = [type(event).__name__ for event in events]
                missing = Counter(marked) - Counter(event.stage for event in events if isinstance(event, Marker))
                assert recording.ending is not None
                expected = self._connections(stream_id)
                if recording.ending.state == "finished" and kinds.count("Totals") == expected and not missing:
                    return recording
                found = f"{path.name} is {recording.ending.state}, not of {expected} connections: {kinds}"
                found += f", and without {sorted(missing)}" if missing else ""
            await asyncio.sleep(POLL_SECONDS)
        raise TimeoutError(f"no finished recording of {stream_id}: {found}")

    def _connections(self, stream_id: str) -> int:
        """How many connections the callback opened, or tried to, for a call: one per hook, one per stream."""
        events = [line.event for line in self.callback.lines(stream_id)]
        return events.count("hook_sent") + (1 if {"sent", "unfiltered"} & set(events) else 0)

    def _backend(self) -> AbstractAsyncContextManager[Part]:
        arguments = ["wsproxy.demo.backend", "--chunk-interval", str(self.chunk_interval)]
        environment = plain_environment()
        return running("backend", arguments, log=self.folder / "backend.log", environment=environment)

    def _relay(self) -> AbstractAsyncContextManager[Part]:
        return relay(self.folder / "relay.log", out=self.out, upstream=f"ws://127.0.0.1:{self.control_plane_port}")

    def _markers(self) -> dict[str, str]:
        """The environment of what is hooked."""
        if self._hooks == "none":
            return {}
        url = self._markers_url or f"http://127.0.0.1:{self.relay.ready['control_port']}"
        token = {} if self._markers_token is None else {"WSPROXY_TOKEN": self._markers_token}
        return {"WSPROXY_MARKERS": url, **token}

    async def _start_control_plane(self, listener: socket.socket) -> None:
        """Start the control plane on a bound socket, which is closed here: when the process dies, nobody listens."""
        listener.listen(BACKLOG)
        log = self.folder / f"control_plane-{len(self.control_plane_logs)}.log"
        self.control_plane_logs.append(log)
        arguments = [CONTROL_PLANES[self._hooks], "--listen-fd", str(listener.fileno())]
        arguments += ["--judge-url", self.backend.url, "--journal", str(self.control_plane.path)]
        starting = running(
            "control_plane",
            arguments,
            log=log,
            inherited=[listener.fileno()],
            environment=plain_environment() | self._markers(),
        )
        await self._control_plane_process.enter_async_context(starting)
        listener.close()


def relay(log: Path, *, out: Path, upstream: str, token: str | None = None) -> AbstractAsyncContextManager[Part]:
    """A `wsproxy record` in a process of its own, on ports of its own choice."""
    arguments = ["wsproxy", "record", "--upstream", upstream, "--out", str(out)]
    arguments += ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]
    arguments += [] if token is None else ["--token", token]
    return running("relay", arguments, log=log, ready_fd=True, environment=plain_environment())


def _bound(port: int = 0) -> socket.socket:
    """A socket that is bound to 127.0.0.1 and refuses connections, because it does not listen yet."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


async def wsproxy_command(*arguments: str) -> tuple[int, str]:
    """Run a wsproxy command; its exit status and all that it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "wsproxy", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode(errors="replace")
