"""When a stage marker was made, on the relay's clock.

Strategy: the best that its sender could give, in this order:

- `t_mono_ns` with this kernel's `boot_id`: the same clock, exact (unless a round trip proves that it is another one: a time namespace).
- `t_mono_ns` of another clock, placed by the round trips of its sender's requests, with a bound of the error (`read_offset`).
- `t_wall_ns`: by the wall clocks of both; the error is at least what they differ, so it is bounded by the way back from its arrival.
- nothing: the time of arrival.
"""

from __future__ import annotations

import socket
import time
from typing import Any, NamedTuple

DAY_NS = 86_400 * 1_000_000_000  # a marker that is further off has an impossible time
_BOOT_ID_LIMIT = 200  # bytes


class BadMarkers(ValueError):
    """The batch is refused; the message names the field."""


class Clock(NamedTuple):
    """The relay's clocks at the arrival of a batch, in nanoseconds, its kernel, and what the sender says of its own clock."""

    mono_ns: int
    wall_ns: int
    boot_id: str
    offset: tuple[int, int] | None = None  # relay's monotonic clock minus sender's, bound of the error

    @property
    def shared(self) -> bool:
        """Whether a sender of our kernel has our clock: nothing says otherwise."""
        return self.offset is None or abs(self.offset[0]) <= self.offset[1]


def boot_id() -> str:
    """Tells whether two processes share a monotonic clock: equal on one kernel since its start."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return f"{socket.gethostname()}-{time.time_ns() - time.monotonic_ns():x}"[:64]


def read_offset(header: str | None) -> tuple[int, int] | None:
    """What a sender's `x-wsproxy-clock` says: (relay's monotonic clock minus the sender's, bound of the error), nanoseconds.

    The header is `T1 [T1' T2' T3' T4']`: the sender's clock now, and an earlier round trip, sent and answered by its clock (T1', T4'), received
    and answered by ours (T2', T3'). As NTP has it (RFC 5905, section 8) the offset is ((T2-T1)+(T3-T4))/2, wrong by at most half of the time on
    the way. None: no round trip yet.

    Raises:
        BadMarkers: it is not of that form.
    """
    if not header:
        return None
    numbers = header.split()
    if (
        len(header) > 110
        or len(numbers) not in (1, 5)
        or not all(number.isascii() and number.isdigit() for number in numbers)
    ):
        raise BadMarkers("x-wsproxy-clock: must be one or five whole numbers of nanoseconds")
    if len(numbers) == 1:
        return None
    t1, t2, t3, t4 = map(int, numbers[1:])
    offset, error_ns = ((t2 - t1) + (t3 - t4)) // 2, ((t4 - t1) - (t3 - t2) + 1) // 2
    if not 0 <= error_ns < DAY_NS:
        raise BadMarkers("x-wsproxy-clock: an impossible round trip")
    return offset, error_ns


def placed(m: dict[Any, Any], clock: Clock) -> tuple[int, int]:
    """(time on the relay's monotonic clock, bound of its error) in nanoseconds, of a marker whose text is bytes. Raises BadMarkers."""
    boot_id = m.get(b"boot_id")
    if boot_id is not None and (type(boot_id) is not bytes or len(boot_id) > _BOOT_ID_LIMIT):
        raise BadMarkers("boot_id: must be a string")
    ours = clock.shared and boot_id == clock.boot_id.encode()
    offset, error_ns = (0, 0) if ours else clock.offset or (0, 0)
    comparable = ours or clock.offset is not None
    mono_ns = _instant(m, "t_mono_ns", clock.mono_ns - offset if comparable else None)
    wall_ns = _instant(m, "t_wall_ns", clock.wall_ns)
    if mono_ns is not None and comparable:
        return mono_ns + offset, error_ns
    if wall_ns is not None:
        late = clock.wall_ns - wall_ns
        return clock.mono_ns - late, abs(late)
    return clock.mono_ns, 0


def _instant(m: dict[Any, Any], key: str, now: int | None) -> int | None:
    value = m.get(key.encode())
    if value is None:
        return None
    if type(value) is not int:
        raise BadMarkers(f"{key}: must be a whole number of nanoseconds")
    if value < 0 or (now is not None and abs(value - now) > DAY_NS):
        raise BadMarkers(f"{key}: an impossible time: more than a day away from now")
    return value
