"""TCP's own question to a peer that says nothing: is anybody there?

Strategy: a peer whose machine or network is gone sends no FIN and no reset, so its connection would stay open for ever, and the other side would
wait for ever. The kernel can ask, without a byte that anybody sees. A peer that is there answers, however long it has nothing to say or reads
nothing; for one that is not, the socket fails with ETIMEDOUT, which is passed on as a reset and recorded.

Bytes on their way to a peer that is gone are sent again for as long as the kernel says (net.ipv4.tcp_retries2: some 15 minutes), as without
the relay. TCP_USER_TIMEOUT would shorten that, and would cut off slow readers as well: it counts the time in which their window is closed.
"""

from __future__ import annotations

import socket

DEFAULT_SECONDS = 60
UNANSWERED = 4  # questions, then the peer is given up


def ask_when_silent(sock: socket.socket, seconds: int) -> None:
    """Ask after so many seconds of silence, and again; the fifth time there is nobody. 0 asks nothing."""
    if seconds:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, UNANSWERED)
