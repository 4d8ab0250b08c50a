"""`mark`: say that something of a stream is at a stage, now.

Strategy: whether there is a relay is decided once, at the first mark: `WSPROXY_MARKERS` unset means that from then on a
mark is one look at one global (0.05 µs). Otherwise the time is taken, then the snapshot of the data, both in the calling
thread, then the packed marker goes to the sender's queue, and last comes the line of log. Nothing that goes wrong on the
way reaches the caller.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable
from typing import Final, ParamSpec

from wsproxy.stages import KNOWN, is_stage

from . import wording
from .delivery import Relay, load
from .sender import Sender
from .snapshot import snapshot, text_of

ADDRESS: Final = "WSPROXY_MARKERS"
TOKEN: Final = "WSPROXY_TOKEN"

LONGEST_ID: Final = 512

P = ParamSpec("P")

_off = False
_sender: Sender | None = None
_deciding = threading.RLock()
_told_of_stages: set[str] = set()


class Packed:
    """Data that is to stand in several marks, packed once."""

    __slots__ = ("packed", "value")

    def __init__(self, value: object) -> None:
        self.value = value
        self.packed = snapshot(value)


def mark(stream_id: str, stage: str, index: int | None = None, data: object = None) -> None:
    """Record that a stream is at a stage, now. Never waits, never raises; does nothing unless WSPROXY_MARKERS is set.

    Args:
        stream_id: the stream's, `litellm_call_id`. Without one there is a line of log and no marker.
        stage: `place.what`, see `wsproxy.stages`; other names are kept and shown too.
        index: which chunk of this stage, from 0.
        data: what is there; of a chunk the chunk itself, because it is matched across stages by its content. Taken as
            it is at this moment, up to 256 KiB; anything goes, an object with `model_dump()` as that.
    """
    if _off:
        return
    record(stream_id, stage, index, data)


def quiet(method: Callable[P, None]) -> Callable[P, None]:
    """Decorate what looks into a host's data before it marks: an exception there is ours, not the host's."""

    @functools.wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        if _off:
            return
        try:
            method(*args, **kwargs)
        except Exception:
            pass  # a mapping that raises, an object that only looks like a message

    return guarded


def enabled() -> bool:
    """Whether marks go anywhere: WSPROXY_MARKERS was set when it was first asked."""
    return not _off and (_sender is not None or _decided() is not None)


def moment() -> tuple[int, int]:
    """Now, for a mark that is made only when its outcome is known: monotonic and wall clock in nanoseconds."""
    return time.monotonic_ns(), time.time_ns()


def record(
    stream_id: object,
    stage: str,
    index: int | None = None,
    data: object = None,
    *,
    at: tuple[int, int] | None = None,
    policy: str = "",
) -> None:
    """`mark` with what only hooks need: `at`, a moment that has passed, and the policy's class for the line of log."""
    try:
        sender = _sender or _decided()
        if sender is None:
            return
        taken = at or (time.monotonic_ns(), time.time_ns())
        if type(stream_id) is not str:
            stream_id = "" if stream_id is None else text_of(stream_id, LONGEST_ID)
        stream = stream_id[:LONGEST_ID]
        if type(index) is not int or not 0 <= index < 1 << 63:
            index = None
        packed = None
        if type(data) is Packed:
            packed, data = data.packed, data.value
        elif data is not None:
            packed = snapshot(data)
        if stream:
            if stage in KNOWN or is_stage(stage):
                sender.put(stream, sender.pack(stream, stage, index, packed, taken))
            else:
                _refuse(sender, stream, stage)
        wording.write(stage, stream or "no id", index, data, policy)
    except Exception:
        pass  # the host's stream matters, this does not; and there is nobody to tell


def _refuse(sender: Sender, stream_id: str, stage: object) -> None:
    """A stage that the relay would answer with 400, for the whole batch."""
    sender.drop(stream_id)
    name = text_of(stage, 100)
    if name not in _told_of_stages and len(_told_of_stages) < 100:
        _told_of_stages.add(name)
        wording.log.warning("%r is no stage: it must be like 'place.what', lower case, at most 64 characters", name)


def _decided() -> Sender | None:
    """The sender; None, for good, when there is to be none."""
    global _sender, _off
    with _deciding:
        if _sender is None and not _off:
            address = os.environ.get(ADDRESS, "").strip()
            try:
                _sender = Sender(Relay(address, os.environ.get(TOKEN) or None)) if address else None
            except ValueError as error:
                wording.log.warning("no stage markers: %s is not usable: %s", ADDRESS, error)
            _off = _sender is None
        return _sender


def _forked() -> None:
    """In a new child: what is queued is the parent's to send, its thread is not here, its locks may be held for ever."""
    global _sender, _deciding
    parents, _sender, _deciding = _sender, None, threading.RLock()
    if parents is not None:
        try:
            parents.relay.forget()  # closes this process's copy of the socket; the parent's stays open
        except Exception:
            pass


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)  # now: a fork in the middle of the first mark must find it
if os.environ.get(ADDRESS):  # there will be marks: what the first would have to import, the import of this does
    load()
