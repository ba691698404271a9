# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is it the snapshot we asked for, and whole?"""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts
from ansible_collections.globalscope.redis_backup.plugins.module_utils._snapshot.proof import (
    CheckReport,
    KeyWindow,
    key_window,
    parse_check_output,
    why_unproven,
)
from hypothesis import given
from hypothesis import strategies as st

# As printed by redis-check-rdb of these servers for one and the same two keys.
GOOD = {
    "redis-6.2": """\
[offset 0] Checking RDB file dump.rdb
[offset 27] AUX FIELD redis-ver = '6.2.14'
[offset 41] AUX FIELD redis-bits = '64'
[offset 53] AUX FIELD ctime = '1795394501'
[offset 68] AUX FIELD used-mem = '898888'
[offset 84] AUX FIELD aof-preamble = '0'
[offset 86] Selecting DB ID 0
[offset 260] Checksum OK
[offset 260] \\o/ RDB looks OK! \\o/
[info] 2 keys read
[info] 1 expires
[info] 0 already expired
""",
    "redis-8.2": """\
[offset 0] Checking RDB file dump.rdb
[offset 26] AUX FIELD redis-ver = '8.2.3'
[offset 40] AUX FIELD redis-bits = '64'
[offset 79] AUX FIELD aof-base = '0'
[offset 81] Selecting DB ID 0
[offset 255] Checksum OK
[offset 255] \\o/ RDB looks OK! \\o/
[info] 2 keys read
[info] 1 expires
[info] 0 already expired
[info] 0 subexpires
""",
    "valkey-9.1": """\
[offset 0] Checking RDB file dump.rdb
6853:M 23 Nov 2026 00:41:42.062 * Cleaning slot migration log in anticipation of a load operation.
[offset 27] AUX FIELD valkey-ver = '9.1.2'
[offset 82] Selecting DB ID 0
[offset 256] Checksum OK
[offset 256] Check RDB returned error code 0 (0 means success)
[offset 256] \\o/ RDB looks OK! \\o/
[info] 2 keys read
[info] 1 expires
[info] 0 already expired
[info] 0 functions
""",
}
ENDS = {"redis-6.2": 260, "redis-8.2": 255, "valkey-9.1": 256}

CUT = """\
[offset 0] Checking RDB file cut.rdb
[offset 27] AUX FIELD redis-ver = '7.0.15'
[offset 82] Selecting DB ID 0
--- RDB ERROR DETECTED ---
[offset 106] Unexpected EOF reading RDB file
[additional info] While doing: read-object-value
[additional info] Reading key 'k14'
[additional info] Reading type 0 (string)
[info] 2 keys read
[info] 0 expires
[info] 0 already expired
"""


@pytest.mark.parametrize("build", GOOD)
def test_good_output(build: str) -> None:
    report = parse_check_output(GOOD[build], 0)
    assert (report.ok, report.keys, report.expires, report.expired) == (True, 2, 1, 0)
    assert report.end_offset == ENDS[build]


@pytest.mark.parametrize("build", GOOD)
def test_good_words_with_a_bad_exit_are_not_good(build: str) -> None:
    assert not parse_check_output(GOOD[build], 1).ok


def test_a_clean_exit_without_the_words_is_not_good() -> None:
    report = parse_check_output("[offset 0] Checking RDB file gone.rdb\n", 0)
    assert (report.ok, report.end_offset, report.words) == (False, -1, "no words")


def test_cut_file() -> None:
    report = parse_check_output(CUT, 1)
    assert not report.ok
    assert report.words == (
        "RDB ERROR DETECTED; Unexpected EOF reading RDB file; While doing: read-object-value; Reading key 'k14'"
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[offset 9] Can't handle RDB format version 99", "Can't handle RDB format version 99"),
        (
            "[offset 9] Wrong signature trying to load DB from file",
            "Wrong signature trying to load DB from file",
        ),
        ("[offset 511] RDB CRC error", "RDB CRC error"),
        ("", "no words"),
    ],
)
def test_refusals(line: str, words: str) -> None:
    report = parse_check_output(f"[offset 0] Checking RDB file x\n{line}\n", 1)
    assert not report.ok
    assert report.words == words


