# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: members
short_description: Join what was seen of a host's instances with what the inventory says of them
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Gives the input of P(globalscope.redis_backup.topology#filter) for the instances of one host.
  - An instance that was not looked at, as its host does not answer, is there as well.
positional: host, entries, address
options:
  _input:
    description:
      - The registered result of M(globalscope.redis_backup.redis_instance_info), looped over the names of the
        instances.
    type: dict
    required: true
  host:
    description: The host's name in the inventory.
    type: str
    required: true
  entries:
    description: The completed instances of the host, as P(globalscope.redis_backup.instances#filter) gives them.
    type: list
    elements: dict
    required: true
  address:
    description: How Ansible reaches the host.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Keep what was seen
  ansible.builtin.set_fact:
    redis_common_members: >-
      {{ redis_common_looked
         | globalscope.redis_backup.members(inventory_hostname, redis_common_instances, ansible_host) }}
  no_log: true
"""

RETURN = r"""
_value:
  description: The instances, each with V(host), V(address), V(reachable), V(entry), V(instance) and V(error).
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.looked import seen_members


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"members": seen_members}
