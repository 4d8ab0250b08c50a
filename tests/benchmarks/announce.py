"""How a process says that it is ready: one JSON line on an inherited file descriptor, as `wsproxy record --ready-fd` does."""

from __future__ import annotations

import json
import os


def announce(ready_fd: int, who: str, port: int) -> None:
    """Write `{"ready": who, "port": port}` and a newline to `ready_fd`."""
    os.write(ready_fd, json.dumps({"ready": who, "port": port}).encode() + b"\n")
