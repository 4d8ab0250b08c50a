"""What the kernel knows of the way to a peer: asked once, when a connection is over, at 1 µs a socket. Linux."""

from __future__ import annotations

import socket
import struct

from ..recording.events import Link

# linux/tcp.h: offsets into struct tcp_info
_RETRANSMITTED = 100  # u32: segments sent again
_MIN_RTT = 148  # u32: µs, the least within the last minutes; all ones where none was measured
_SIZE = 152
_UNKNOWN = 0xFFFFFFFF


def link_of(sock: socket.socket) -> Link | None:
    """The way to the peer of a socket; None where the kernel does not say."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    except (OSError, AttributeError):
        return None
    if len(info) < _SIZE:
        return None
    (resent,) = struct.unpack_from("=I", info, _RETRANSMITTED)
    (rtt,) = struct.unpack_from("=I", info, _MIN_RTT)
    return None if rtt == _UNKNOWN else Link(rtt, resent)
