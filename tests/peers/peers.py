"""Every peer once, when it is first asked for: a process each, and a relay process before each server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.relay.relay_process import RelayProcess

from . import scripts
from .cells import Route
from .installed import browser, node_and_ws, websockets_folder
from .processes import Browser, Client, Server, closing

OLD = "13.1"
CLIENTS = ("websockets-13", "websockets", "aiohttp", "wsproto", "picows", "ws", "chromium")
SERVERS = (
    "websockets-13",
    "websockets",
    "aiohttp",
    "hypercorn",
    "uvicorn-websockets",
    "uvicorn-sansio",
    "uvicorn-wsproto",
    "picows",
    "ws",
)
_ASGI = {
    "hypercorn": ["hypercorn"],
    "uvicorn-websockets": ["uvicorn", "websockets"],
    "uvicorn-sansio": ["uvicorn", "websockets-sansio"],
    "uvicorn-wsproto": ["uvicorn", "wsproto"],
}


class Peers:
    """Starts peers when they are asked for, and keeps them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._scripts = scripts.written(folder / "scripts.json")
        self._clients: dict[str, Client | Browser] = {}
        self._routes: dict[str, Route] = {}
        self._fresh = 0
        self._node: tuple[str, dict[str, str]] | None = None

    def client(self, name: str) -> Client | Browser:
        if name not in self._clients:
            self._clients[name] = self._stack.enter_context(closing(self._start_client(name)))
        return self._clients[name]

    def route(self, name: str) -> Route:
        """A server, with its relay."""
        if name not in self._routes:
            self._routes[name] = self._start_route(name, self._folder / name, self._stack)
        return self._routes[name]

    @contextmanager
    def fresh_route(self, name: str) -> Iterator[Route]:
        """A server of its own, with its own relay."""
        self._fresh += 1
        with ExitStack() as stack:
            yield self._start_route(name, self._folder / f"fresh-{self._fresh}", stack)

    @property
    def routes(self) -> list[Route]:
        return list(self._routes.values())

    def _start_route(self, name: str, out: Path, stack: ExitStack) -> Route:
        server: Server = stack.enter_context(closing(Server(*self._program(name, "server"))))
        relay = stack.enter_context(RelayProcess(server, out, "--grace", "0.5"))  # type: ignore[arg-type]  # of the server only the port is asked
        return Route(name, server, relay)

    def _start_client(self, name: str) -> Client | Browser:
        if name == "chromium":
            return Browser(browser(), self._scripts)
        return Client(*self._program(name, "client"), self._scripts)

    def _program(self, name: str, side: str) -> tuple[list[str], dict[str, str]]:
        """(command, environment) of a peer."""
        if name == "ws":
            if self._node is None:
                self._node = node_and_ws(self._folder / "node")
            node, environment = self._node
            return [node, f"ws_{side}.js"], environment
        if name.startswith("websockets"):
            version = OLD if name == "websockets-13" else "newest"
            return [sys.executable, f"websockets_{side}.py"], {"PYTHONPATH": str(websockets_folder(version))}
        program = ["asgi_server.py", *_ASGI[name]] if name in _ASGI else [f"{name}_{side}.py"]
        return [sys.executable, *program], {}
