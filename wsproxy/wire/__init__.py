"""Bytes to events and back: HTTP/1.1 heads and bodies, WebSocket frames, permessage-deflate.

Everything here is sans-I/O: no sockets, files, clocks or event loops.
"""
