# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: recovery_work
short_description: Tell which host looks after which groups and instances in a recovery
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - A replication group is looked after as one, by the host of its primary, or of another member where that host does
    not answer; a cluster by the host of one of its nodes. All other instances are looked after by their own hosts.
positional: members, wanted, promote
options:
  _input:
    description: The groups, as P(globalscope.redis_backup.topology#filter) gives them.
    type: list
    elements: dict
    required: true
  members:
    description: All instances, as that filter takes them.
    type: list
    elements: dict
    required: true
  wanted:
    description: Names of instances. Groups that have none of them are left out. Without any, all are looked after.
    type: list
    elements: str
    default: []
  promote:
    description: Names of the instances that may become primaries.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: What this host has to do
  ansible.builtin.debug:
    msg: >-
      {{ (redis_common_groups
          | globalscope.redis_backup.recovery_work(redis_common_all_members)).work[inventory_hostname] }}
"""

RETURN = r"""
_value:
  description:
    - V(work) lists for each host, by its name in the inventory, what to look after. V(name) is the instance, V(group)
      the id of its replication group or cluster, empty where it has none, V(kind) which of both.
    - V(left_over) names what nobody can look after.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.work import recovery_work


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"recovery_work": recovery_work}
