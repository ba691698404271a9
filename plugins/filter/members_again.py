# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: members_again
short_description: Bring what is known of instances up to date
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Replaces what was known of some instances by what a later look at them told.
positional: looked, key
options:
  _input:
    description: All instances, as P(globalscope.redis_backup.topology#filter) takes them.
    type: list
    elements: dict
    required: true
  looked:
    description:
      - The V(results) of a registered loop of M(globalscope.redis_backup.redis_instance_info) or
        M(globalscope.redis_backup.redis_assess) over names of instances.
    type: list
    elements: dict
    required: true
  key:
    description: The loop's variable.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Keep what is known now
  ansible.builtin.set_fact:
    members: "{{ members | globalscope.redis_backup.members_again(looked.results, 'item') }}"
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

from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.work import looked_again


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"members_again": looked_again}
