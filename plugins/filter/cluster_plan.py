# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: cluster_plan
short_description: Tell what a cluster needs to be whole again
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Decides for each shard of a cluster, a group of P(globalscope.redis_backup.topology#filter), what is to be done, by
    what is known of its members and by what there is in repositories.
  - The role P(globalscope.redis_backup.redis_disaster_recovery#role) does it.
positional: members, assessed, catalog
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
  catalog:
    description: What M(globalscope.redis_backup.redis_backup_info) returned without an instance.
    type: dict
    required: true
  promote:
    description: Names of the instances that may become primaries.
    type: list
    elements: str
    default: []
  confirm:
    description: Names of the instances whose data may be put aside, or that are lost for good.
    type: list
    elements: str
    default: []
  force:
    description: Whether to recover although nothing is lost.
    type: bool
    default: false
  waited:
    description: Whether the cluster had its time to fail over already.
    type: bool
    default: false
  label:
    description: Label of the backup to recover from, or V(latest).
    type: str
    default: latest
  at:
    description: A time with its zone. Backups with newer data do not count.
    type: str
    default: ""
  repository:
    description: Name of the only repository to recover from.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: What is to be done
  ansible.builtin.debug:
    msg: "{{ (group | globalscope.redis_backup.cluster_plan(members, assessed, catalog)).shards }}"
"""

RETURN = r"""
_value:
  description:
    - The plan. V(action) is V(none), V(feed) (nodes that are not in their place), V(recover) (shards from backups),
      V(promote), V(wait) (the cluster is about to fail over) or V(refuse), and V(why) tells more. V(shards) has the
      same of each shard, and its backup.
    - V(table) and V(epoch) are what a node that lost its C(nodes.conf) is to know. V(stop), V(place), V(recover),
      V(promote) and V(feed) are the members to be stopped, to be given that table, to be recovered, to be made
      primaries, and to copy theirs.
    - V(partial) tells that a shard cannot be had back now, and V(skipped) names what cannot be worked on.
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.globalscope.redis_backup.plugins.module_utils._group import cluster_plan as library
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.plan import Wish


def cluster_plan(
    group: Mapping[str, Any],
    members: Sequence[Mapping[str, Any]],
    assessed: Mapping[str, Mapping[str, Any]],
    catalog: Mapping[str, Any],
    promote: Sequence[str] = (),
    confirm: Sequence[str] = (),
    force: bool = False,
    waited: bool = False,
    label: str = "latest",
    at: str = "",
    repository: str = "",
) -> dict[str, Any]:
    """See the documentation of the filter."""
    wish = Wish(
        promote=tuple(map(str, promote)),
        confirm=tuple(map(str, confirm)),
        force=bool(force),
        waited=bool(waited),
        label=str(label),
        at=str(at),
        repository=str(repository),
    )
    return library.cluster_plan(group, members, assessed, catalog, wish)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"cluster_plan": cluster_plan}
