"""What `wsproxy record` would do: each listener, where it leads, by which rules, and where the recordings go."""

from __future__ import annotations

from collections.abc import Iterator

from ..relay.routes import Route
from ..relay.settings import Settings
from ..relay.upstream import address_text
from .screen import Line
from .text import escape, size


def plan_lines(settings: Settings) -> Iterator[Line]:
    """The plan, for a person."""
    for listener in settings.listeners:
        yield [("listen ", "bold"), (listener.url(listener.port), ""), (_tls(settings) if listener.tls else "", "dim")]
        width = max(len(route.prefix) for route in listener.routes.routes)
        for route in listener.routes.routes:
            yield [(f"  {escape(route.prefix):<{width}} → {route.upstream.text}", ""), (_proof(route, settings), "dim")]
            host = "as the client says" if route.upstream.host_header is None else route.upstream.host_header
            yield [(f"  {'':<{width}}   Host {escape(host)}; stream id from {escape(route.rule.text)}", "dim")]
    kept = f"bodies kept up to {size(settings.keep_body)}"
    yield [("record ", "bold"), (f"into {escape(str(settings.folder))}, durability {settings.durability}, {kept}", "")]
    guard = "with a token" if settings.token else "without a token"
    yield [("control ", "bold"), (f"http://{address_text(*settings.control)}, {guard}", "")]


def _tls(settings: Settings) -> str:
    return f"  certificate {escape(settings.tls.cert)}"


def _proof(route: Route, settings: Settings) -> str:
    """What a TLS upstream must prove, and what it is shown."""
    if not route.upstream.tls:
        return ""
    tls = settings.tls
    trusted = "the system's authorities" + (f" and {escape(tls.ca_file)}" if tls.ca_file else "")
    proof = "  NOT VERIFIED (--insecure)" if tls.insecure else f"  verified by {trusted}"
    return proof + (f", client certificate {escape(tls.client_cert)}" if tls.client_cert else "")
