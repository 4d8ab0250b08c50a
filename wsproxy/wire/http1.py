"""HTTP/1.x heads and the extent of bodies, passively.

Strategy: a tap is no party to the conversation, so nothing here is negotiated and nothing is refused: `parse_request` and
`parse_response` read a head that is whole, `request_body` and `response_body` say how the bytes after it are framed (RFC 9112,
section 6), and a body reader tells how many bytes of a buffer still belong to the body. What has no single honest reading (two
different Content-Lengths, a transfer coding that does not end in chunked, garbage where a head should be) raises `NotHttp`;
the tap turns that into opaque bytes. Bytes are never rewritten: heads keep their raw form, bodies their chunk framing.

Cost: each byte of a head is searched once for its end however it is split; bodies are counted, not copied.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEAD_LIMIT = 128 * 1024  # bytes; beyond it a head is no head (servers stop at 8 to 64 KiB)
_LINE_LIMIT = 16 * 1024  # bytes of a chunk-size line or of a trailer line

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_REQUEST_LINE = re.compile(rb"(?:\r?\n)*(" + _TOKEN + rb"+) ([^\x00-\x20\x7f]+) HTTP/1\.([01])\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: ([^\r\n]*))?\r?\n")
_REQUEST_START = re.compile(rb"(?:\r?\n)*\r?(?:" + _TOKEN + rb"{1,64}(?: .*)?)?", re.DOTALL)
_STATUS_START = b"HTTP/1."
_HEAD_END = re.compile(rb"\n\r?\n")
_NAME = re.compile(_TOKEN + rb"+")


class NotHttp(Exception):
    """These bytes have no reading as HTTP/1.x; the message says why."""


class Head(NamedTuple):
    """A request head (`method`, `target`) or a response head (`status`, `reason`), with its fields in order.

    Names keep their case, values are decoded as latin-1.
    """

    method: str
    target: str
    status: int
    reason: str
    minor: int
    fields: list[tuple[str, str]]

    def values(self, name: str) -> list[str]:
        """All values of a field, lower-case `name`, in order; comma lists are not split."""
        return [value for key, value in self.fields if key.lower() == name]

    def tokens(self, name: str) -> list[str]:
        """The comma-separated tokens of a field, in lower case."""
        return [token.strip().lower() for value in self.values(name) for token in value.split(",") if token.strip()]


def head_fields(raw: bytes) -> list[tuple[str, str]]:
    """The fields of a head as (name, value) pairs, from its raw bytes; malformed lines are left out.

    A folded value (RFC 9112, 5.2) is joined with single spaces. Linear in the head, whatever it holds.
    """
    fields: list[tuple[str, list[bytes]]] = []
    for line in raw.lstrip(b"\r\n").split(b"\n")[1:]:
        if line[:1] in (b" ", b"\t"):
            if fields:
                fields[-1][1].append(line.strip(b" \t\r"))
            continue
        name, colon, value = line.partition(b":")
        if colon and _NAME.fullmatch(name):
            fields.append((name.decode("ascii"), [value.strip(b" \t\r")]))
        elif line.strip(b"\r"):
            fields.append(("", []))  # what is folded under a malformed line belongs to nothing
    return [(name, b" ".join(parts).decode("latin-1")) for name, parts in fields if name]


def parse_request(raw: bytes) -> Head:
    """Read a whole request head. Raises NotHttp."""
    line = _REQUEST_LINE.match(raw)
    if line is None:
        raise NotHttp("no HTTP/1.x request line")
    method, target = line[1].decode("ascii"), line[2].decode("latin-1")
    return Head(method, target, 0, "", int(line[3]), head_fields(raw))


def parse_response(raw: bytes) -> Head:
    """Read a whole response head. Raises NotHttp."""
    line = _STATUS_LINE.match(raw)
    if line is None:
        raise NotHttp("no HTTP/1.x status line")
    return Head("", "", int(line[2]), (line[3] or b"").decode("latin-1"), int(line[1]), head_fields(raw))


def head_end(buffer: bytes, searched: int) -> int:
    """Where the head at the start of `buffer` ends (after its empty line), or 0 if it is not whole.

    Args:
        searched: how many bytes earlier calls have searched; makes byte-wise feeding linear.
    """
    start = 0
    while start < 16 and buffer[start : start + 1] in (b"\r", b"\n"):  # empty lines first (RFC 9112, 2.2)
        start += 1
    match = _HEAD_END.search(buffer, max(start, searched - 3))
    return match.end() if match else 0


def could_be_request(buffer: bytes) -> bool:
    """Whether a request head could start like this: tells a TLS hello or garbage at its first bytes."""
    return _REQUEST_START.fullmatch(buffer[:256]) is not None


def could_be_response(buffer: bytes) -> bool:
    """Whether a response head could start like this."""
    return buffer[: len(_STATUS_START)] == _STATUS_START[: len(buffer)]


def wants_upgrade(head: Head) -> bool:
    """Whether a request may leave HTTP: its later bytes have no reading before the answer has come."""
    return head.method == "CONNECT" or (bool(head.values("upgrade")) and "upgrade" in head.tokens("connection"))


class Length:
    """A body of known length."""

    def __init__(self, length: int) -> None:
        self.left = length

    def take(self, buffer: bytes, pos: int) -> tuple[int, bool]:
        """(position after the body's bytes in `buffer`, whether the body is whole)"""
        stop = min(len(buffer), pos + self.left)
        self.left -= stop - pos
        return stop, self.left == 0


class UntilClose:
    """A body that lasts until the connection's end."""

    def take(self, buffer: bytes, pos: int) -> tuple[int, bool]:
        """(end of the buffer, False)"""
        return len(buffer), False


class Chunked:
    """A chunked body (RFC 9112, 7.1), trailers included. `data` collects the decoded bytes if asked to."""

    def __init__(self, *, keep: bool = False) -> None:
        self._state = "size"
        self._left = 0
        self._line = b""
        self.data: list[bytes] | None = [] if keep else None

    def take(self, buffer: bytes, pos: int) -> tuple[int, bool]:
        """(position after the body's bytes in `buffer`, whether the body is whole). Raises NotHttp."""
        end = len(buffer)
        while pos < end:
            if self._state == "data":
                stop = min(end, pos + self._left)
                if self.data is not None:
                    self.data.append(buffer[pos:stop])
                self._left -= stop - pos
                pos = stop
                if not self._left:
                    self._state = "data end"
                continue
            newline = buffer.find(b"\n", pos)
            stop = end if newline < 0 else newline + 1
            if len(self._line) + stop - pos > _LINE_LIMIT:
                raise NotHttp("a line of chunked framing is longer than 16 KiB")
            self._line += buffer[pos:stop]
            pos = stop
            if newline < 0:
                break
            line, self._line = self._line.rstrip(b"\r\n"), b""
            if self._state == "size":
                size = line.split(b";", 1)[0].strip(b" \t")
                if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size):
                    raise NotHttp("bad chunk size")
                self._left = int(size, 16)
                self._state = "data" if self._left else "trailer"
            elif self._state == "data end":
                if line:
                    raise NotHttp("no line end after a chunk")
                self._state = "size"
            elif not line:
                return pos, True
        return pos, False


