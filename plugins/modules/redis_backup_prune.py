#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_backup_prune
short_description: Remove backups and exports that retention no longer keeps
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Removes the backups of an instance that no rule keeps, in each repository by its own rules. It speaks to no server.
  - With O(shards), the rules count the backups of all instances that hold the same data as one history, whichever member
    each was taken from. Only backups under the name of O(instance) are removed; run it for each of them. The newest good
    backup under each name stays, since that server may have held other data before.
  - The backups of a cluster that make up a set stay or go together, under whatever names they lie. Rules and minimum count
    whole sets. A set that lacks a part satisfies no rule but C(within) once a whole one is newer; until then, what there is of
    it is kept by the rules, for each shard apart. Where a part is there and cannot be used, the others stay.
  - Exports of keys go by the same rules, those of each name for themselves, and the newest of each name stays whatever the
    rules say. An export counts as verified when it was read to its end.
  - Whatever the rules say, it keeps the newest verified backups (O(minimum_verified)), backups that are pinned (the annotation
    C(keep) of M(globalscope.redis_backup.redis_backup)), locked by the store, or that cannot be used.
  - A backup that holds far less than the newest verified one before it is suspect. It satisfies no rule, and while there is one,
    nothing of the instance is removed until M(globalscope.redis_backup.redis_backup_acknowledge) says that all is well. A
    suspect export holds back the exports of its name alone.
  - The age of a backup is told by the other backups, never by this host's clock. A backup made while a clock was wrong, between
    others that fit each other, stays as long as it could count for a rule. A jump that stays stops everything, until the backup
    behind it is acknowledged.
  - What writers that died left more than a day ago is removed, too.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository
  - globalscope.redis_backup.repository.keep
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  minimum_verified:
    description:
      - How many verified backups stay whatever the rules say. Where fewer are verified, the newest usable ones stay in their place.
    type: int
    default: 2
  shards:
    description:
      - The instances that belong together, as lists of the names of those that hold the same data. For a primary with its replicas
        that is one list with O(instance) in it, for a cluster a list for each shard.
      - Parts of sets under other names are searched for where a set would not be whole without them.
      - The role P(globalscope.redis_backup.redis_backup#role) finds out by itself.
    type: list
    elements: list
    default: []
  shrink_ratio:
    description: The share of keys, or of bytes, below which a backup is suspect.
    type: float
    default: 0.5
  adopt:
    description: Prune backups that another server made under this name, as the UUID in the repository tells.
    type: bool
    default: false
seealso:
  - module: globalscope.redis_backup.redis_backup_verify
  - module: globalscope.redis_backup.redis_backup_acknowledge
  - module: globalscope.redis_backup.redis_backup_info
"""

EXAMPLES = r"""
- name: Keep a day of hourly backups on the spot, and a year of them in the cloud
  globalscope.redis_backup.redis_backup_prune:
    instance: multiframe-6379
    repositories:
      - name: local
        path: /var/backups/redis
        keep:
          hourly: 24
      - name: cloud
        type: s3
        bucket: multiframe-backups
        keep:
          daily: 14
          weekly: 8
          monthly: 12

- name: See what would go
  globalscope.redis_backup.redis_backup_prune:
    instance: multiframe-6379
    repositories:
      - name: local
        path: /var/backups/redis
    keep:
      last: 5
      within: 7
  check_mode: true
  diff: true

- name: Keep thirty days of a primary and its replica, whichever of them was backed up
  globalscope.redis_backup.redis_backup_prune:
    instance: shop1-6379
    shards:
      - [shop1-6379, shop2-6379]
    repositories:
      - name: nfs
        path: /mnt/backup/redis
    keep:
      daily: 30
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["removed 20261120T000000Z_rdb from repository local (/var/backups/redis)"]
kept:
  description: The backups and exports that stay in each repository, and why.
  returned: success
  type: list
  elements: dict
  contains:
    label:
      description: Its label.
      type: str
      sample: 20261122T235141Z_rdb
    repository:
      description: Name of the repository.
      type: str
      sample: local
    reasons:
      description: Why it stays.
      type: list
      elements: str
      sample: ["one of the last 5", "daily 2026-11-22", "one of the newest verified"]
removed:
  description: Labels of the backups and exports that are gone, or would be, from any repository.
  returned: success
  type: list
  elements: str
  sample: [20261120T000000Z_rdb]
freed_bytes:
  description: Bytes that were freed, or would be.
  returned: success
  type: int
  sample: 183500800
repositories:
  description: The same for each repository.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: local
    kept:
      description: Labels that stay.
      type: list
      elements: str
      sample: [20261122T235141Z_rdb]
    removed:
      description: Labels that are gone.
      type: list
      elements: str
      sample: [20261120T000000Z_rdb]
    remains:
      description: Labels of unfinished backups and exports whose remains are gone.
      type: list
      elements: str
      sample: []
    epochs:
      description:
        - Epochs of the archive of the AOF that are gone. What is needed to recover any time from the oldest backup that stays
          on is kept, whichever of O(shards) that holds the same data it was taken from, and without backups the newest epoch
          with a whole base and all behind it.
      type: list
      elements: str
      sample: [20261120T000000Z-1-1c8b024d]
    blocked:
      description: Why nothing was removed although the rules would let it; V(null) otherwise.
      type: str
      sample: "20261122T235141Z_rdb is suspect and not acknowledged: it holds 0 keys, 20261121T235141Z_rdb before it 25001"
    freed_bytes:
      description: Bytes that were freed there.
      type: int
      sample: 183500800
    failed:
      description: Why the repository could not be pruned; V(null) when it could.
      type: str
      sample: null
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    merged,
    name_of,
    state_of,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec_repository import (
    keep_options,
    policies_of,
    repositories_spec,
    stores_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.prune import (
    PruneRequest,
    prune,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.retention import (
    MINIMUM_VERIFIED,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.suspects import SHRINK_RATIO


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            repositories_spec(),
            {
                "keep": {"type": "dict", "options": keep_options()},
                "minimum_verified": {"type": "int", "default": MINIMUM_VERIFIED},
                "shards": {"type": "list", "elements": "list", "default": []},
                "shrink_ratio": {"type": "float", "default": SHRINK_RATIO},
                "adopt": {"type": "bool", "default": False},
            },
        ),
        supports_check_mode=True,
    )
    params = module.params
    with told(module.fail_json, name_of(params), "Nothing was removed"):
        result = prune(
            PruneRequest(
                stores=stores_of(params),
                instance=name_of(params),
                policies=policies_of(params),
                state=state_of(params),
                shrink_ratio=params["shrink_ratio"],
                adopt=params["adopt"],
                check_mode=module.check_mode,
                shards=[[str(name) for name in names] for names in params["shards"]],
            )
        )
        for warning in result.warnings:
            module.warn(warning)
        returned = {"changed": result.changed, "actions": result.actions, **result.as_result()}
        if result.failed:
            module.fail_json(msg=result.failure, **returned)
        module.exit_json(**returned)


if __name__ == "__main__":
    main()
