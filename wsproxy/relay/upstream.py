"""Upstreams and addresses, as people write them, and the relay's own answers.

Strategy: a URL is read once, at the start, into what the dial and the request heads need; whatever is wrong with it is said in words.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple
from urllib.parse import urlsplit


class Upstream(NamedTuple):
    """A parsed upstream URL. `text` is the URL without credentials and path; `host_header` what requests get as Host, None leaves theirs."""

    host: str
    port: int
    text: str
    tls: bool = False
    host_header: str | None = None


_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}
_HOST_HEADER = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


def parse_upstream(url: str, host_header: str | None = None) -> Upstream:
    """Read `ws://host:port`, `http://`, `wss://` or `https://`.

    Args:
        host_header: "keep", "upstream" or a literal; None keeps the client's for plain upstreams and puts the upstream's own for TLS.

    Raises:
        ValueError: in words for a person.
    """
    try:
        parts = urlsplit(url if "://" in url else f"ws://{url}")
    except ValueError:
        raise ValueError(f"{url}: not a URL; write ws://HOST:PORT") from None
    if parts.scheme not in _PORTS:
        raise ValueError(f"{url}: not a ws://, http://, wss:// or https:// URL")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{url}: the port is not a number from 1 to 65535") from None
    if not parts.hostname or port == 0:
        raise ValueError(f"{url}: no host; write ws://HOST:PORT")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{url}: the relay keeps the client's path; write only ws://HOST:PORT")
    try:
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"{url}: {parts.hostname} is no host name") from None
    tls = parts.scheme in ("wss", "https")
    usual = _PORTS[parts.scheme]
    authority = address_text(host, port) if port and port != usual else _bracketed(host)
    port = port or usual
    header = host_header or ("upstream" if tls else "keep")
    if header not in ("keep", "upstream") and not _HOST_HEADER.fullmatch(header):
        raise ValueError(f"--host-header: {header!r} is neither keep nor upstream nor a host name")
    sent = None if header == "keep" else authority if header == "upstream" else header
    return Upstream(host, port, f"{parts.scheme}://{address_text(host, port)}", tls, sent)


def address_text(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 address in brackets."""
    return f"{_bracketed(host)}:{port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def parse_listen(address: str) -> tuple[str, int]:
    """Read HOST:PORT, :PORT (all IPv4 addresses), PORT (loopback) or [IPv6]:PORT. Raises ValueError."""
    host, _, port = address.rpartition(":")
    if not _:
        host = "127.0.0.1"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address}: not HOST:PORT with a port from 0 to 65535")
    return host.strip("[]") or "0.0.0.0", int(port)


def json_answer(status: str, body: dict[str, str]) -> bytes:
    """A whole HTTP response of the relay's own; the connection ends with it."""
    raw = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(raw)}\r\nServer: wsproxy\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + raw
