# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Of which slots a backup is."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.manifest import Manifest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.cluster_node import slots_of

A, B, C = "a" * 40, "b" * 40, "c" * 40
PLACE = {"host": "10.0.0.1", "port": 6379}
NODES = [
    {**PLACE, "id": A, "role": "primary", "primary_id": "", "slots": [[0, 10], [11, 20]]},
    {**PLACE, "id": B, "role": "replica", "primary_id": A, "slots": []},
    {**PLACE, "id": C, "role": "primary", "primary_id": "", "slots": []},
]


@pytest.mark.parametrize(
    ("document", "slots"),
    [
        ({}, []),
        ({"topology": None}, []),
        ({"topology": {"cluster": None}}, []),
        ({"topology": {"cluster": {"my_id": A, "nodes": NODES}}}, [[0, 20]]),
        ({"topology": {"cluster": {"my_id": B, "nodes": NODES}}}, [[0, 20]]),
        ({"topology": {"cluster": {"my_id": C, "nodes": NODES}}}, []),
        ({"topology": {"cluster": {"my_id": "", "nodes": []}}}, []),
        ({"set": {"slots": [[5, 9]]}, "topology": {"cluster": {"my_id": A, "nodes": NODES}}}, [[5, 9]]),
    ],
)
def test_slots_of_a_backup(document: dict[str, Any], slots: list[list[int]]) -> None:
    assert slots_of(Manifest(document)) == slots
