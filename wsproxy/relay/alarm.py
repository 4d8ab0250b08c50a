"""A descriptor that becomes readable when a time has come: Linux's `timerfd`, which Python has from 3.13 on only.

Strategy: a wait with a timeout has to know the clock before and after, and the kernel sets up a timer for each; one alarm serves any number of waits.
Measured: 0.6 µs of the 10 µs that forwarding and recording a frame takes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time

_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_NS = 1_000_000_000


class _Times(ctypes.Structure):
    """`struct itimerspec`."""

    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns")]


class Alarm:
    """One alarm. Raises OSError where the system has none.

    Attributes:
        fd: readable from the set time on, until `hear`.
    """

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            self._set, create = libc.timerfd_settime, libc.timerfd_create
        except AttributeError as error:
            raise OSError(str(error)) from None
        self.fd: int = create(time.CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._times = _Times()
        self._address = ctypes.byref(self._times)

    def set(self, seconds: float) -> None:
        """It goes off so many seconds from now; what was set before is forgotten."""
        whole, part = divmod(max(int(seconds * _NS), 1), _NS)
        self._times.first_s, self._times.first_ns = whole, part
        self._set(self.fd, 0, self._address, None)

    def hear(self) -> None:
        """It has gone off: be quiet until it is set again."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)

    def close(self) -> None:
        os.close(self.fd)
