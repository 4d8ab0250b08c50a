"""Peers that speak TLS, byte by byte: with half-closes, ragged ends and resets, none of which the library's own sockets can do.

Strategy: `TlsSocket` has the calls of a socket that `raw.Peer` uses, over an SSLObject; so every conversation of raw peers is one of TLS peers too.
A lock guards the session, since a test may send in one thread and read in another.
"""

from __future__ import annotations

import socket
import ssl
import threading

from .raw import DEADLINE, Peer, RawServer


class TlsSocket:
    """A TLS session on a socket; a blocking handshake is done when it is made.

    Args:
        early: sent together with the last of the handshake.

    Attributes:
        session: the SSLObject, for what it agreed on.
        farewell: whether close_notify has come.
    """

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, server_name: str | None = None, early: bytes = b""
    ) -> None:
        sock.settimeout(DEADLINE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(
            self._in, self._out, server_side=server_name is None, server_hostname=server_name
        )
        self._lock = threading.Lock()
        self.farewell = False
        while True:
            try:
                self.session.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                data = sock.recv(65536)
                if not data:
                    raise ConnectionError("the peer hung up during the handshake") from None
                self._in.write(data)
            except ssl.SSLError:
                self._flush()
                raise
            else:
                if early:
                    self.session.write(early)
                self._flush()
                return

    def sendall(self, data: bytes) -> None:
        for start in range(0, len(data), 1 << 20):
            self.send(data[start : start + (1 << 20)])

    def send(self, data: bytes) -> int:
        with self._lock:
            view = memoryview(data)
            while view:
                view = view[self.session.write(view) :]
            encrypted = self._out.read()
        self.sock.sendall(encrypted)
        return len(data)

    def recv(self, size: int) -> bytes:
        while True:
            with self._lock:
                try:
                    data = self.session.read(size)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLZeroReturnError:
                    self.farewell = True
                    return b""
                else:
                    self.farewell = self.farewell or not data
                    return data
            self._flush()
            raw = self.sock.recv(65536)
            if not raw:
                return b""
            with self._lock:
                self._in.write(raw)

    def shutdown(self, _: int) -> None:
        """close_notify, then FIN; what the other side says is still read."""
        with self._lock:
            try:
                self.session.unwrap()
            except ssl.SSLWantReadError:
                pass
        self._flush()
        self.sock.shutdown(socket.SHUT_WR)

    def _flush(self) -> None:
        with self._lock:
            data = self._out.read()
        if data:
            self.sock.sendall(data)

    def settimeout(self, seconds: float) -> None:
        self.sock.settimeout(seconds)

    def setsockopt(self, *option: int | bytes) -> None:
        self.sock.setsockopt(*option)  # type: ignore[call-overload]

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.sock.close()


class TlsServer(RawServer):
    """A raw server whose connections speak TLS."""

    scheme = "wss"

    def __init__(self, context: ssl.SSLContext, port: int = 0) -> None:
        super().__init__(port)
        self._context = context

    def dress(self, sock: socket.socket) -> Peer:
        return Peer(TlsSocket(sock, self._context))  # type: ignore[arg-type]


def tls_client(port: int, context: ssl.SSLContext, server_name: str = "localhost", early: bytes = b"") -> Peer:
    """A client's end of a TLS connection to a port of this machine."""
    sock = socket.create_connection(("127.0.0.1", port), DEADLINE)
    try:
        peer = Peer(TlsSocket(sock, context, server_name, early))  # type: ignore[arg-type]
    except BaseException:
        sock.close()
        raise
    peer.sent += early
    return peer
