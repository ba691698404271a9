#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_assess
short_description: Tell what an instance has lost, and what can be had back
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Looks at an instance, running or not, at what is left of its data on disk, and at its newest backup, and tells in words
    what is wrong, when it failed, and what a recovery would bring back and lose. Changes nothing.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository
  - globalscope.redis_backup.attributes
  - globalscope.redis_backup.attributes.info_module
options:
  source_instance:
    description: Name of the instance whose backups are looked at. Without it, O(instance).
    type: str
  other_instances:
    description: Names of instances that hold the same data, such as the replicas. The newest usable backup of all is taken.
    type: list
    elements: str
    default: []
  label:
    description: Label of the backup to recover from, or V(latest).
    type: str
    default: latest
  at:
    description: A time with its zone. The backup with the newest data that is not newer is taken.
    type: str
  failed_at:
    description: When the instance failed, as a time with its zone, where it is known.
    type: str
  shrink_ratio:
    description: Data counts as lost when the server holds less than this share of the lasting keys in its newest backup.
    type: float
    default: 0.5
  examine:
    description:
      - Whether to look closely at a server that is down, with what it would load, which is read once, and the end of its log; and
        to tell the RV(ways) out. To ask again and again whether it is back, V(false) does.
    type: bool
    default: true
seealso:
  - module: globalscope.redis_backup.redis_restore
"""

EXAMPLES = r"""
- name: Is anything lost
  globalscope.redis_backup.redis_assess:
    instance: multiframe-6379
    service: redis-server
    repositories:
      - name: nfs
        path: /mnt/backup/redis
  register: assessment
"""

RETURN = r"""
actions:
  description: Always empty.
  returned: success
  type: list
  elements: str
  sample: []
healthy:
  description: Whether nothing is lost.
  returned: success
  type: bool
  sample: false
damage:
  description: What is wrong. C(kind) is V(down), V(empty), V(shrunk) or V(unfinished).
  returned: success
  type: list
  elements: dict
  sample: [{"kind": "down", "says": "the server is down (connection refused); no data is left"}]
findings:
  description:
    - What else was found, in words. It explains RV(damage), or keeps a server from starting, and does not by itself mean that
      data is lost.
    - C(kind) is V(bare), V(config), V(acl), V(disk_full), V(permission), V(memory), V(port), V(crash), V(aof_torn),
      V(aof_damaged), V(rdb_damaged), V(too_new), V(data_missing), V(files_gone), V(save_failed) or V(aof_write_failed).
  returned: success
  type: list
  elements: dict
  sample: [{"kind": "aof_torn", "says": "the AOF /var/lib/redis/appendonlydir is torn at its end"}]
ways:
  description:
    - The ways out that the material allows, the smallest loss first; those whose loss nobody can tell in seconds come last.
    - C(way) is V(start), V(repair_aof), V(replay), V(restore) or V(import). C(loses_seconds) are writes of so many seconds before
      RV(failed_at), V(null) where that is not known. C(says) tells why, C(how) what to do.
  returned: success
  type: list
  elements: dict
  sample:
    - way: restore
      loses_seconds: 199.0
      says: the backup 20261122T235141Z_rdb holds the data of 2026-11-22T23:51:41Z, 3 min 19 s before the failure
      how: disaster_recovery.yml
holds_data:
  description: Whether a recovery would put aside data that may still be worth something.
  returned: success
  type: bool
  sample: false
data_files:
  description: The files of the data set that are on disk.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "dump.rdb", "size": 3123456, "modified": "2026-11-22T23:51:41Z"}]
failed_at:
  description: When the instance failed, as far as can be told, in UTC.
  returned: success
  type: str
  sample: "2026-11-22T23:55:00Z"
failed_at_source:
  description: What tells so.
  returned: success
  type: str
  sample: the unit's exit
rpo_seconds:
  description: Seconds between the data of RV(backup) and RV(failed_at), V(null) without a backup.
  returned: success
  type: float
  sample: 199.0
instance:
  description: The instance, as M(globalscope.redis_backup.redis_instance_info) returns it.
  returned: success
  type: dict
  sample: {"name": "multiframe-6379", "state": "down"}
backup:
  description: The backup that a recovery would use, V(null) when there is none.
  returned: success
  type: dict
  sample: {"label": "20261122T235141Z_rdb", "repositories": ["nfs"], "keys": {"total": 25001}}
repository:
  description: Name of the first repository that holds RV(backup); empty without one.
  returned: success
  type: str
  sample: nfs
passed_over:
  description: Backups newer than RV(backup) that cannot be used, each with its reason.
  returned: success
  type: list
  elements: str
  sample: []
repository_problems:
  description: Repositories that cannot be read, each with its reason. When none can, the module fails.
  returned: success
  type: dict
  sample: {}
backup_problem:
  description: Why no backup can be used, empty when one can.
  returned: success
  type: str
  sample: ""
open_restore:
  description: State of a restore of files that has swapped data and was neither committed nor rolled back; empty when none is.
  returned: success
  type: str
  sample: ""
open_live:
  description:
    - A restore with O(globalscope.redis_backup.redis_restore#module:method=replication) that was begun on this host and not ended. V(null) when there is none.
    - C(id), C(label) and C(state); C(mend) is the state that ends it without a loss, V(committed) or V(rolled_back), and empty
      where an operator has to choose, as the server takes writes again or is down.
  returned: success
  type: dict
  sample: {"id": "20261122T235141Z-1a2b3c", "label": "20261122T233000Z_rdb", "state": "activating", "mend": "rolled_back"}
relatives:
  description:
    - The primary or the replicas that the instance had when RV(backup) was made, each with C(address), C(role), and the C(label) of
      the backup that tells.
  returned: success
  type: list
  elements: dict
  sample: [{"address": "10.0.0.2:6379", "role": "replica", "label": "20261122T235141Z_rdb"}]
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    login_of,
    merged,
    name_of,
    place_of,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec_repository import (
    repositories_spec,
    stores_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.assess import Question, assess
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.info import moment
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            repositories_spec(),
            {
                "source_instance": {"type": "str"},
                "other_instances": {"type": "list", "elements": "str", "default": []},
                "label": {"type": "str", "default": "latest"},
                "at": {"type": "str"},
                "failed_at": {"type": "str"},
                "shrink_ratio": {"type": "float", "default": 0.5},
                "examine": {"type": "bool", "default": True},
            },
        ),
        supports_check_mode=True,
    )
    params = module.params
    with told(module.fail_json, name_of(params), "Nothing was changed"):
        place = place_of(params)
        question = Question(
            stores=stores_of(params),
            source_instance=params["source_instance"] or place.name,
            others=tuple(params["other_instances"]),
            label=params["label"],
            at=moment(params["at"]),
            failed_at=moment(params["failed_at"]),
            shrink_ratio=params["shrink_ratio"],
            state_dir=params["state_dir"],
            examine=params["examine"],
        )
        found = find_instance(login_of(params), place, may_be_down=True)
        module.exit_json(changed=False, actions=[], **assess(found, question))


if __name__ == "__main__":
    main()
