# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is the recovered server what it should be?"""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.checks import (
    Check,
    Expectation,
    count_checks,
    expectation_of,
    probe,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.connection import Login, Server
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts

LOADED = {"rdb_last_load_keys_loaded": "90", "rdb_last_load_keys_expired": "10"}
FACTS = Facts({"db0": "keys=80,expires=0", "db3": "keys=10,expires=1", **LOADED})


KEPT = Check("evicted_keys", True, 0, "none: maxmemory must hold the data set")


@pytest.mark.parametrize(
    ("expect", "checks"),
    [
        (Expectation(), []),
        (Expectation(keys_min=90), [Check("keys_min", True, 90, "at least 90")]),
        (Expectation(keys_min=91), [Check("keys_min", False, 90, "at least 91")]),
        (Expectation(keys_min=0, keys_max=90), [Check("keys_min", True, 90, "at least 0"),
                                                Check("keys_max", True, 90, "at most 90")]),
        (Expectation(keys_max=89), [Check("keys_max", False, 90, "at most 89")]),
        (Expectation(keys_max=0), [Check("keys_max", False, 90, "at most 0")]),
        (Expectation(loaded_keys=100), [Check("loaded_keys", True, 100, 100), KEPT]),
        (Expectation(loaded_keys=90), [Check("loaded_keys", False, 100, 90), KEPT]),
    ],
)  # fmt: skip
def test_counts(expect: Expectation, checks: list[Check]) -> None:
    assert count_checks(FACTS, expect) == checks


def test_6_2_does_not_tell_what_it_loaded() -> None:
    assert count_checks(Facts({"db0": "keys=1"}), Expectation(loaded_keys=5)) == [KEPT]


def test_a_check_as_result() -> None:
    assert Check("a", True, 1, 2).as_result() == {"name": "a", "ok": True, "found": 1, "wanted": 2}


def test_where_no_probe_can_be_written() -> None:
    check = probe(Server(Login(unix_socket="/nonexistent")), Facts({"role": "slave"}))
    assert check.ok and "a replica takes no writes" in check.found


def test_options() -> None:
    asked = {
        "keys_min": 1,
        "keys_max": None,
        "loaded_keys": 3,
        "present": ["a"],
        "values": {"k": "v"},
        "db": 2,
        "digest": "AB",
    }
    params = {"expect": asked, "latency_ms_max": 5.0, "probe": True, "benchmark": False, "replicas": 2}
    assert expectation_of(params) == Expectation(1, None, 3, ("a",), {"k": "v"}, 2, "AB", 5.0, True, False, 2)


def test_a_data_set_that_maxmemory_cuts_is_not_restored() -> None:
    (check,) = count_checks(Facts({"db0": "keys=1", "evicted_keys": "7"}), Expectation(loaded_keys=8))
    assert (check.name, check.ok, check.found) == ("evicted_keys", False, 7)
