# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Annotations that mean something to us: `keep`, which retention obeys. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from .._errors import RedisBackupError
from .._times import from_iso

KEEP = "keep"
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SECONDS_OF_A_DAY = 86400.0
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "": False}


def kept_until(annotations: Mapping[str, Any]) -> float:
    """The moment (UTC seconds) until which `keep` holds a backup: infinity for `true`, 0 without it.

    A date holds through its last second in UTC. Raises ValueError for what is neither.
    """
    value = annotations.get(KEEP)
    if value is None or isinstance(value, bool):
        return math.inf if value else 0.0
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is neither true nor a time")
    text = value.strip()
    if text.lower() in _WORDS:  # a survey or -e hands on text
        return math.inf if _WORDS[text.lower()] else 0.0
    if _DAY.fullmatch(text):
        return from_iso(f"{text}T00:00:00Z") + _SECONDS_OF_A_DAY
    return from_iso(text)


def check_annotations(annotations: Mapping[str, Any]) -> None:
    """Refuse a `keep` that retention would not understand. Raises RedisBackupError."""
    try:
        kept_until(annotations)
    except ValueError:
        raise RedisBackupError(
            f"annotations: keep: {annotations.get(KEEP)!r} is neither true nor a date or time",
            untouched="Nothing was changed",
            hint="Give true, a date such as 2027-01-31, or a time with a zone such as 2027-01-31T18:00:00Z",
        ) from None
