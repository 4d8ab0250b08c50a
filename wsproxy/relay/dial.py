"""The dial: from an upstream's URL to a connected socket, with TLS where it is due; and the 502 where it fails.

Strategy: addresses are looked up for every connection (names move), tried in the resolver's order, each within the timeout. A handshake is done with
the first that takes the connection. What the client gets when none does is an honest 502 that says which upstream and why.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from typing import Any

from .keepalive import DEFAULT_SECONDS, ask_when_silent
from .tls import Established, HandshakeError, shake_hands
from .upstream import Upstream, json_answer

TLS_HINT = (
    "the upstream is there; mend its certificate, or tell wsproxy whom to trust (--ca-file, --client-cert, --insecure)"
)


class DialError(Exception):
    """No address of the upstream took the connection, or none with the proof that was asked for; the message says why.

    Attributes:
        local: it was not even asked.
        fault: what the upstream does, or does not: "does not answer".
        hint: what to do.
    """

    def __init__(
        self,
        why: str,
        *,
        local: bool = False,
        fault: str = "does not answer",
        hint: str = "wsproxy is up and the service behind it is not: start it, or correct --upstream",
    ) -> None:
        super().__init__(why)
        self.local = local
        self.fault = fault
        self.hint = hint


class Dialler:
    """Dials upstreams.

    Args:
        timeout: seconds per address, and for the handshake.
        tls: what TLS upstreams must prove; None where there are none.
        keepalive: seconds of silence after which TCP asks whether an upstream is still there; 0 never.
    """

    def __init__(self, timeout: float, tls: ssl.SSLContext | None = None, keepalive: int = DEFAULT_SECONDS) -> None:
        self._timeout = timeout
        self._tls = tls
        self._keepalive = keepalive

    async def dial(self, upstream: Upstream) -> tuple[socket.socket, Established | None]:
        """A connected non-blocking socket with TCP_NODELAY, and its TLS session if it has one.

        Raises:
            DialError: nothing answered, or it did not prove who it is.
        """
        sock = await connect(upstream, self._timeout)
        ask_when_silent(sock, self._keepalive)
        if not upstream.tls:
            return sock, None
        assert self._tls is not None
        try:
            return sock, await shake_hands(sock, self._tls, self._timeout, server_name=upstream.host)
        except HandshakeError as error:
            sock.close()
            fault = "is not trusted" if error.untrusted else "fails the TLS handshake"
            raise DialError(str(error), fault=fault, hint=TLS_HINT) from None
        except BaseException:
            sock.close()
            raise


def _literal(host: str, port: int) -> tuple[int, tuple[str, int]] | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (socket.AF_INET6 if address.version == 6 else socket.AF_INET), (host, port)


async def connect(upstream: Upstream, timeout: float) -> socket.socket:
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


def bad_gateway(upstream: Upstream, error: DialError) -> bytes:
    """The 502 that a client gets when the upstream is not there, or does not prove that it is the one."""
    return json_answer(
        "502 Bad Gateway",
        {
            "error": "upstream unreachable" if error.fault == "does not answer" else f"upstream {error.fault}",
            "upstream": upstream.text,
            "reason": str(error),
            "hint": error.hint,
        },
    )
