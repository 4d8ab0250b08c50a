"""A recording as it may be committed: without credentials, or not at all.

Strategy: the one place that decides what of a recording gets into a cassette. Secrets are masked as `wsproxy redact` does it, so that a cassette
plays, and `wsproxy verify` proves what it can. What cannot be read cannot be masked either, and cannot be played without its bytes: such a
recording is refused.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import WsproxyError
from ..recording.reader import Recording
from ..secrets.copy import learn, write_copy
from ..secrets.masking import Masker, rules
from ..wire.events import WITHHELD


class HoldsCredentials(WsproxyError):
    """A recording may have a credential where it cannot be taken out."""


def copy(source: Path, target: Path) -> None:
    """Copy a recording as it is."""
    target.write_bytes(source.read_bytes())


def redacted_copy(source: Path, target: Path) -> None:
    """Copy a recording without its credentials.

    Raises:
        HoldsCredentials: one may stand where it cannot be taken out; nothing was written.
    """
    recording = Recording(source)
    masker = Masker(rules())
    for _ in learn(recording, masker):
        pass
    copied = write_copy(recording, target, masker)
    if WITHHELD in copied.redacted:
        target.unlink()
        raise HoldsCredentials(f"{copied.redacted[WITHHELD]:,} messages or bodies that cannot be read")
