# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What became of the keys of an import: numbers that add up, and the first bad ones by name."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.counting import Bad, Counts, warnings_of


def test_the_first_bad_ones_are_named() -> None:
    bad = Bad("line")
    for number in range(100, 0, -1):
        bad.add(number, b"k\xff" if number % 2 else None, "no good", conflict=number > 90)
    assert (bad.count, bad.conflicts, len(bad.named)) == (100, 10, 20)
    assert bad.named[1] == {"line": 99, "key": "k\\xff", "why": "no good"}
    assert bad.words.startswith("line 81 (key k\\xff): no good; line 82: no good; ")
    assert bad.words.endswith("; and 95 more")


def test_keys_of_other_formats_have_a_number() -> None:
    bad = Bad("key")
    bad.add(3, b"k", "no good")
    assert bad.named == [{"number": 3, "key": "k", "why": "no good"}]
    assert bad.words == "key 3 (key k): no good"


def test_counts_add_up() -> None:
    one = Counts(imported=3, expired=1)
    one.leave_out("dropped")
    both = one + Counts(imported=4, skipped=2)
    assert (both.imported, both.skipped, both.expired, both.dropped) == (7, 2, 1, 1)
    assert Counts.of(both.as_dict()) == both
    assert Counts.of({"imported": 1, "of another version": 2}) == Counts(imported=1)


def test_what_is_lost_is_told() -> None:
    assert warnings_of(Counts(imported=3), "Redis 7.0", "keep") == []
    lost = warnings_of(Counts(fields_lost=1, fields_kept=2, pending_lost=3), "Redis 7.0", "shift")
    assert [words.split()[0] for words in lost] == ["1", "2", "3"]
