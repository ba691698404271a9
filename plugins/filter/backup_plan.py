# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: backup_plan
short_description: Choose which instances of a fleet are backed up
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Every group of servers that hold one data set together is backed up once for each of its shards, from the best of
    its members; a cluster as a set. What stands alone, and what nobody can judge, is backed up itself.
  - The role P(globalscope.redis_backup.redis_backup#role) follows it.
positional: members
options:
  _input:
    description: The groups, as P(globalscope.redis_backup.topology#filter) gives them.
    type: list
    elements: dict
    required: true
  members:
    description: The instances that the groups were made of, as P(globalscope.redis_backup.members#filter) gives them.
    type: list
    elements: dict
    required: true
  mode:
    description:
      - V(replica_preferred) takes a replica in step, else the primary. V(replica) takes nothing but a replica,
        V(primary) none.
    type: str
    choices: [replica_preferred, replica, primary]
    default: replica_preferred
  engine:
    description: With V(aof), replicas whose AOF is off are passed over.
    type: str
    choices: [auto, rdb, aof]
    default: auto
  max_lag_seconds:
    description: A replica that has heard its primary longer ago is passed over.
    type: float
  missing:
    description: Whether a server that belongs to a group and is not in the inventory counts among RV(_value.failures).
    type: str
    choices: [fail, warn]
    default: fail
  time:
    description: The time that becomes a part of the identifiers of sets.
    type: str
    default: ""
  hosts:
    description: Names of the hosts that still take part in the play.
    type: list
    elements: str
    default: []
  others:
    description: Names of the inventory's hosts that take no part in the play, by their addresses.
    type: dict
    default: {}
  sets:
    description: The stored sets, as M(globalscope.redis_backup.redis_backup_info) tells them.
    type: list
    elements: dict
    default: []
  max_age:
    description: A cluster of which a usable set of at most this many seconds is there gets no new one.
    type: float
  now:
    description: The present, in seconds since 1970.
    type: float
    default: 0
  after:
    description: A plan that was followed. The new one tries what has failed in it, from other members.
    type: dict
  results:
    description: The results of the loops over the instances, of all hosts.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Choose whom to back up
  ansible.builtin.set_fact:
    redis_backup_plan: "{{ redis_common_groups | globalscope.redis_backup.backup_plan(redis_common_all_members) }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    phases:
      description: The phases that have any work, in their order (V(sets), V(others), V(again)).
      type: list
      elements: str
    work:
      description: For each phase, the names of the instances to back up, by host.
      type: dict
    sets:
      description: The option C(set) of M(globalscope.redis_backup.redis_backup), for the instances that need it.
      type: dict
    siblings:
      description: For each of these instances, those that hold the same data.
      type: dict
    rows:
      description: Rows for the table of the run, of what is not backed up at all.
      type: list
      elements: dict
    failures:
      description: For what a host is to fail in the end, by host.
      type: dict
    remarks:
      description: What is to be told.
      type: list
      elements: str
    passed:
      description: The instances that are not asked.
      type: list
      elements: str
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.backed_up import failed_names
from ansible_collections.globalscope.redis_backup.plugins.module_utils._topology.backing_up import (
    Wish,
    plan_again,
    plan_backups,
)


def backup_plan(
    groups: Sequence[Mapping[str, Any]],
    members: Collection[Mapping[str, Any]],
    *,
    after: Mapping[str, Any] | None = None,
    results: Sequence[Mapping[str, Any]] = (),
    **wish: Any,
) -> dict[str, Any]:
    """See the documentation of the filter."""
    failed = failed_names(results)
    plan = plan_backups(groups, members, Wish(failed=failed, **wish))
    return plan if after is None else plan_again(after, plan, failed)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"backup_plan": backup_plan}
