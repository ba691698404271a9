# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: group_of
short_description: Find the group that an instance belongs to
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Finds the group that holds the data of an instance, among those of P(globalscope.redis_backup.topology#filter).
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
- name: Who else holds this data
  ansible.builtin.debug:
    msg: "{{ (redis_common_groups | globalscope.redis_backup.group_of('shop1-6379')).members | map(attribute='name') }}"
"""

RETURN = r"""
_value:
  description: The group; empty when no group has the instance.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.work import group_of


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"group_of": group_of}
