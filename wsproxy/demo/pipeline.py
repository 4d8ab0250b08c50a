"""The whole pipeline as one async context manager.

Strategy: each part is started when the one that it talks to has said where it is: backend, relay, control plane, proxy;
an exit stack ends them in the reverse order, whatever happened. The relay must know the control plane's address and the
control plane the relay's control port, so the control plane's listening socket is made here, before both, and handed to
it: nothing is guessed and nothing can be taken meanwhile. Then a question is an ordinary HTTP request of an ordinary client.
Nothing here prints, and nothing waits for a time: a part is awaited by its ready line and a decision by the control plane's
word.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

from wsproxy.demo import HARMFUL, HARMLESS, client, faults
from wsproxy.demo.client import CLIENT_KEY
from wsproxy.demo.faulty.client import READERS
from wsproxy.demo.outcome import Answer, Decision
from wsproxy.demo.part import BACKLOG
from wsproxy.demo.process import Part, PartFailed, running

__all__ = ["CLIENT_KEY", "HARMFUL", "HARMLESS", "PartFailed", "Pipeline"]

_DECISION_SECONDS = 30.0
_MARKERS = "WSPROXY_MARKERS"


class Pipeline:
    """Backend, relay, control plane and proxy as processes on 127.0.0.1, for as long as the context lasts.

    Args:
        policy: the control plane's policy: "noop", "allcaps", "judge" or "raises".
        judge_delay: seconds that the judge takes, unless a question says otherwise; None for the fault's, or 0.3.
        fixed: run the callback without its bug.
        out: folder for the relay's recordings.
        chunk_interval: seconds between two chunks of the backend.
        relay: False lets the proxy talk to the control plane directly, to compare.
        relay_arguments: more arguments for `wsproxy record`.
        markers: let the callback, the control plane and the policies send stage markers to the relay, if there is one.
        fault: what is to go wrong, a name from `wsproxy.demo.faults`.

    Raises:
        KeyError: there is no such fault.
        PartFailed: on entering, when a part does not come up; its message has the part's own words.
    """

    def __init__(
        self,
        policy: str = "judge",
        *,
        judge_delay: float | None = None,
        fixed: bool = False,
        out: Path = Path("recordings"),
        chunk_interval: float = 0.01,
        relay: bool = True,
        relay_arguments: Sequence[str] = (),
        markers: bool = True,
        fault: str | None = None,
    ) -> None:
        self.policy = policy
        self.fault = None if fault is None else faults.find(fault)
        self.judge_delay = (self.fault.judge_delay if self.fault else 0.3) if judge_delay is None else judge_delay
        self.fixed = fixed
        self.out = out
        self.chunk_interval = chunk_interval
        self.with_relay = relay
        self.relay_arguments = tuple(relay_arguments)
        self.markers = markers
        self.parts: dict[str, Part] = {}
        self._read = READERS.get(fault or "", client.read_to_the_end)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Pipeline:
        async with AsyncExitStack() as stack:
            logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wsproxy-demo-")))

            async def start(
                name: str, arguments: Sequence[str], *, ready_fd: bool = False, inherited: Sequence[int] = ()
            ) -> None:
                part = running(
                    name,
                    arguments,
                    log=logs / f"{name}.log",
                    ready_fd=ready_fd,
                    inherited=inherited,
                    environment=self._environment(),
                )
                self.parts[name] = await stack.enter_async_context(part)

            await start("backend", self._backend_arguments())
            # Bound and not listening, it is a port that refuses connections.
            control_plane = stack.enter_context(_bound())
            self.control_plane_url = _url(control_plane)
            if self.with_relay:
                await start("relay", self._relay_arguments(), ready_fd=True)
            if not self._has("no-control-plane"):
                control_plane.listen(BACKLOG)
                arguments = self._control_plane_arguments(control_plane.fileno())
                await start("control_plane", arguments, inherited=[control_plane.fileno()])
                control_plane.close()  # ours: when the control plane dies, nobody listens
            through = self.relay_url or self.control_plane_url
            if self._has("no-relay"):
                through = _url(stack.enter_context(_bound()))
            await start("proxy", self._proxy_arguments(through))
            self._client = await stack.enter_async_context(client.session())
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
        return await client.ask(
            self._client, self.proxy_url, prompt, stream=stream, judge_delay=judge_delay, read=self._read
        )

    async def decisions(self) -> list[Decision]:
        """What the policy has decided so far, oldest first, by the control plane's own account."""
        return await self._decisions({})

    async def decision(self, stream_id: str, timeout: float = _DECISION_SECONDS) -> Decision | None:
        """The decision on one stream, awaited up to `timeout` seconds: it may come long after `[DONE]`.

        None at once if the control plane never saw the stream.
        """
        found = await self._decisions({"stream_id": stream_id, "wait": str(timeout)})
        return found[0] if found else None

    async def _decisions(self, query: dict[str, str]) -> list[Decision]:
        if "control_plane" not in self.parts:
            return []
        async with self._client.get(f"{self.control_plane_url}/decisions", params=query) as response:
            return [Decision(**one) for one in await response.json()]

    def log(self, name: str) -> str:
        """What a part ("backend", "control_plane", "relay" or "proxy") has written to its standard error."""
        return self.parts[name].log.read_text(errors="replace")

    @property
    def backend_url(self) -> str:
        return self.parts["backend"].url

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

    def _environment(self) -> dict[str, str]:
        """A part's environment: ours, and where markers go, if there is a relay already and they are wanted."""
        environment = {name: value for name, value in os.environ.items() if name != _MARKERS}
        if self.markers and "relay" in self.parts:
            environment[_MARKERS] = str(self.relay_control_url)
        return environment

    def _backend_arguments(self) -> list[str]:
        pace = ["--chunk-interval", str(self.chunk_interval), "--judge-delay", str(self.judge_delay)]
        return ["wsproxy.demo.backend", *pace, *self._fault_of("backend")]

    def _relay_arguments(self) -> list[str]:
        upstream = self.control_plane_url.replace("http://", "ws://")
        ports = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]
        out = ["--out", str(self.out)]
        return ["wsproxy", "record", "--upstream", upstream, *ports, *out, *self.relay_arguments]

    def _control_plane_arguments(self, listening: int) -> list[str]:
        arguments = ["wsproxy.demo.control_plane", "--listen-fd", str(listening), "--policy", self.policy]
        return [*arguments, "--judge-url", self.backend_url, *self._fault_of("endpoint", "policy")]

    def _proxy_arguments(self, control_plane: str) -> list[str]:
        arguments = ["wsproxy.demo.proxy", "--backend", self.backend_url, "--control-plane", control_plane]
        return [*arguments, *(["--fixed"] if self.fixed else []), *self._fault_of("callback")]

    def _fault_of(self, *where: faults.Where) -> list[str]:
        return ["--fault", self.fault.name] if self.fault and self.fault.where in where else []

    def _has(self, fault: str) -> bool:
        return self.fault is not None and self.fault.name == fault


def _bound() -> socket.socket:
    """A socket bound to a free port of 127.0.0.1."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound


def _url(bound: socket.socket) -> str:
    return f"http://127.0.0.1:{bound.getsockname()[1]}"
