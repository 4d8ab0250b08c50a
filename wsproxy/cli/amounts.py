"""Sizes, ages and points in time, as a person types them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

import click

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_AGE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(s|min|m|h|d|w)", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes: 2GB, 500 MiB, 1000000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no size: write 500MB or 2GiB", param, ctx)
        power: int = (1024 if match[3] else 1000) ** _POWERS[match[2].lower()]
        return round(float(match[1]) * power)


class Age(click.ParamType):  # type: ignore[type-arg]
    """Nanoseconds: 90s, 15min, 12h, 7d, 2w."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _AGE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no age: write 90s, 15min, 12h, 7d or 2w", param, ctx)
        return round(float(match[1]) * _SECONDS[match[2].lower()] * 1e9)


class Moment(click.ParamType):  # type: ignore[type-arg]
    """Nanoseconds since the epoch: an age before now, or an ISO time, UTC where it names no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).strip()
        if _AGE.fullmatch(text):
            return time.time_ns() - Age().convert(text, param, ctx)
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{value!r} is no time: write 1h, 2d, 2026-01-31 or 2026-01-31T14:05", param, ctx)
        return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e9)
