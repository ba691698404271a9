# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a manifest tells of other servers is taken whole and sound, or not at all."""

from __future__ import annotations

from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import Manifest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.whereabouts import (
    cluster_of,
    relatives_of,
)
from hypothesis import given
from hypothesis import strategies as st

NODE = {
    "id": "a" * 40,
    "host": "10.0.0.1",
    "port": 6379,
    "bus_port": 16379,
    "hostname": "",
    "role": "primary",
    "primary_id": None,
    "slots": [[0, 5460]],
    "epoch": 1,
}
CLUSTER = {"my_id": "a" * 40, "shard_id": "", "epoch": 1, "nodes": [NODE]}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NODE, *CLUSTER]), inner, max_size=4),
    max_leaves=8,
)


def told(topology: Any) -> Manifest:
    return Manifest({"topology": topology, "label": "one"})


def test_a_sound_table_is_taken() -> None:
    assert cluster_of(told({"cluster": CLUSTER})) == CLUSTER


def test_of_no_cluster_nothing_is_told() -> None:
    assert cluster_of(told({"mode": "standalone", "cluster": None})) == {}
    assert cluster_of(Manifest({})) == {} and relatives_of(Manifest({})) == []


@given(st.sampled_from(sorted(NODE)), ANYTHING)
def test_a_row_is_sound_or_the_table_tells_nothing(name: str, value: Any) -> None:
    found = cluster_of(told({"cluster": {**CLUSTER, "nodes": [{**NODE, name: value}]}}))
    if found:
        (row,) = found["nodes"]
        assert row["id"] == NODE["id"] and row["role"] in ("primary", "replica")
        assert all(0 <= first <= last < 16384 for first, last in row["slots"])


@given(ANYTHING, ANYTHING)
def test_nothing_that_a_manifest_holds_raises(value: Any, inner: Any) -> None:
    for topology in (value, {"mode": "standalone", "primary": value, "replicas": inner}, {"cluster": value}):
        cluster_of(told(topology))
        relatives_of(told(topology))
    cluster_of(told({"cluster": {**CLUSTER, "nodes": [value, inner], "my_id": value}}))


def test_relatives() -> None:
    place = {
        "mode": "standalone",
        "primary": {"host": "10.0.0.1", "port": 6379},
        "replicas": [{"host": "10.0.0.2", "port": 6380}, {"host": "", "port": 1}, "words"],
    }
    assert relatives_of(told(place)) == [("primary", "10.0.0.1:6379"), ("replica", "10.0.0.2:6380")]
