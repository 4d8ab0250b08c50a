"""wsproxy: a transparent WebSocket man-in-the-middle recorder.

Public, and stays:

- `open(REC, dir="recordings")` gives a `Recording`: `.header`, `.events()`, `.frames()`, `.messages()`, `.markers()`, `.wire("c2s")`.
- `RecordingError`: it cannot be read; the message says what to do.
- `Message`: what `.messages()` yields.
- `diff(a, b)` compares two recordings: `.essence`, `.same`, `.rows`, and what the command prints, as `str()` and `.to_json()`.
- `trace(recording)` and `diagnose(recording)`: what the commands of these names print, as data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Message", "Recording", "RecordingError", "diagnose", "diff", "open", "trace"]

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike
    from typing import Literal

    from .analysis.diagnose import diagnose
    from .analysis.diff.model import Diff
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


def diff(
    a: Recording,
    b: Recording,
    *,
    ignore: Iterable[str] = (),
    only: Iterable[str] = (),
    exact: bool = False,
    frames: bool = False,
    dirs: Iterable[Literal["c2s", "s2c"]] = ("c2s", "s2c"),
    tolerance: float | None = None,
    context: int = 3,
) -> Diff:
    """Compare two recordings, as `wsproxy diff` does.

    Args:
        ignore: places in JSON that do not count: `choices[*].delta`, `**.usage`.
        only: nothing but these places counts.
        exact: ids, times and tokens count too; otherwise those that are only renamed are held equal.
        frames: compare frames as they stood on the wire, not messages.
        dirs: the directions that are looked at.
        tolerance: seconds by which gaps may differ; a gap beyond it is a difference. By default it is a remark, from 50 ms on.
        context: rows around each difference whose contents are kept.

    Returns:
        What differs. `.same` and `.essence` say it in short, `str()` and `.to_json()` as the command does.

    Raises:
        RecordingError: one of them cannot be read.
        WsproxyError: a path that is none.
    """
    from .analysis.diff import compare
    from .analysis.diff.model import Options

    standard = Options()
    options = Options(
        ignore=tuple(ignore),
        only=tuple(only),
        exact=exact,
        frames=frames,
        dirs=tuple(dirs),
        tolerance=standard.tolerance if tolerance is None else round(tolerance * 1e9),
        strict_time=tolerance is not None,
        context=context,
    )
    return compare.diff(a, b, options)


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
