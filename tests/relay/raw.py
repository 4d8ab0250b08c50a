"""Raw TCP peers: what the relay stands between, byte by byte.

Strategy: a `Peer` is one end of a connection that remembers everything it sent and received, so a test can end with "what one side sent
is what the other side got". All reads are blocking with one deadline; a test never sleeps, it reads until the bytes or the end are there.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager

DEADLINE = 40.0  # seconds for any single wait; only a failing test gets there
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"


class Peer:
    """One end of a TCP connection.

    Attributes:
        sent: all bytes that the kernel took from us.
        received: all bytes that we read.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(DEADLINE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.sent = bytearray()
        self.received = bytearray()

    def __del__(self) -> None:
        self.sock.close()  # a test lets go of its peers

    def send(self, *parts: bytes) -> None:
        """Send each part with a `send` of its own."""
        for part in parts:
            self.sock.sendall(part)
            self.sent += part

    def send_bytewise(self, data: bytes, to: Peer) -> None:
        """Send single bytes, each only when the one before has arrived: no two can share a segment."""
        for byte in data:
            self.send(bytes((byte,)))
            to.read(1)

    @contextmanager
    def sending(self, data: bytes) -> Iterator[None]:
        """Send in the background, for what no buffer on the way holds; all is sent when the block ends."""
        thread = threading.Thread(target=self.send, args=(data,), daemon=True)
        thread.start()
        yield
        thread.join(DEADLINE)
        assert not thread.is_alive(), "the sender is still blocked"

    def send_until_blocked(self, block: bytes, seconds: float = 1.0) -> None:
        """Send copies of `block` until the kernel takes no more for `seconds`."""
        self.sock.settimeout(seconds)
        try:
            while True:
                self.sent += block[: self.sock.send(block)]
        except TimeoutError:
            pass
        self.sock.settimeout(DEADLINE)

    @contextmanager
    def sending_until_it_breaks(self, block: bytes) -> Iterator[None]:
        """Send copies of `block` in the background until the connection fails; it has failed when the block ends."""

        def flood() -> None:
            try:
                while True:
                    self.sock.sendall(block)
            except (ConnectionResetError, BrokenPipeError):
                pass

        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        yield
        thread.join(DEADLINE)
        assert not thread.is_alive(), "the sender never learned of the end"

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        start = len(self.received)
        while (missing := start + size - len(self.received)) > 0:
            data = self.sock.recv(min(missing, 1 << 20))
            assert data, f"the connection ended {missing} bytes early, after {bytes(self.received[-200:])!r}"
            self.received += data
        return bytes(self.received[start:])

    def read_head(self) -> bytes:
        """An HTTP head, to its empty line."""
        start = len(self.received)
        while not self.received.endswith(b"\r\n\r\n", start):
            self.read(1)
        return bytes(self.received[start:])

    def read_to_fin(self) -> bytes:
        """Everything up to a FIN; a reset is an error."""
        start = len(self.received)
        while data := self.sock.recv(1 << 20):
            self.received += data
        return bytes(self.received[start:])

    def read_to_reset(self) -> bytes:
        """Everything up to a reset; a FIN is an error."""
        start = len(self.received)
        try:
            while data := self.sock.recv(1 << 20):
                self.received += data
        except ConnectionResetError:
            return bytes(self.received[start:])
        raise AssertionError(f"a FIN came, where a reset was sent, after {len(self.received)} bytes")

    def wait_for_the_end(self) -> None:
        """The kernel knows that the connection is dead (EPOLLHUP), although nothing is read from it any more."""
        poll = select.poll()
        poll.register(self.sock, 0)
        assert poll.poll(3000), "the connection still looks alive"

    def unacknowledged(self) -> int:
        """How many bytes the other side's kernel has not taken yet."""
        return int.from_bytes(fcntl.ioctl(self.sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)

    def finish(self) -> None:
        """Send a FIN and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Abort: RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.sock.close()

    def close(self) -> None:
        self.sock.close()


class RawServer:
    """A listening socket that hands the test each connection."""

    scheme = "ws"

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self._listener = socket.create_server((host, port), backlog=4096)
        self._listener.settimeout(DEADLINE)
        self.port: int = self._listener.getsockname()[1]
        self._peers: list[Peer] = []

    def accept(self) -> Peer:
        sock, _ = self._listener.accept()
        try:
            peer = self.dress(sock)
        except BaseException:
            sock.close()
            raise
        self._peers.append(peer)
        return peer

    def dress(self, sock: socket.socket) -> Peer:
        return Peer(sock)

    def close(self) -> None:
        """Stop listening and close every connection."""
        self._listener.close()
        for peer in self._peers:
            peer.close()


def frame(
    payload: bytes = b"",
    opcode: int = TEXT,
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
    form: int | None = None,
    length: int | None = None,
) -> bytes:
    """A WebSocket frame, right or wrong.

    Args:
        rsv: the three reserved bits, 0 to 7.
        form: write the length in 7, 16 or 64 bits; the shortest by default.
        length: announce this instead of the payload's own.
    """
    size = len(payload) if length is None else length
    form = form or (7 if size < 126 else 16 if size < 1 << 16 else 64)
    b0, masked = fin << 7 | rsv << 4 | opcode, 0x80 if mask is not None else 0
    if form == 7:
        head = bytes((b0, masked | size))
    elif form == 16:
        head = struct.pack(">BBH", b0, masked | 126, size)
    else:
        head = struct.pack(">BBQ", b0, masked | 127, size)
    return head + payload if mask is None else head + mask + masked_with(payload, mask)


def masked_with(payload: bytes, mask: bytes) -> bytes:
    """XOR with the mask; written out here so that the relay's own masking is not its own witness."""
    if not payload:
        return b""
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")


def close_frame(code: int, reason: str = "", *, mask: bytes | None = None) -> bytes:
    return frame(code.to_bytes(2, "big") + reason.encode(), CLOSE, mask=mask)


def upgrade(target: str, *fields: str) -> bytes:
    """The request head of a WebSocket handshake."""
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: example.test",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *fields,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


def request(method: str, target: str, *fields: str, body: bytes = b"") -> bytes:
    """An HTTP/1.1 request; a body gets its Content-Length unless a field says otherwise."""
    if body and not any(field.lower().startswith(("content-length", "transfer-encoding")) for field in fields):
        fields += (f"Content-Length: {len(body)}",)
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: example.test", *fields]).encode() + b"\r\n\r\n" + body


def response(status: str, *fields: str, body: bytes = b"") -> bytes:
    """An HTTP/1.1 response; Content-Length as for `request`."""
    if not any(field.lower().startswith(("content-length", "transfer-encoding")) for field in fields):
        fields += (f"Content-Length: {len(body)}",)
    return "\r\n".join([f"HTTP/1.1 {status}", *fields]).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes) -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
