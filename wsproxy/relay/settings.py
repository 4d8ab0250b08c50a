"""What a relay run was asked for: from texts (options, a file) to listeners with their routes.

Strategy: `RouteSpec` and `ListenSpec` hold what a person wrote, `Settings` what the relay needs; between them everything is checked that can
be checked without binding or dialling, so that `--check` and a real start say the same. What a route leaves open (its rule, its Host) is that
of the run.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..recording.retention import Limits
from ..recording.writer import Durability
from ..secrets.rules import Rules
from .routes import EVERYWHERE, Listener, Route, Routes
from .rules import DEFAULT_BODY, DEFAULT_HEADER, DEFAULT_PATH, StreamRule
from .tls import TlsOptions, listening_context, upstream_context
from .upstream import parse_listen, parse_upstream

_PLAIN, _SECURE = ("http", "ws"), ("https", "wss")


class Finding(NamedTuple):
    """How stream ids are found, and what goes up as Host; None where it is as for the whole run."""

    path: str | None = None
    header: str | None = None
    body: tuple[str, ...] | None = None
    host_header: str | None = None

    def beside(self, run: Finding) -> Finding:
        """With what the run says where this says nothing."""
        said = {name: value for name, value in self._asdict().items() if value is not None}
        return run._replace(**said)

    def rule(self) -> StreamRule:
        """Raises ValueError."""
        return StreamRule(
            DEFAULT_PATH if self.path is None else self.path,
            DEFAULT_HEADER if self.header is None else self.header,
            self.body or DEFAULT_BODY,
        )


class RouteSpec(NamedTuple):
    """`/prefix=URL`."""

    prefix: str
    url: str
    finding: Finding = Finding()


class ListenSpec(NamedTuple):
    """`ADDRESS`, which leads to the upstream and the routes of the run, or `ADDRESS=URL`, which leads there alone."""

    address: str
    url: str | None = None
    finding: Finding = Finding()


@dataclass(frozen=True)
class Settings:
    """What `wsproxy record` was asked for. Times in seconds."""

    listeners: list[Listener]
    control: tuple[str, int]
    folder: Path
    durability: Durability
    keep_body: int
    grace: float
    connect_timeout: float
    keepalive: int
    tls: TlsOptions
    upstream_tls: ssl.SSLContext | None
    token: str | None = None
    control_names: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    rules: Rules | None = None  # what is masked before it is recorded; None records what goes by

    @property
    def upstreams(self) -> list[str]:
        """The URLs of all upstreams, each once."""
        return list(dict.fromkeys(text for listener in self.listeners for text in listener.routes.upstreams))


def read_route(text: str) -> RouteSpec:
    """Read `/prefix=URL`. Raises ValueError."""
    prefix, given, url = text.partition("=")
    if not given or not url:
        raise ValueError(f"--route {text}: write /PREFIX=URL")
    return RouteSpec(prefix, url)


def read_listen(text: str) -> ListenSpec:
    """Read `ADDRESS` or `ADDRESS=URL`. Raises ValueError."""
    address, given, url = text.partition("=")
    if given and not url:
        raise ValueError(f"--listen {text}: write ADDRESS=URL, or ADDRESS alone")
    return ListenSpec(address, url or None)


def listeners(
    listens: list[ListenSpec], routes: list[RouteSpec], upstream: str | None, run: Finding, tls: TlsOptions
) -> list[Listener]:
    """The listeners of a run.

    Args:
        upstream: where the listeners without an upstream of their own lead, but for the routes.

    Raises:
        ValueError: in words for a person.
    """
    table = [_route(spec, run) for spec in routes]
    if upstream is not None:
        table.append(_route(RouteSpec(EVERYWHERE, upstream), run))
    if tls.key and not tls.cert:
        raise ValueError("--tls-key: give its certificate with --tls-cert")
    if tls.client_key and not tls.client_cert:
        raise ValueError("--client-key: give its certificate with --client-cert")
    context = listening_context(tls) if tls.cert else None
    made: list[Listener] = []
    for spec in listens:
        scheme, _, address = spec.address.rpartition("://")
        if scheme not in ("", *_PLAIN, *_SECURE):
            raise ValueError(f"{spec.address}: not HOST:PORT, http://HOST:PORT or https://HOST:PORT")
        if scheme in _SECURE and context is None:
            raise ValueError(f"{spec.address}: give its certificate with --tls-cert and --tls-key")
        if spec.url is not None:
            own = [_route(RouteSpec(EVERYWHERE, spec.url, spec.finding), run)]
        elif table:
            own = table
        else:
            raise ValueError(f"--listen {spec.address} leads nowhere: give an --upstream, e.g. ws://HOST:PORT")
        host, port = parse_listen(address)
        made.append(Listener(host, port, None if scheme in _PLAIN else context, Routes(own)))
    return made


def verification(made: list[Listener], tls: TlsOptions) -> ssl.SSLContext | None:
    """What TLS upstreams must prove; None where there are none. Raises ValueError."""
    if any(route.upstream.tls for listener in made for route in listener.routes.routes):
        return upstream_context(tls)
    given = {"--ca-file": tls.ca_file, "--client-cert": tls.client_cert, "--insecure": tls.insecure}
    for option, value in given.items():
        if value:
            raise ValueError(f"{option} is for wss:// and https:// upstreams, and there is none")
    return None


def _route(spec: RouteSpec, run: Finding) -> Route:
    if not spec.prefix.startswith("/") or "?" in spec.prefix or "#" in spec.prefix:
        raise ValueError(f"--route {spec.prefix}: a prefix is a path: it starts with /")
    finding = spec.finding.beside(run)
    return Route(spec.prefix, parse_upstream(spec.url, finding.host_header), finding.rule())
