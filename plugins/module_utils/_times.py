# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times: UTC everywhere, ISO 8601 with a Z in documents. Pure but for `now`."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(\.\d{1,6})?\s*(Z|z|UTC|[+-]\d\d:?\d\d)",
)
_FIRST = datetime(1, 1, 2, tzinfo=timezone.utc).timestamp()
_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc).timestamp()

CLOCK_SKEW = 300.0
"""Seconds by which the clocks of two hosts may differ: what lies further ahead was dated by a clock that was wrong."""


def now() -> float:
    """The present as UTC seconds since the epoch."""
    return datetime.now(timezone.utc).timestamp()


def to_iso(seconds: float) -> str:
    """UTC seconds as `2026-11-22T23:51:41Z`; fractions are cut."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_iso(text: str) -> float:
    """ISO 8601 with a zone (`Z`, `+01:00`) or `@seconds` as UTC seconds. Raises ValueError."""
    text = text.strip()
    if re.fullmatch(r"@\d+(\.\d+)?", text):
        return _within_calendar(float(text[1:]), text)
    match = _ISO.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no time with a zone, such as 2026-11-22T23:51:41Z or 2026-11-22 23:51+01:00")
    day, minutes, seconds, fraction, zone = match.groups()
    zone = "+00:00" if zone in ("Z", "z", "UTC") else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    micro = (fraction or ".0").ljust(7, "0")
    return _within_calendar(datetime.fromisoformat(f"{day}T{minutes}{seconds or ':00'}{micro}{zone}").timestamp(), text)


def _within_calendar(seconds: float, text: str) -> float:
    """The seconds themselves. Raises ValueError where no date can be made of them again."""
    if not _FIRST <= seconds <= _LAST:
        raise ValueError(f"{text[:40]!r} is not within the years 1 to 9999")
    return seconds


def in_words(seconds: float) -> str:
    """A duration for people: `4 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for unit, name, small, small_name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            rest = whole % unit // small
            return f"{whole // unit} {name}" + (f" {rest} {small_name}" if rest else "")
    raise AssertionError("unreachable")
