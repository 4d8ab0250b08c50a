"""Which upstream a connection goes to, and by which rule its streams are found.

Strategy: each listener has a table of routes. One that leads everywhere ("/" alone) needs nothing of the client: the relay dials at once. With more,
the first request head decides; the longest prefix wins, and prefixes end where path segments end: `/api` is for `/api`, `/api/x` and `/api?x`, not
for `/apiary`. Paths are compared as the client wrote them. A connection stays with its upstream; `misdirected` says which of its later
requests do not belong there.
"""

from __future__ import annotations

import ssl
from typing import NamedTuple

from .rules import StreamRule
from .upstream import Upstream, address_text

EVERYWHERE = "/"


class Route(NamedTuple):
    """A prefix of paths, where requests to them go, and how their stream ids are found."""

    prefix: str
    upstream: Upstream
    rule: StreamRule


class Routes:
    """A listener's table.

    Args:
        routes: not empty; no two with the same prefix.

    Raises:
        ValueError: two routes with one prefix.
    """

    def __init__(self, routes: list[Route]) -> None:
        self.routes = sorted(routes, key=lambda route: len(route.prefix), reverse=True)
        seen: set[str] = set()
        for route in routes:
            if route.prefix in seen:
                raise ValueError(f"--route {route.prefix}: there are two of it" + _same(route.prefix))
            seen.add(route.prefix)

    @property
    def direct(self) -> Route | None:
        """The only route, where it leads everywhere."""
        return self.routes[0] if len(self.routes) == 1 and self.routes[0].prefix == EVERYWHERE else None

    @property
    def default(self) -> Route | None:
        """Where everything goes that has no route of its own, and what is no HTTP."""
        last = self.routes[-1]
        return last if last.prefix == EVERYWHERE else None

    @property
    def upstreams(self) -> list[str]:
        """The URLs of all upstreams, each once."""
        return list(dict.fromkeys(route.upstream.text for route in self.routes))

    def of(self, target: str) -> Route | None:
        """The route of a request target."""
        path = path_of(target)
        return next((route for route in self.routes if _is_below(path, route.prefix)), None)

    def misdirected(self, target: str, upstream: Upstream) -> str | None:
        """Why a request must not go to this upstream; None if it may."""
        route = self.of(target)
        if route is None:
            return f"this connection leads to {upstream.text}, and {path_of(target)} has no route"
        if route.upstream == upstream:
            return None
        return f"this connection leads to {upstream.text}, and {path_of(target)} belongs to {route.upstream.text}"


class Listener(NamedTuple):
    """An address that clients connect to."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    routes: Routes

    def url(self, port: int) -> str:
        """Where clients connect; `port` is the one that was got."""
        return f"{'https' if self.tls else 'http'}://{address_text(self.host, port)}"


def path_of(target: str) -> str:
    """The path of a request target, without its query; that of CONNECT and of OPTIONS * is the root."""
    if not target.startswith("/"):
        _, scheme, rest = target.partition("://")
        target = "/" + rest.partition("/")[2] if scheme else "/"
    return target.partition("?")[0]


def _is_below(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and (prefix.endswith("/") or path[len(prefix) : len(prefix) + 1] in ("", "/"))


def _same(prefix: str) -> str:
    return " (--upstream is the route /)" if prefix == EVERYWHERE else ""