BodyReader = Length | UntilClose | Chunked


def _framing(head: Head) -> BodyReader | None:
    """Chunked or Length as the fields say; None where they say nothing. Raises NotHttp."""
    codings = head.tokens("transfer-encoding")
    lengths = set(head.tokens("content-length"))
    if codings:
        if lengths:
            raise NotHttp("both Transfer-Encoding and Content-Length")
        if codings[-1] != "chunked":
            raise NotHttp(f"transfer coding {codings[-1]!r} does not tell where the body ends")
        return Chunked()
    if not lengths:
        return None
    if len(lengths) > 1:
        raise NotHttp("contradicting Content-Lengths")
    length = lengths.pop()
    if not re.fullmatch(r"[0-9]{1,19}", length):
        raise NotHttp("bad Content-Length")
    return Length(int(length))


def request_body(head: Head) -> BodyReader | None:
    """How the body of a request is framed; None where there is none. Raises NotHttp."""
    body = _framing(head)
    return None if isinstance(body, Length) and not body.left else body


def response_body(head: Head, method: str) -> BodyReader | None:
    """How the body of a final response is framed; None where there is none. Raises NotHttp.

    Args:
        method: that of the request, since an answer to HEAD has no body whatever its fields say.
    """
    if method == "HEAD" or head.status in (204, 304) or head.status < 200:
        return None
    codings = head.tokens("transfer-encoding")
    if codings and codings[-1] != "chunked" and not head.values("content-length"):
        return UntilClose()
    body = _framing(head)
    if body is None:
        return UntilClose()
    return None if isinstance(body, Length) and not body.left else body


def dechunk(raw: bytes) -> bytes:
    """The data of a chunked body; what is there if it is not whole or not well-formed."""
    reader = Chunked(keep=True)
    try:
        reader.take(raw, 0)
    except NotHttp:
        pass
    return b"".join(reader.data or ())
