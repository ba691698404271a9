# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and places in a repository."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import (
    backup_path,
    backups_path,
    is_label,
    make_label,
    stored_name,
    sums_text,
    valid_instance,
)
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(0, 253_402_300_799), st.sampled_from(["rdb", "aof"]))
def test_labels(seconds: int, engine: str) -> None:
    label = make_label(seconds, engine)
    assert is_label(label)
    assert make_label(seconds + 0.9, engine) == label
    if seconds:
        assert make_label(seconds - 1, engine) < label  # they sort by time


@pytest.mark.parametrize(
    "name",
    ["", "20261122T235141Z", "20261122T235141Z_xyz", "20261122T235141Z_rdb.part", ".20261122T235141Z_rdb", "x", "..",
     "20261122T235141Z_rdb\n"],
)  # fmt: skip
def test_no_labels(name: str) -> None:
    assert not is_label(name)


@given(st.text())
def test_a_valid_instance_is_one_safe_name(name: str) -> None:
    if valid_instance(name):
        assert name.isascii() and "/" not in name and name not in (".", "..") and name[0] not in ".-_"
        assert len(name) <= 128


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("db-6379", True),
        ("a.b_C-9", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("../x", False),
        ("a b", False),
        ("", False),
        (".x", False),
        ("-x", False),
        ("db\n", False),
    ],
)
def test_instances(name: str, valid: bool) -> None:
    assert valid_instance(name) is valid


def test_places() -> None:
    assert backups_path("db") == "db/backup"
    assert backup_path("db", "l") == "db/backup/l"
    assert stored_name("dump.rdb", encrypted=False) == "dump.rdb.zst"
    assert stored_name("dump.rdb", encrypted=True) == "dump.rdb.zst.age"
    assert sums_text([("a", "00"), ("b", "11")]) == "00  a\n11  b\n"
