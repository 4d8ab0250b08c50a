"""An established TLS session as a channel of a splice.

Strategy: the session works on memory (`ssl.MemoryBIO`); this class carries bytes between it and the socket. Each `recv` takes one read from the
kernel and decrypts all whole records of it, so OpenSSL never sits on decrypted bytes that nobody asks for, and what comes out of one read is
at most that read and the rest of one record (16 KiB) more. What follows the last byte (close_notify, a broken record) is kept for the next `recv`,
which `holds` announces. What the kernel does not take of the encrypted bytes is the backlog: at most one `send`, since none is taken on top.

Ends: close_notify is the end of a direction, and so is a FIN without it (`cut`: many peers do that; it cannot be told from an attack that cuts
the stream, so it is passed on as what it is: a FIN without close_notify where the other side speaks TLS). `finish` sends close_notify, then
FIN, and goes on reading. A record that does not decrypt, or an alert, ends the channel: `LayerFailure`.

Answers that TLS gives by itself (key updates, alerts) leave with the next bytes, or at once if the kernel takes them.
"""

from __future__ import annotations

import socket
import ssl

from .ends import AGAIN, READ_SIZE, LayerFailure
from .tls import Established, words

_RECORD = 16384  # bytes; what one read of a session gives at most
_ANSWERS = 1 << 20  # bytes of TLS's own answers that may wait for a peer that reads nothing


class TlsChannel:
    """See the module.

    Args:
        established: a handshake that is done. Bytes that came on its heels are held for the first `recv`.
    """

    __slots__ = ("_ahead", "_backlog", "_ending", "_finishing", "_incoming", "_outgoing", "_session", "_sock", "cut")

    def __init__(self, sock: socket.socket, established: Established) -> None:
        self._sock = sock
        self._session, self._incoming, self._outgoing = established
        self._backlog: memoryview | bytes = b""
        self._ending: LayerFailure | bytes | None = None  # what `recv` gives after the last byte, once it is known
        self._finishing = False
        self.cut = False
        self._ahead = self._decrypt()

    @property
    def backlog(self) -> bool:
        return bool(self._backlog)

    @property
    def replaced(self) -> bool:
        return False

    @property
    def holds(self) -> bool:
        return bool(self._ahead) or self._ending is not None

    def recv(self, size: int, /) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead, b""
            return data
        if self._ending is None:
            self._take(self._sock.recv(READ_SIZE))
            data = self._decrypt()
            if data:
                return data
        if self._ending is None:
            raise BlockingIOError
        if isinstance(self._ending, LayerFailure):
            raise self._ending
        return self._ending

    def send(self, data: bytes | memoryview, /) -> int:
        if self._backlog:
            raise BlockingIOError
        view = memoryview(data)
        try:
            while view:
                view = view[self._session.write(view) :]  # a record at a time
        except ssl.SSLError as error:
            raise LayerFailure(f"TLS: {words(error)}") from None
        self._encrypted()
        self.flush()
        return len(data)

    def flush(self) -> None:
        while self._backlog:
            try:
                sent = self._sock.send(self._backlog)
            except AGAIN:
                return
            self._backlog = memoryview(self._backlog)[sent:]
        self._backlog = b""
        if self._finishing:
            self._finishing = False
            self._sock.shutdown(socket.SHUT_WR)

    def finish(self, *, cut: bool) -> None:
        if not cut:
            try:
                self._session.unwrap()
            except ssl.SSLError:
                pass  # it wants the peer's close_notify, which comes when that has no more to say
            self._encrypted()
        self._finishing = True
        self.flush()

    def _take(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self.cut = True
            self._ending = b""

    def _decrypt(self) -> bytes:
        """What the whole records hold; notes what follows them."""
        parts: list[bytes] = []
        while self._ending is None:
            try:
                part = self._session.read(_RECORD)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                part = b""
            except ssl.SSLError as error:
                self._ending = LayerFailure(f"TLS: {words(error)}")
                break
            if not part:
                self._ending = b""
                break
            parts.append(part)
        if self._outgoing.pending:
            self._encrypted()
            try:
                self.flush()
            except OSError:
                pass  # the next `send` or `recv` says so
            if len(self._backlog) > _ANSWERS and self._ending is None:
                self._ending = LayerFailure("TLS: the peer asks for answers and takes none")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _encrypted(self) -> None:
        """Take what the session wants to send."""
        data = self._outgoing.read()
        if data:
            self._backlog = b"".join((self._backlog, data)) if self._backlog else data
