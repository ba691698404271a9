# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times: what is read, what is written, what is refused."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._times import from_iso, in_words, now, to_iso
from hypothesis import given
from hypothesis import strategies as st

SECONDS = st.integers(0, 253_402_300_799)  # to the end of the year 9999
ZONES = st.integers(-23 * 60 - 59, 23 * 60 + 59)


@given(SECONDS)
def test_round_trip(seconds: int) -> None:
    assert from_iso(to_iso(seconds)) == seconds


@given(st.floats(0, 4e9))
def test_fractions_are_cut_never_rounded_up(seconds: float) -> None:
    assert from_iso(to_iso(seconds)) == int(seconds)


@given(
    st.datetimes(datetime(1970, 1, 3), datetime(2200, 1, 1)),
    ZONES,
    st.sampled_from("T "),
    st.booleans(),
    st.integers(0, 6),
    st.sampled_from(["", " "]),
)
def test_any_zone(moment: datetime, minutes: int, between: str, colon: bool, digits: int, blank: str) -> None:
    zone = timezone(timedelta(minutes=minutes))
    cut = 10 ** (6 - digits)
    moment = moment.replace(microsecond=moment.microsecond // cut * cut)
    fraction = f".{moment.microsecond:06d}"[: digits + 1] if digits else ""
    hours, rest = divmod(abs(minutes), 60)
    offset = f"{'-' if minutes < 0 else '+'}{hours:02d}{':' if colon else ''}{rest:02d}"
    text = moment.strftime(f"%Y-%m-%d{between}%H:%M:%S") + fraction + blank + offset
    assert from_iso(text) == pytest.approx(moment.replace(tzinfo=zone).timestamp(), abs=1e-6)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01 00:00z", 0.0),
        ("1970-01-01 00:00:01 UTC", 1.0),
        ("1970-01-01T01:00+01:00", 0.0),
        ("1970-01-01T00:00-0130", 5400.0),
        ("1970-01-01T00:00:00.25Z", 0.25),
        ("  @12.5 ", 12.5),
        ("@1795000000", 1_795_000_000.0),
    ],
)
def test_forms(text: str, seconds: float) -> None:
    assert from_iso(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-22T23:51:41",  # no zone
        "2026-11-22",
        "@-1",
        "@",
        "1795000000",
        "2026-13-01T00:00Z",
        "2026-02-29T00:00Z",
        "2026-11-22T24:01Z",
        "2026-11-22T23:51:61Z",
        "2026-11-22T23:51:41+24:00",
        "2026-11-22T23:51:41.1234567Z",
        "2026-11-22T23:51:41Z and more",
        "22.11.2026 23:51Z",
        "@253402300800",  # the year 10000
        "@99999999999999999",
        f"@{'9' * 400}",
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_refusals(text: str) -> None:
    with pytest.raises(ValueError):
        from_iso(text)


@given(st.text())
def test_free_text_gives_a_time_or_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(from_iso(text), float)


@given(st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(Z|[+-]\d\d:?\d\d)", fullmatch=True))
def test_digits_of_any_script_give_a_time_or_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(from_iso(text), float)


def test_now_is_utc() -> None:
    assert abs(now() - datetime.now(timezone.utc).timestamp()) < 5


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (3599.9, "1 h"),
        (7800, "2 h 10 min"),
        (3659, "1 h"),
        (86399, "23 h 59 min"),
        (86400, "1 d"),
        (86400 * 3 + 3600 * 4 + 59, "3 d 4 h"),
    ],
)
def test_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
