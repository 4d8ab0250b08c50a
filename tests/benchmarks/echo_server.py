"""The server behind every proxy: echoes each WebSocket frame. One process, picows under uvloop, no extensions.

Strategy: be so cheap that the proxy in front of it is what is measured. One callback, no task per connection. Prints
one JSON line with its port when it listens, serves until it is terminated.
"""

from __future__ import annotations

import argparse
import gc
import os

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from .announce import announce


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview(), frame.fin)


def accept(request: WSUpgradeRequest) -> Echo:
    return Echo()


async def serve(ready_fd: int) -> None:
    server = await ws_create_server(accept, "127.0.0.1", 0, backlog=4_096, websocket_handshake_timeout=60)
    announce(ready_fd, "echo", server.sockets[0].getsockname()[1])
    await server.serve_forever()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ready-fd", type=int, default=1, help="where the ready line goes (standard output)")
    options = arguments.parse_args()
    gc.disable()
    try:
        uvloop.run(serve(options.ready_fd))
    except KeyboardInterrupt:
        os._exit(0)


if __name__ == "__main__":
    main()
