# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names and places in a repository."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import (
    ArchiveName,
    archived_path,
    backup_path,
    backups_path,
    epoch_key,
    epoch_time,
    is_epoch,
    is_label,
    make_epoch,
    make_label,
    parse_archived,
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


@given(
    st.integers(0, 253_402_300_799),
    st.integers(1, 10**9),
    st.text("abc .-é", min_size=1).filter(lambda name: name not in (".", "..")),
    st.integers(0, 10**16 - 1),
    st.booleans(),
    st.booleans(),
)
def test_archived_objects(seconds: int, seq: int, file: str, offset: int, last: bool, encrypted: bool) -> None:
    epoch = make_epoch(seconds, seq, "0123abcd")
    assert is_epoch(epoch) and not is_label(epoch)
    name = ArchiveName(epoch, file, offset, last, encrypted)
    path = archived_path("web1", name)
    assert parse_archived("web1", path) == name
    assert parse_archived("web", path) is None
    assert parse_archived("web1", f"{path}.part") is None
    assert archived_path("web1", ArchiveName(epoch, file, offset + 1, last, encrypted)) > path or offset == 10**16 - 1


def test_epochs_sort_by_time_then_number() -> None:
    first, second = make_epoch(1000, 9, "ffffffff"), make_epoch(1000, 10, "00000000")
    assert epoch_key(first) < epoch_key(second) < epoch_key(make_epoch(1001, 1, "00000000"))
    assert epoch_time(first) == "1970-01-01T00:16:40Z"
