# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: recovery_plan
short_description: Tell what a replication group needs to be whole again
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Decides what is to be done with a group of P(globalscope.redis_backup.topology#filter), by what is known of its
    members.
  - The role P(globalscope.redis_backup.redis_disaster_recovery#role) does it.
positional: members, assessed
options:
  _input:
    description: The group.
    type: dict
    required: true
  members:
    description: All instances, as P(globalscope.redis_backup.topology#filter) takes them.
    type: list
    elements: dict
    required: true
  assessed:
    description: Results of M(globalscope.redis_backup.redis_assess) by the names of the instances that were assessed.
    type: dict
    required: true
  promote:
    description: Names of the instances that may become primaries.
    type: list
    elements: str
    default: []
  confirm:
    description: Names of the instances whose data may be put aside.
    type: list
    elements: str
    default: []
  force:
    description: Whether to recover although nothing is lost.
    type: bool
    default: false
  waited:
    description: Whether the Sentinels had their time to fail over already.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: What is to be done
  ansible.builtin.debug:
    msg: "{{ (group | globalscope.redis_backup.recovery_plan(members, assessed)).action }}"
"""

RETURN = r"""
_value:
  description:
    - The plan. V(action) is V(none), V(feed) (members that are not in their place), V(recover) (from a backup),
      V(promote), V(wait) (the Sentinels are about to fail over) or V(refuse), and V(why) tells more.
    - V(lead) is the instance that is, or will be, the primary, V(addresses) are those by which others know it, and
      V(moves) tells that they know another one.
    - V(replicas) and V(sentinels) are the other members in the order in which they are worked on, each with what it
      V(needs); V(skipped) names those that cannot be worked on.
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._group import plan


def recovery_plan(
    group: Mapping[str, Any],
    members: Sequence[Mapping[str, Any]],
    assessed: Mapping[str, Mapping[str, Any]],
    promote: Sequence[str] = (),
    confirm: Sequence[str] = (),
    force: bool = False,
    waited: bool = False,
) -> dict[str, Any]:
    """See the documentation of the filter."""
    wish = plan.Wish(tuple(map(str, promote)), tuple(map(str, confirm)), bool(force), bool(waited))
    return plan.recovery_plan(group, members, assessed, wish)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"recovery_plan": recovery_plan}
