"""One question to a port over HTTP/1.1, and its answer or why there is none.

Strategy: a connection per question, a deadline of its own, no redirects, no proxies: what is asked here is next door, and an environment's
`http_proxy` must not stand between.
"""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

SECONDS = 5.0


class NoAnswer(Exception):
    """Nothing answered; the message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`sent` and `came` are our monotonic clock in nanoseconds before the question and behind the answer."""

    status: int
    body: bytes
    fields: dict[str, str]
    sent: int
    came: int

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one if it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


def ask(
    url: str, path: str, *, method: str = "GET", body: Any = None, token: str | None = None, timeout: float = SECONDS
) -> Answer:
    """Ask `path` below `url` (http or https). Raises NoAnswer."""
    parts = urlsplit(url)
    https = parts.scheme in ("https", "wss")
    try:
        kind = http.client.HTTPSConnection if https else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    except (ValueError, http.client.InvalidURL):
        raise NoAnswer(f"{url} is no address") from None
    fields = {"Connection": "close"}
    data = None
    if body is not None:
        fields["Content-Type"] = "application/json"
        data = json.dumps(body).encode()
    if token:
        fields["Authorization"] = f"Bearer {token}"
    sent = time.monotonic_ns()
    try:
        connection.request(method, parts.path.rstrip("/") + path, data, fields)
        answer = connection.getresponse()
        content = answer.read(1 << 20)
    except TimeoutError:
        raise NoAnswer(f"no answer within {timeout:g} s") from None
    except http.client.HTTPException as error:
        raise NoAnswer(f"no HTTP ({type(error).__name__})") from None
    except (OSError, ValueError) as error:
        raise NoAnswer((getattr(error, "strerror", None) or str(error)).lower()) from None
    finally:
        connection.close()
    given = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, content, given, sent, time.monotonic_ns())
