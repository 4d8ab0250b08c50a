"""Who may use the control port.

Strategy: questions that a request's head answers, asked before anything of its body is read; the first that fails refuses it.

- How often: a bucket of requests and one of bytes for each address, so that nobody can keep the relay from relaying.
- From a web page? A browser says which page asks (`Origin`, `Sec-Fetch-Site`), and cannot be made to leave it out. A page of another place
  is refused, preflights included: no CSRF.
- Under which name? A page whose own name was rebound to our address is of the same origin to its browser, but its requests carry that name
  as their `Host`. So a name must be one that nobody can register: an IP address, localhost, a name without a dot (what compose and Kubernetes
  call a service), this machine's, or one that was given to us. Whoever has the token is no such page, and may use any name.
- With the token, where there is one. Only /healthz is open: what starts and watches services has no secrets.

Cost: 13 µs per request without a token, 3 µs with one.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

REQUESTS_PER_SECOND = 1_000  # of one address; a hook sends 50 at most, with up to 1,000 markers in each
BYTES_PER_SECOND = 64 << 20  # likewise; 20,000 markers with chunks are 12 MiB
_ADDRESSES_KEPT = 1_024
_OPEN = "/healthz"


class Refusal(NamedTuple):
    """Why a request is not served: a status, a sentence that says what to do, and further header fields."""

    status: int
    words: str
    fields: Mapping[str, str] = {}


class Access:
    """Judges requests.

    Args:
        token: what `Authorization: Bearer` must carry; None asks nobody.
        names: further names, or addresses, under which the control port may be called.
    """

    def __init__(self, token: str | None, names: Collection[str] = ()) -> None:
        self._bearer = None if token is None else f"Bearer {token}".encode("utf-8", "surrogateescape")
        self._names = {_plain(name) for name in (*names, socket.gethostname())}
        self.rates = Rates()

    def refused(self, path: str, head: CIMultiDictProxy[str], address: str, now: float) -> Refusal | None:
        """Why this request is not served; None where it is.

        Args:
            address: of the peer.
            now: seconds on any clock that only goes forwards.
        """
        if path != _OPEN and not self.rates.request(address, now):
            return Refusal(
                429, "too many requests from this address: send several markers in one", {"Retry-After": "1"}
            )
        trusted = self._has_token(head)
        return self._as_a_page(head) or (None if trusted else self._under_a_name(head) or self._without_token(path))

    def _has_token(self, head: CIMultiDictProxy[str]) -> bool:
        given = head.get("Authorization", "").encode("utf-8", "surrogateescape")
        return self._bearer is not None and hmac.compare_digest(given, self._bearer)

    def _without_token(self, path: str) -> Refusal | None:
        if self._bearer is None or path == _OPEN:
            return None
        words = "this relay asks for its token: Authorization: Bearer $WSPROXY_TOKEN"
        return Refusal(401, words, {"WWW-Authenticate": 'Bearer realm="wsproxy"'})

    def _as_a_page(self, head: CIMultiDictProxy[str]) -> Refusal | None:
        origins = head.getall("Origin", [])
        host = head.get("Host", "").lower()
        foreign = any(_authority(origin) != host for origin in origins)
        if foreign or head.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return Refusal(403, "pages of other origins may not use the control port: ask from a program")
        return None

    def _under_a_name(self, head: CIMultiDictProxy[str]) -> Refusal | None:
        hosts = head.getall("Host", [])
        if all(map(self._is_ours, hosts)) and len(hosts) <= 1:
            return None
        shown = " ".join(hosts)[:100]
        words = (
            f"{shown!r} is not a name of this relay: call it by its address, or tell it that name with --control-host"
        )
        return Refusal(421, words)

    def _is_ours(self, host: str) -> bool:
        name = _plain(host)
        if name in self._names or name.endswith(".localhost"):
            return True
        return _is_address(name) or (bool(name) and "." not in name)


class Rates:
    """What each address has left of its requests and bytes. Of more addresses than are kept, the longest silent is forgotten."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, list[float]] = OrderedDict()  # [when, requests, bytes]

    def request(self, address: str, now: float) -> bool:
        """Whether one more request may be made; counts it if so."""
        left = self._of(address, now)
        if left[1] < 1 or left[2] <= 0:
            return False
        left[1] -= 1
        return True

    def received(self, address: str, size: int, now: float) -> None:
        """Count the bytes of a request's body (or more, if they cost more); what is too much is owed."""
        self._of(address, now)[2] -= size

    def _of(self, address: str, now: float) -> list[float]:
        key = _network(address)
        left = self._left.get(key)
        if left is None:
            if len(self._left) >= _ADDRESSES_KEPT:
                self._left.popitem(last=False)
            left = self._left[key] = [now, 2 * REQUESTS_PER_SECOND, BYTES_PER_SECOND]
            return left
        self._left.move_to_end(key)
        seconds = now - left[0]
        left[0] = now
        left[1] = min(left[1] + seconds * REQUESTS_PER_SECOND, 2 * REQUESTS_PER_SECOND)
        left[2] = min(left[2] + seconds * BYTES_PER_SECOND, BYTES_PER_SECOND)
        return left


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what is bound to this address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return _plain(host) == "localhost"


def _network(address: str) -> str:
    """What one machine can choose its addresses from: of IPv6 the upper half."""
    return ":".join(address.split(":")[:4]) if ":" in address else address


def _plain(host: str) -> str:
    """A name in lower case, without port, brackets and the dot of the root."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if host.count(":") == 1:
        host = host.partition(":")[0]
    return host.removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _authority(origin: str) -> str:
    """HOST:PORT of an origin, as a Host field has it; nothing where it has none (`null`)."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
