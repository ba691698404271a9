# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: topology
short_description: Gather instances into the groups that hold one data set together
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Gathers the instances of many hosts into groups, by what each says of itself and of others, by what Sentinels say,
    and where an instance is down by what its files say.
  - Names the servers that belong to a group and that the inventory lacks.
options:
  _input:
    description:
      - The instances. V(host) is the host's name in the inventory, V(reachable) whether it answers, V(address) how it
        is reached, V(entry) the completed entry of C(redis_instances), V(instance) what
        M(globalscope.redis_backup.redis_instance_info) told of it or V(null), V(error) why it told nothing.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Name what the inventory lacks
  ansible.builtin.debug:
    msg: "{{ redis_common_all_members | globalscope.redis_backup.topology | map(attribute='missing') | flatten }}"
"""

RETURN = r"""
_value:
  description: The groups.
  type: list
  elements: dict
  contains:
    id:
      description:
        - Name of the group. It is what the Sentinels call its primary, else the name of its primary's instance; of a
          cluster V(cluster-) and the first eight letters of the smallest id of its nodes.
      type: str
    kind:
      description: V(standalone), V(replication), V(cluster); V(sentinels) for a Sentinel that watches nothing.
      type: str
    shards:
      description:
        - Each primary with its replicas, by the names of their instances. V(id) names the shard among all groups,
          V(slots) are ranges of a cluster's slots, V(slot_owner_id) the node that has them. V(primary) is V(null) when
          it is not known or not in the inventory.
      type: list
      elements: dict
    sentinels:
      description: The Sentinels that watch it.
      type: list
      elements: str
    master_name:
      description: What the Sentinels call the primary.
      type: str
    lead:
      description: The instance through which the group is worked on, and RV(_value[].lead_host) its host.
      type: str
    lead_host:
      description: The host of RV(_value[].lead).
      type: str
    members:
      description: All instances of it with V(name), V(host), V(machine), V(reachable), V(state), V(role), V(shard).
      type: list
      elements: dict
    missing:
      description: The servers that belong to it and are not in the inventory, in words.
      type: list
      elements: str
    unreachable:
      description: The instances whose host does not answer.
      type: list
      elements: str
    moving:
      description: The slots of a cluster that are on their way to another node, in words.
      type: list
      elements: str
    findings:
      description: What is wrong, and what is worth knowing.
      type: list
      elements: str
    healthy:
      description: Whether every instance of it serves in its place. It says nothing about the data.
      type: bool
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.groups import groups


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"topology": groups}
