#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_secure
short_description: Save aside what is left of a damaged Redis or Valkey server
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Saves aside what is left of an instance, up or down, before anything is done to it. These are the files of its data (RDB, AOF),
    redis.conf with its includes, the ACL file, nodes.conf, and the end of its log.
  - Where the server still answers, a last snapshot of what it holds in memory is taken, too, within O(snapshot_timeout) seconds.
  - It goes into C(<data_dir>/.redis_secured/<time>), for its user alone; where there is no data directory, below O(state_dir). RDB files
    are kept by a hard link, as nobody writes into them. What is changed in place is copied where there is room.
  - Nothing of the instance is changed, and nothing that was saved is ever removed. A run that was cut short leaves nothing.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - What has not changed since the last time is not saved again.
options:
  snapshot_timeout:
    description: Seconds for the last snapshot. With V(0), none is taken.
    type: int
    default: 60
notes:
  - What it keeps holds passwords (redis.conf, the ACL file). Remove it when it is not needed any more.
  - A server that cannot stream takes the last snapshot by C(BGSAVE), which replaces its dump file. The one before is kept.
seealso:
  - module: globalscope.redis_backup.redis_assess
  - module: globalscope.redis_backup.redis_freeze
"""

EXAMPLES = r"""
- name: Save aside what is left, before anything is tried
  globalscope.redis_backup.redis_secure:
    service: redis-server
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["saved 5 files of shop1-6379 (127.0.0.1:6379) aside into /var/lib/redis/.redis_secured/20261122T235141.123456Z-a1b2c3"]
secured:
  description: What is saved aside.
  returned: success
  type: dict
  contains:
    dir:
      description: The folder; empty when there was nothing to save, and in check mode where it is not there yet.
      type: str
      sample: /var/lib/redis/.redis_secured/20261122T235141.123456Z-a1b2c3
    files:
      description: The files, each with its C(path), where it is C(kept) in the folder, its C(size), and C(how) (C(linked), C(copied)).
      type: list
      elements: dict
      sample: [{"path": "/var/lib/redis/dump.rdb", "kept": "data/dump.rdb", "size": 1048576, "how": "linked"}]
    bytes:
      description: How much was copied.
      type: int
      sample: 52321
    snapshot:
      description: The last snapshot, as M(globalscope.redis_backup.redis_snapshot) tells it. V(null) when there is none.
      type: dict
      sample: null
    problems:
      description: What could not be saved, and why.
      type: list
      elements: str
      sample: []
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    login_of,
    merged,
    name_of,
    place_of,
    readable,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.secure import secure
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(connection_spec(env_fallback), {"snapshot_timeout": {"type": "int", "default": 60}}),
        supports_check_mode=True,
    )
    params = module.params
    with told(module.fail_json, name_of(params), "Nothing of the instance was changed"):
        instance = find_instance(login_of(params), place_of(params), may_be_down=True)
        done = secure(instance, params["state_dir"], params["snapshot_timeout"], check_mode=module.check_mode)
        for problem in done.problems:
            module.warn(f"{instance.name}: {problem}")
        module.exit_json(changed=done.changed, actions=done.actions, secured=readable(done.result()))


if __name__ == "__main__":
    main()
