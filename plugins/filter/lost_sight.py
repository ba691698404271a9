# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: lost_sight
short_description: Name the instances that do not know what they were part of
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Names the instances of which nothing is known, neither by the server nor by a file, and the nodes of clusters that
    know no other node. Their backups may, see P(globalscope.redis_backup.remembered#filter).
options:
  _input:
    description: Instances, as P(globalscope.redis_backup.topology#filter) takes them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Whose backups have to be asked
  ansible.builtin.debug:
    msg: "{{ redis_common_members | globalscope.redis_backup.lost_sight }}"
"""

RETURN = r"""
_value:
  description: Names of instances.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.remembered import lost_sight


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"lost_sight": lost_sight}
