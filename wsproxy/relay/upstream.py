"""Where the relay dials: the upstream's URL, its addresses, and the answer when it is not there.

Strategy: addresses are looked up for every connection (names move), tried in the resolver's order, each within the timeout. What
the client gets when none answers is an honest 502 that says which upstream and why.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import socket
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Upstream(NamedTuple):
    """A parsed upstream URL. `text` is the URL without credentials and path."""

    host: str
    port: int
    text: str


class DialError(Exception):
    """No address of the upstream took the connection; the message says why. `local`: it was not even asked."""

    def __init__(self, why: str, *, local: bool = False) -> None:
        super().__init__(why)
        self.local = local


def parse_upstream(url: str) -> Upstream:
    """Read `ws://host:port` or `http://host:port`.

    Raises:
        ValueError: in words for a person.
    """
    try:
        parts = urlsplit(url if "://" in url else f"ws://{url}")
    except ValueError:
        raise ValueError(f"{url}: not a URL; write ws://HOST:PORT") from None
    if parts.scheme in ("wss", "https"):
        raise ValueError(f"{url}: TLS upstreams are not supported yet; give ws:// or http://")
    if parts.scheme not in ("ws", "http"):
        raise ValueError(f"{url}: not a ws:// or http:// URL")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{url}: the port is not a number from 1 to 65535") from None
    if not parts.hostname or port == 0:
        raise ValueError(f"{url}: no host; write ws://HOST:PORT")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{url}: the relay keeps the client's path; write only ws://HOST:PORT")
    port = port or 80
    return Upstream(parts.hostname, port, f"{parts.scheme}://{address_text(parts.hostname, port)}")


def address_text(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_listen(address: str) -> tuple[str, int]:
    """Read HOST:PORT, :PORT (all IPv4 addresses), PORT (loopback) or [IPv6]:PORT. Raises ValueError."""
    host, _, port = address.rpartition(":")
    if not _:
        host = "127.0.0.1"
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address}: not HOST:PORT with a port from 0 to 65535")
    return host.strip("[]") or "0.0.0.0", int(port)


def _literal(host: str, port: int) -> tuple[int, tuple[str, int]] | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (socket.AF_INET6 if address.version == 6 else socket.AF_INET), (host, port)


async def dial(upstream: Upstream, timeout: float) -> socket.socket:
    """A connected non-blocking socket with TCP_NODELAY.

    Args:
        timeout: seconds per address.

    Raises:
        DialError: nothing answered.
    """
    loop = asyncio.get_running_loop()
    literal = _literal(upstream.host, upstream.port)
    if literal is not None:
        addresses: list[tuple[int, Any]] = [literal]
    else:
        try:
            found = await loop.getaddrinfo(upstream.host, upstream.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise DialError(f"cannot look up {upstream.host}: {(error.strerror or str(error)).lower()}") from None
        addresses = [(family, address) for family, _, _, _, address in found]
    why = "no address"
    for family, address in addresses:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            raise DialError(f"the relay cannot open a socket: {_words(error)} (see ulimit -n)", local=True) from None
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            async with asyncio.timeout(timeout):
                await loop.sock_connect(sock, address)
            return sock
        except TimeoutError:
            why = f"no answer within {timeout:g} s"
        except OSError as error:
            why = _words(error)
        except BaseException:
            sock.close()
            raise
        sock.close()
    raise DialError(why)


def _words(error: OSError) -> str:
    """What the system says. The event loops put their own words into `strerror`; the number is the fact."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


def bad_gateway(upstream: Upstream, why: str) -> bytes:
    """The 502 that a client gets when the upstream is not there."""
    body = json.dumps(
        {
            "error": "upstream unreachable",
            "upstream": upstream.text,
            "reason": why,
            "hint": "wsproxy is up and the service behind it is not: start it, or correct --upstream",
        }
    ).encode()
    head = (
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nServer: wsproxy\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
