"""What keeps a replay from being played at all; what it finds while it plays is in `report`."""

from __future__ import annotations

from ..errors import WsproxyError


class ReplayError(WsproxyError):
    """A replay cannot be played: a wrong selector, no such server, a port taken, a masked header. The message says what to do."""
