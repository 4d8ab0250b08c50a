"""Whether the hot path is the one in C (`native`), and what that has to know of the Python code that it stands for.

It is, where there was a C compiler when wsproxy was installed, unless WSPROXY_PUREPYTHON says otherwise.
"""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path

from ..recording.disk import Disk
from ..recording.frame_packer import (
    FIRST,
    FORM,
    FRAME,
    LENGTH,
    MASK,
    ODD_FRAME,
    OFFSET,
    PART,
    PAYLOAD,
    PLAIN,
    TIME_NEXT,
)
from ..recording.whole_frames import WholeFramePacker
from ..recording.writer import RecordingWriter
from ..wire.frames import FrameStream
from .ends import READ_SIZE, End
from .lane import Track
from .poller import Poller
from .recorder import ConnectionRecorder
from .splice import Flow
from .stream import Stream

try:
    from . import native
except ImportError:
    native = None  # type: ignore[assignment]


def _remark() -> str | None:
    """Why the C code is there and must not be used, where that is so; it is prepared."""
    source = Path(native.__file__).with_name("native.c")  # in an editable installation
    if source.exists() and hashlib.sha256(source.read_bytes()).hexdigest() != native.SOURCE:
        return f"{source} has changed since it was built, and is not used: install wsproxy anew, 'pip install -e .'"
    try:
        native.prepare(
            (
                Flow,
                End,
                ConnectionRecorder,
                Track,
                FrameStream,
                WholeFramePacker,
                Stream,
                RecordingWriter,
                Disk,
            ),
            FIRST,
            (MASK, PLAIN, PAYLOAD, FRAME, ODD_FRAME, PART, TIME_NEXT, OFFSET, LENGTH, FORM),
        )
    except Exception as error:
        return f"{native.__file__} is of another version ({error}), and is not used: install wsproxy anew"
    return None


_WANTED = native is not None and not os.environ.get("WSPROXY_PUREPYTHON")
REMARK = _remark() if _WANTED else None
NATIVE = _WANTED and REMARK is None


def quicken(poller: Poller) -> None:
    """Let the C code serve what it can of this poller's sockets, if there is any."""
    if NATIVE:
        poller.quicken(partial(native.Server, READ_SIZE))
