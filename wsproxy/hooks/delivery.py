"""One HTTP connection to the relay's control port: a batch of markers goes out, an `Outcome` comes back.

Strategy: everything that can happen on the way is one of six outcomes, and what to do about each is the sender's
business. The distinction that matters is whether the relay may have kept the batch: then it is not sent again, because
a marker that stands twice in a recording is a wrong finding, and one that is counted as dropped is only a gap.

    GET  {url}/v1/clock     first, for its round trip
    POST {url}/v1/markers   content-type: application/msgpack   authorization: Bearer {token}
                            x-wsproxy-clock: T1 [T1' T2' T3' T4']

The clock header lets a relay on another host place our times, as NTP does: T1 is our monotonic clock at sending. The relay
answers each request with `x-wsproxy-clock: T2 T3` (its clock at receiving and at answering), and the next one repeats that
round trip, with T4' our clock when the answer was there. A relay that knows nothing of it loses nothing.

All but the constructor runs in the sender's thread only.
"""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from http.client import HTTPConnection

CONNECT_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 5.0

_CLOCK: Final = "x-wsproxy-clock"
_BAD: Final = frozenset((400, 413, 422))
_LATER: Final = frozenset((408, 425, 429))


class Outcome(Enum):
    """What became of a batch."""

    KEPT = "kept"
    UNREACHED = "the relay never had it"
    UNKNOWN = "the relay may have it or not"
    LATER = "the relay cannot now"
    BAD = "the relay refuses its content"
    DENIED = "the relay refuses us"


def load() -> None:
    """Import what a `Relay` needs, now: while this package is imported, and so most likely before there are threads.

    A fork while another thread imports leaves the child, and the host's own code there, waiting for that import for ever.
    """
    import http.client
    import urllib.parse

    assert http.client and urllib.parse
    "localhost".encode("idna")  # the codec of look-ups


class Relay:
    """Where markers go.

    Args:
        url: `http://host:port`, with a path in front of `/v1/markers` if there is one; https too.
        token: for the authorization header; None leaves it out.

    Raises:
        ValueError: that is not such a URL.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        # Not at the module's head: a host without a relay need not load them. And not in the sender's thread: see `load`.
        from http.client import HTTPConnection, HTTPSConnection
        from urllib.parse import urlsplit

        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not http://host:port")
        self.where = f"{parts.scheme}://{parts.hostname}:{parts.port or ''}".rstrip(":")
        parts.hostname.encode("idna")  # loads the codec that the name's look-up needs
        self._connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._headers = {"content-type": "application/msgpack"}
        if token:
            if not (token.isascii() and token.isprintable()):
                raise ValueError("the token is not printable ASCII")
            self._headers["authorization"] = f"Bearer {token}"
        self._connection: HTTPConnection | None = None
        self._trip = ""
        self.said = ""  # what went wrong last, in words

    def deliver(self, body: bytes) -> Outcome:
        """Post one batch and wait for the answer, a few seconds at most."""
        if self._connection is not None:
            outcome = self._exchange(self._connection, body)
            if outcome is not None:
                return outcome
            # Gone without a word: almost always a connection that the relay closed while it was idle. So once more.
        try:
            connection = self._connected()
        except Exception as error:  # refused, no such host, no route, TLS
            return self._lost(error, Outcome.UNREACHED)
        return self._exchange(connection, body) or Outcome.UNKNOWN

    def forget(self) -> None:
        """Close the connection, without a word on it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _connected(self) -> HTTPConnection:
        connection = self._open()
        if not self._trip:
            self._ask(connection, "GET", "/v1/clock")
            if self._connection is None:  # it closed after its answer
                connection = self._open()
        return connection

    def _open(self) -> HTTPConnection:
        connection = self._connect(self._host, self._port, timeout=CONNECT_SECONDS)
        connection.connect()  # sets TCP_NODELAY
        connection.sock.settimeout(ANSWER_SECONDS)
        self._connection = connection
        return connection

    def _exchange(self, connection: HTTPConnection, body: bytes) -> Outcome | None:
        """Post over this connection; None when it was gone before there was an answer."""
        try:
            return self._meaning(self._ask(connection, "POST", "/v1/markers", body))
        except ConnectionError as error:  # RemoteDisconnected is one
            self._lost(error, Outcome.UNKNOWN)
            return None
        except Exception as error:  # no answer in time, or one that is not HTTP
            return self._lost(error, Outcome.UNKNOWN)

    def _ask(self, connection: HTTPConnection, method: str, path: str, body: bytes | None = None) -> int:
        """One request and its answer's status. Raises what http.client does."""
        sent = time.monotonic_ns()
        try:
            connection.request(
                method, self._prefix + path, body, {**self._headers, _CLOCK: f"{sent} {self._trip}".rstrip()}
            )
        except ConnectionError:
            pass  # it may have answered before it hung up
        answer = connection.getresponse()
        arrived = time.monotonic_ns()
        while answer.read(65536):
            if time.monotonic_ns() - sent > ANSWER_SECONDS * 1e9:
                raise TimeoutError("the answer does not end")
        if answer.will_close:
            self.forget()
        clock = answer.getheader(_CLOCK, "").split()
        if len(clock) == 2 and all(number.isascii() and number.isdigit() for number in clock):
            self._trip = f"{sent} {clock[0]} {clock[1]} {arrived}"
        return answer.status

    def _meaning(self, status: int) -> Outcome:
        if 200 <= status < 300:
            return Outcome.KEPT
        self.said = f"it answers {status}"
        if status in _BAD:
            return Outcome.BAD
        if status >= 500 or status in _LATER:
            return Outcome.LATER
        if status in (401, 403):
            self.said += ": is WSPROXY_TOKEN right?"
        if status == 421:
            self.said += f": it is not known as {self._host} (--control-host)"
        return Outcome.DENIED

    def _lost(self, error: Exception, outcome: Outcome) -> Outcome:
        self.said = f"{type(error).__name__}: {error}"
        self._trip = ""  # who answers next may have another clock
        self.forget()
        return outcome
