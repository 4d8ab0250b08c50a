"""Stage markers from outside: read, checked, and put on the relay's clock.

Strategy: a batch is accepted whole or not at all, so everything is checked before anything is kept; what is wrong is named by its place
(`markers[3].stage`). A marker's time is the best that its sender could give:

- `t_mono_ns` of a clock that is not ours, placed by the round trips of its sender's requests, with a bound of the error (`read_offset`).
- `t_mono_ns` with this kernel's `boot_id`: the same clock, exact.
- `t_wall_ns`: by the wall clocks of both; the error is at least what they differ, so it is bounded by the way back from its arrival.
- nothing: the time of arrival.

Cost: about 3 µs per marker, msgpack or JSON.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import msgpack

from ..recording.format import Marker
from ..stages import is_stage

BODY_LIMIT = 8 << 20  # bytes of one request
BATCH_LIMIT = 20_000  # markers of one request
DATA_LIMIT = 1 << 20  # bytes of one marker's data, as msgpack
ID_LIMIT = 1024  # characters of a stream id
SOURCE_LIMIT = 200  # characters
DAY_NS = 86_400 * 1_000_000_000  # a marker that is further off has an impossible time

_pack = msgpack.Packer(use_bin_type=True, unicode_errors="backslashreplace").pack


class BadMarkers(ValueError):
    """The batch is refused; the message names the field."""


class Clock(NamedTuple):
    """The relay's clocks at the arrival of a batch, in nanoseconds, its kernel, and what the sender says of its own clock."""

    mono_ns: int
    wall_ns: int
    boot_id: str
    offset: tuple[int, int] | None = None  # relay's monotonic clock minus sender's, bound of the error


def read_offset(header: str | None) -> tuple[int, int] | None:
    """What a sender's `x-wsproxy-clock` says: (relay's monotonic clock minus the sender's, bound of the error), nanoseconds.

    The header is `T1 [T1' T2' T3' T4']`: the sender's clock now, and an earlier round trip, sent and answered by its clock (T1', T4'), received
    and answered by ours (T2', T3'). As NTP has it (RFC 5905, section 8) the offset is ((T2-T1)+(T3-T4))/2, wrong by at most half of the time on
    the way. None: no round trip yet, or the two are one clock as far as that can tell.

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
    return None if abs(offset) <= error_ns else (offset, error_ns)


def read_markers(body: bytes, content_type: str, clock: Clock) -> dict[str, list[Marker]]:
    """The markers of a request by stream id, their times on the relay's monotonic clock.

    Args:
        content_type: `application/msgpack` (or x-msgpack), anything else is read as JSON.

    Raises:
        BadMarkers: nothing of it may be kept.
    """
    parsed = _parsed(body, content_type)
    # What came as msgpack can be written as msgpack; JSON has numbers that cannot.
    check_data = "msgpack" not in content_type or len(body) > DATA_LIMIT
    batch = parsed if isinstance(parsed, list) else [parsed]
    if len(batch) > BATCH_LIMIT:
        raise BadMarkers(f"markers: {len(batch):,} of them; send at most {BATCH_LIMIT:,} at once")
    out: dict[str, list[Marker]] = {}
    for number, m in enumerate(batch):
        try:
            stream_id, marker = _marker(m, clock, check_data=check_data)
        except BadMarkers as error:
            where = f"markers[{number}]." if isinstance(parsed, list) else ""
            raise BadMarkers(f"{where}{error}") from None
        out.setdefault(stream_id, []).append(marker)
    return out


def _parsed(body: bytes, content_type: str) -> Any:
    try:
        if "msgpack" in content_type:
            return msgpack.unpackb(body, raw=False, strict_map_key=False)
        return json.loads(body)
    except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
        kind = "msgpack" if "msgpack" in content_type else "JSON"
        raise BadMarkers(f"body: not {kind}: {error or type(error).__name__}") from None


def _marker(m: Any, clock: Clock, *, check_data: bool) -> tuple[str, Marker]:
    if type(m) is not dict:
        raise BadMarkers("marker: not an object")
    stream_id, stage, index, source = m.get("stream_id"), m.get("stage"), m.get("index"), m.get("source")
    if type(stream_id) is not str or not 0 < len(stream_id) <= ID_LIMIT:
        raise BadMarkers(f"stream_id: must be a string of 1 to {ID_LIMIT:,} characters")
    if type(stage) is not str or not is_stage(stage):
        raise BadMarkers("stage: must be a dotted lower-case name such as policy.chunk_in, of at most 64 characters")
    if index is not None and (type(index) is not int or not 0 <= index < 1 << 63):
        raise BadMarkers("index: must be a whole number from 0")
    if source is not None and (type(source) is not str or len(source) > SOURCE_LIMIT):
        raise BadMarkers(f"source: must be a string of at most {SOURCE_LIMIT} characters")
    data = m.get("data")
    if data is not None and check_data:
        _check_data(data)
    t, error_ns = _time(m, clock)
    return stream_id, Marker(t, stage, index, data, source, error_ns)


def _check_data(data: Any) -> None:
    try:
        size = len(_pack(data))
    except (ValueError, OverflowError, TypeError, RecursionError) as error:
        raise BadMarkers(f"data: cannot be recorded: {error}") from None
    if size > DATA_LIMIT:
        raise BadMarkers(f"data: {size:,} bytes; at most {DATA_LIMIT:,}")


def _time(m: dict[str, Any], clock: Clock) -> tuple[int, int]:
    """(time on the relay's monotonic clock, bound of its error) in nanoseconds."""
    boot_id, mono_ns = m.get("boot_id"), m.get("t_mono_ns")
    if (
        boot_id == clock.boot_id
        and clock.offset is None
        and type(mono_ns) is int
        and abs(mono_ns - clock.mono_ns) < DAY_NS
    ):
        return mono_ns, 0  # a sidecar's, as they come by thousands
    if boot_id is not None and (type(boot_id) is not str or len(boot_id) > SOURCE_LIMIT):
        raise BadMarkers("boot_id: must be a string")
    offset, error_ns = clock.offset or (0, 0)
    comparable = clock.offset is not None or boot_id == clock.boot_id
    mono_ns = _instant(m, "t_mono_ns", clock.mono_ns - offset if comparable else None)
    wall_ns = _instant(m, "t_wall_ns", clock.wall_ns)
    if mono_ns is not None and comparable:
        return mono_ns + offset, error_ns
    if wall_ns is not None:
        late = clock.wall_ns - wall_ns
        return clock.mono_ns - late, abs(late)
    return clock.mono_ns, 0


def _instant(m: dict[str, Any], key: str, now: int | None) -> int | None:
    value = m.get(key)
    if value is None:
        return None
    if type(value) is not int:
        raise BadMarkers(f"{key}: must be a whole number of nanoseconds")
    if value < 0 or (now is not None and abs(value - now) > DAY_NS):
        raise BadMarkers(f"{key}: an impossible time: more than a day away from now")
    return value
