# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who belongs together with an instance, by name alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def shards_of(groups: Iterable[Mapping[str, Any]], name: str) -> list[list[str]]:
    """The members of each shard of the group that holds the data of an instance; of none, the instance alone."""
    for group in groups:
        shards = all_shards([group])
        if any(name in names for names in shards):
            return shards
    return [[name]]


def all_shards(groups: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """The members of every shard, its primary first."""
    found = [
        [str(each) for each in (shard.get("primary"), *(shard.get("replicas") or [])) if each]
        for group in groups
        for shard in group.get("shards") or []
    ]
    return [names for names in found if names]