def test_checksum_that_was_switched_off_and_modules() -> None:
    text = (
        "[offset 0] Checking RDB file x\nMODULE AUX for: graphdata\n"
        "[offset 99] RDB file was saved with checksum disabled: no check performed.\n"
        "[offset 99] \\o/ RDB looks OK! \\o/\n[info] 30 keys read\n[info] 4 expires\n[info] 3 already expired\n"
    )
    report = parse_check_output(text, 0)
    assert (report.ok, report.keys, report.expires, report.expired, report.end_offset) == (True, 30, 4, 3, 99)


@given(st.text(), st.integers(0, 2))
def test_free_text_is_never_taken_for_a_success(text: str, code: int) -> None:
    assert not parse_check_output(text, code).ok


COUNTS = st.integers(0, 1000)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_window(before: int, after: int, changes: int, keys: int) -> None:
    window = KeyWindow(before, after, changes)
    least, most = min(before, after) - changes, max(before, after) + changes
    assert window.allows(keys) == (least <= keys <= most)
    assert window.exact == (before == after and changes == 0)
    assert KeyWindow(before, after, None).allows(keys)
    assert not KeyWindow(before, after, None).exact


def facts(keys: int, dirty: int = 0, saved: int = 10, expired: int = 0, evicted: int = 0, run: str = "a") -> Facts:
    return Facts(
        {
            "run_id": run,
            "rdb_changes_since_last_save": str(dirty),
            "rdb_last_save_time": str(saved),
            "expired_keys": str(expired),
            "evicted_keys": str(evicted),
            "db0": f"keys={keys},expires=0,avg_ttl=0",
        }
    )


@pytest.mark.parametrize(
    ("before", "after", "window"),
    [
        (facts(5), facts(5), KeyWindow(5, 5, 0)),
        (facts(5, dirty=3), facts(7, dirty=6), KeyWindow(5, 7, 3)),
        (facts(5), facts(3, expired=1, evicted=1), KeyWindow(5, 3, 2)),
        (facts(5, dirty=1), facts(3, dirty=2, expired=4), KeyWindow(5, 3, 5)),
        (facts(5, dirty=9), facts(5, dirty=2), KeyWindow(5, 5, None)),  # a save reset the counter
        (facts(5), facts(5, saved=11), KeyWindow(5, 5, None)),
        (facts(5), facts(5, run="b"), KeyWindow(5, 5, None)),
        (facts(5, expired=9), facts(5, expired=0), KeyWindow(5, 5, 0)),  # CONFIG RESETSTAT
    ],
)
def test_key_window(before: Facts, after: Facts, window: KeyWindow) -> None:
    assert key_window(before, after) == window


WHOLE = CheckReport(True, keys=5, end_offset=100)


def why(**over: Any) -> str | None:
    known: dict[str, Any] = {"report": WHOLE, "size": 100, "ctime": 50, "asked_at": 50.9, "window": KeyWindow(5, 5, 0)}
    return why_unproven(**{**known, **over})


def test_proven() -> None:
    assert why() is None
    assert why(window=None) is None
    assert why(ctime=51) is None
    assert why(ctime=0) is None  # a file without that field
    assert why(window=KeyWindow(3, 9, 0)) is None
    assert why(report=CheckReport(True, keys=5)) is None


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"report": CheckReport(False, words="RDB CRC error")}, "refuses it: RDB CRC error"),
        ({"size": 140}, "140 bytes long, but the RDB in it ends at byte 100"),
        ({"size": 99}, "99 bytes long"),
        ({"ctime": 49}, "made at 49, before it was asked for at 50"),
        ({"window": KeyWindow(6, 6, 0)}, "holds 5 keys, but the server held 6 before and 6 after"),
        ({"window": KeyWindow(2, 4, 0)}, "holds 5 keys"),
        ({"window": KeyWindow(8, 9, 2)}, "with 2 changes between"),
    ],
)
def test_unproven(over: dict[str, Any], words: str) -> None:
    assert words in (why(**over) or "")
