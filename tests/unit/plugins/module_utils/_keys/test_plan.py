# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an import makes of each key: names, databases, times, filters; and what is bad."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.entry import Entry, Stream
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.plan import (
    DROP,
    DROPPED,
    EXPIRED,
    PERSIST,
    SHIFT,
    UNMATCHED,
    Matcher,
    Rules,
    decide,
    kind_of,
    why_bad,
    why_not_database,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.writing import Target
from ansible_collections.globalscope.redis_backup.tests.unit.helpers.entries import entries
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_700_000_000_000
PLAIN = Entry(0, b"user:1", "string", b"v")
HASH = Entry(1, b"h", "hash", [(b"a", b"1"), (b"b", b"2")], None, ((b"a", NOW + 5), (b"b", NOW - 5)))
REDIS_7 = Target("redis", (7, 0, 15))
REDIS_8 = Target("redis", (8, 2, 0))


def test_expiry_kept() -> None:
    assert decide(PLAIN, Rules(), NOW) is PLAIN
    later, past = PLAIN._replace(expires_at=NOW + 1), PLAIN._replace(expires_at=NOW)
    assert decide(later, Rules(), NOW) is later
    assert decide(past, Rules(), NOW) == EXPIRED
    assert decide(HASH, Rules(), NOW) == HASH._replace(value=[(b"a", b"1")], field_expiries=((b"a", NOW + 5),))
    assert decide(HASH._replace(field_expiries=((b"a", 1), (b"b", 1))), Rules(), NOW) == EXPIRED


def test_expiry_shifted() -> None:
    rules = Rules(ttl_policy=SHIFT, shift_ms=1000)
    assert decide(PLAIN._replace(expires_at=NOW - 999), rules, NOW) == PLAIN._replace(expires_at=NOW + 1)
    assert decide(PLAIN._replace(expires_at=NOW - 1000), rules, NOW) == EXPIRED
    assert decide(PLAIN._replace(expires_at=2**63 - 1), rules, NOW) == PLAIN._replace(expires_at=2**63 - 1)
    moved = decide(HASH, rules, NOW)
    assert isinstance(moved, Entry)
    assert moved.field_expiries == ((b"a", NOW + 1005), (b"b", NOW + 995))


def test_what_expires_dropped_or_kept_for_good() -> None:
    for entry in (PLAIN._replace(expires_at=NOW + 1), PLAIN._replace(expires_at=1)):
        assert decide(entry, Rules(ttl_policy=DROP), NOW) == DROPPED
        assert decide(entry, Rules(ttl_policy=PERSIST), NOW) == PLAIN
    lasting = HASH._replace(field_expiries=((b"b", NOW + 5),))
    assert decide(lasting, Rules(ttl_policy=DROP), NOW) == HASH._replace(value=[(b"a", b"1")], field_expiries=())
    assert decide(HASH, Rules(ttl_policy=DROP), NOW) == DROPPED
    assert decide(HASH, Rules(ttl_policy=PERSIST), NOW) == HASH._replace(field_expiries=())


def test_filters_and_names() -> None:
    assert decide(PLAIN, Rules(databases=frozenset({1})), NOW) == UNMATCHED
    assert decide(PLAIN, Rules(types=frozenset({"hash"})), NOW) == UNMATCHED
    assert decide(PLAIN, Rules(matches=Matcher([b"driver:*"])), NOW) == UNMATCHED
    chosen = Rules(
        matches=Matcher([b"x", b"user:*"]), rename=(b"user:", b"old:"), into_db=3, types=frozenset({"string"})
    )
    assert decide(PLAIN, chosen, NOW) == PLAIN._replace(key=b"old:1", database=3)
    assert decide(PLAIN._replace(key=b"x"), chosen, NOW) == PLAIN._replace(key=b"x", database=3)
    assert decide(PLAIN, Rules(rename=(b"", b"new:")), NOW) == PLAIN._replace(key=b"new:user:1")


def test_patterns_that_wait() -> None:
    matcher = Matcher([b"a*", b"b*", b"*z"])
    assert matcher(b"az") and not matcher(b"c")
    assert matcher.waiting == {b"b*"}
    assert matcher(b"b") and not matcher.waiting and matcher(b"b2")


@given(entries(), st.sampled_from([Rules(), Rules(ttl_policy=SHIFT, shift_ms=7), Rules(ttl_policy=PERSIST)]))
def test_what_is_taken_never_expires_before_it_is_there(entry: Entry, rules: Rules) -> None:
    found = decide(entry, rules, NOW)
    if isinstance(found, Entry):
        assert found.expires_at is None or found.expires_at > NOW
        assert all(moment > NOW for _name, moment in found.field_expiries)
        assert (found.key, found.kind) == (entry.key, entry.kind)
    else:
        assert found == EXPIRED


PAYLOAD = bytes.fromhex("000176" + "0900" + "95b9d5e0b4e5e8a5")
BAD = [
    (Entry(0, b"k", "list", []), "empty"),
    (Entry(0, b"k", "zset", [(b"a", float("nan"))]), "no number"),
    (Entry(0, b"k", "tree", []), "nothing is known"),
    (Entry(0, b"k", "string", b"", 2**63), "beyond all times"),
    (Entry(0, b"k", "dump", b"short"), "too short"),
    (Entry(0, b"k", "dump", b"\0\0" + bytes(8) + b"\x0c\0" + bytes(8)), "RDB format"),
    (Entry(0, b"k", "dump", PAYLOAD, part=1), "in parts"),
    (Entry(0, b"k", "dump", PAYLOAD), "checksum"),
    (Entry(0, b"k", "hash", [(b"a", b"")], None, ((b"a", 2**47),)), "later than Redis"),
    (Entry(0, b"k", "stream", Stream([(b"1", [])], b"0-0", None, None, ())), "no id"),
]


@pytest.mark.parametrize(("entry", "why"), BAD, ids=[why for _entry, why in BAD])
def test_bad_entries(entry: Entry, why: str) -> None:
    target = REDIS_8 if "later" in why else REDIS_7
    assert why in (why_bad(entry, target) or ""), why_bad(entry, target)


def test_what_is_known_to_be_good_is_not_counted_again() -> None:
    assert why_bad(Entry(0, b"k", "dump", PAYLOAD), REDIS_7, proven=True) is None
    assert kind_of(Entry(0, b"k", "dump", PAYLOAD)) == "string"
    assert kind_of(PLAIN) == "string"


def test_databases() -> None:
    assert why_not_database(0, cluster=True, databases=1) is None
    assert "into_db: 0" in (why_not_database(1, cluster=True, databases=None) or "")
    assert "only 16" in (why_not_database(16, cluster=False, databases=16) or "")
    assert why_not_database(99, cluster=False, databases=None) is None
    assert replace(Rules(), into_db=0).plain is False
