"""wsproxy: a transparent WebSocket man-in-the-middle recorder.

Public, and stays:

- `open(REC, dir="recordings")` gives a `Recording`: `.header`, `.events()`, `.frames()`, `.messages()`, `.markers()`, `.wire("c2s")`.
- `RecordingError`: it cannot be read; the message says what to do.
- `Message`: what `.messages()` yields.
- `trace(recording)` and `diagnose(recording)`: what the commands of these names print, as data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Message", "Recording", "RecordingError", "diagnose", "open", "trace"]

if TYPE_CHECKING:
    from os import PathLike

    from .analysis.diagnose import diagnose
    from .analysis.trace import trace
    from .errors import RecordingError
    from .recording.messages import Message
    from .recording.reader import Recording


def open(rec: str | PathLike[str], dir: str | PathLike[str] = "recordings") -> Recording:
    """Open a recording.

    Args:
        rec: a path, `@last`, `@2` (the second last) …, or a unique prefix of a stream id.
        dir: the folder in which ids and `@` are looked for.

    Raises:
        RecordingError: no such recording, or not one.
    """
    from .recording.folder import open_recording

    return open_recording(str(rec), dir)


def __getattr__(name: str) -> object:
    """Load the public classes when they are asked for: `import wsproxy` alone loads nothing."""
    if name == "RecordingError":
        from .errors import RecordingError

        return RecordingError
    if name == "Recording":
        from .recording.reader import Recording

        return Recording
    if name == "Message":
        from .recording.messages import Message

        return Message
    if name == "trace":
        from .analysis.trace import trace

        return trace
    if name == "diagnose":
        from .analysis.diagnose import diagnose

        return diagnose
    raise AttributeError(f"module 'wsproxy' has no attribute {name!r}")
