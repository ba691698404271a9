# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: unseen_relatives
short_description: Find the replicas and primaries of a server that is down, outside of a run
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - A server that is down does not tell whose primary it was. Its newest backup does. Tells of each that is not among
    the members of this run, since nobody would look at it, hold it or stop it.
positional: members, name
options:
  _input:
    description: What the backup tells, RV(globalscope.redis_backup.redis_assess#module:relatives).
    type: list
    elements: dict
    required: true
  members:
    description: The members of the run, as the role P(globalscope.redis_backup.redis_common#role) gathers them.
    type: list
    elements: dict
    required: true
  name:
    description: Name of the instance.
    type: str
    required: true
  outside:
    description: The hosts of the inventory that are not in the run, by the address at which they are reached.
    type: dict
    default: {}
  gone:
    description: Addresses, or names of hosts, that the operator said are gone for good.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Whom nobody has looked at
  ansible.builtin.debug:
    msg: "{{ assessed.relatives | globalscope.redis_backup.unseen_relatives(redis_common_all_members, 'shop1-6379') }}"
"""

RETURN = r"""
_value:
  description: Words about each.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.relatives import unseen_relatives


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"unseen_relatives": unseen_relatives}
