# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: remembered
short_description: Add what backups remember of a cluster to instances that lost it
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - A node that has lost its C(nodes.conf) does not know its cluster. Its backups do.
  - What a server or a file still knows of the cluster counts more than what is remembered.
positional: tables
options:
  _input:
    description: All instances, as P(globalscope.redis_backup.topology#filter) takes them.
    type: list
    elements: dict
    required: true
  tables:
    description: What M(globalscope.redis_backup.redis_backup_info) returned as C(tables), of one or several hosts.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Keep what is known now
  ansible.builtin.set_fact:
    members: "{{ members | globalscope.redis_backup.remembered(catalog.tables) }}"
  no_log: true
"""

RETURN = r"""
_value:
  description: The instances.
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.remembered import remembered


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"remembered": remembered}
