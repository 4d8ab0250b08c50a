"""Play either side of a recording, faithfully, and ask "what if".

```python
from wsproxy import replay

async with replay.serve("good.msgpack", edits=[replay.delay("grep:BLOCKED", 0.3)]) as server:
    ...  # point a real client at server.url
print(server.report.mismatches)

report = await replay.play("good.msgpack", "ws://127.0.0.1:8081", pace=replay.at_once)
```

Public, and stays:

- `play(recording, url, ...)`: be the client; returns a `Report`.
- `serve(recordings, host, port, ...)`: be the server; an async context manager with `.url`, `.report`, `.idle()`.
- `Report`, `Mismatch`: what was said, where it was not as recorded, how well the schedule was kept.
- Edits of what the played side says: `delay`, `drop`, `duplicate`, `swap`, `corrupt`, `truncate_after`, `close_with`, `reset_after`,
  `set_value`. Selectors are those of `wsproxy replay --help`.
- Paces: `recorded`, `at_once`, `speed(N)`, `max_idle(S)`, `compose(...)`.
- `ReplayError`: it cannot be played; the message says what to do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

_HOMES = {
    "play": "client",
    "serve": "server",
    "Server": "server",
    "Report": "report",
    "Mismatch": "report",
    "ReplayError": "problems",
    "Edit": "whatif",
    "delay": "whatif",
    "drop": "whatif",
    "duplicate": "whatif",
    "swap": "whatif",
    "corrupt": "whatif",
    "truncate_after": "whatif",
    "close_with": "whatif",
    "reset_after": "whatif",
    "set_value": "identities",
    "recorded": "pacing",
    "at_once": "pacing",
    "speed": "pacing",
    "max_idle": "pacing",
    "compose": "pacing",
}
__all__ = [
    "Edit",
    "Mismatch",
    "ReplayError",
    "Report",
    "Server",
    "at_once",
    "close_with",
    "compose",
    "corrupt",
    "delay",
    "drop",
    "duplicate",
    "max_idle",
    "play",
    "recorded",
    "reset_after",
    "serve",
    "set_value",
    "speed",
    "swap",
    "truncate_after",
]

if TYPE_CHECKING:
    from .client import play
    from .identities import set_value
    from .pacing import at_once, compose, max_idle, recorded, speed
    from .problems import ReplayError
    from .report import Mismatch, Report
    from .server import Server, serve
    from .whatif import Edit, close_with, corrupt, delay, drop, duplicate, reset_after, swap, truncate_after


def __getattr__(name: str) -> object:
    """Load a public name when it is asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'wsproxy.replay' has no attribute {name!r}")
    return getattr(importlib.import_module(f"wsproxy.replay.{home}"), name)
