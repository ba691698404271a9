# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: shards_of
short_description: Name the instances that belong together with one
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Names the members of each shard of the group that an instance holds data of, among the groups of
    P(globalscope.redis_backup.topology#filter). M(globalscope.redis_backup.redis_backup_prune) takes them as
    O(globalscope.redis_backup.redis_backup_prune#module:shards).
positional: name
options:
  _input:
    description: The groups.
    type: list
    elements: dict
    required: true
  name:
    description: Name of the instance.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Who holds the same data as this one, and who other parts of it
  ansible.builtin.debug:
    msg: "{{ redis_common_groups | globalscope.redis_backup.shards_of('shop1-6379') }}"
"""

RETURN = r"""
_value:
  description:
    - A list for each shard, with the names of its members, the primary first. The instance alone if it is in no group.
  type: list
  elements: list
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.named import shards_of


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"shards_of": shards_of}
