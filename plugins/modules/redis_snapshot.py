#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_snapshot
short_description: Take a proven RDB snapshot
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Takes an RDB snapshot of a running instance and waits until it is proven. It began after it was asked for, it ended well,
    the file is the new one, the server's own check tool accepts it, and its number of keys fits what the server held.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Each run takes a snapshot, unless O(max_age) finds one young enough.
options:
  method:
    description:
      - V(bgsave) and V(save) make the server write its dump file; with V(save) it answers nobody meanwhile.
      - V(replication) asks for the snapshot as a replica does and needs O(dest).
      - V(auto) uses V(replication) when O(dest) is given and the server can stream, else V(bgsave).
    type: str
    choices: [auto, bgsave, save, replication]
    default: auto
  dest:
    description: Absolute path of the file to make. Without it, the server's own dump file is the result.
    type: path
  max_age:
    description: Take no snapshot when the file is whole and at most this many seconds old.
    type: int
  wait_timeout:
    description: Seconds to wait for a running save or rewrite to end, and for the snapshot.
    type: int
    default: 3600
"""

EXAMPLES = r"""
- name: Bring the dump file up to date
  globalscope.redis_backup.redis_snapshot:
    login_unix_socket: /run/redis/redis.sock

- name: Fetch a snapshot of a server on another host
  globalscope.redis_backup.redis_snapshot:
    login_host: db1.example.com
    method: replication
    dest: /srv/snapshots/db1.rdb
    max_age: 3600
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["took a snapshot of web1-6379 (127.0.0.1:6379) into /var/lib/redis/dump.rdb by bgsave"]
snapshot:
  description: The snapshot. V(null) in check mode when one would be taken.
  returned: success
  type: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /var/lib/redis/dump.rdb
    size:
      description: Its size in bytes.
      type: int
      sample: 3123456
    method:
      description: How it was taken; V(none) when a young one was found.
      type: str
      sample: bgsave
    rdb_version:
      description: Number of its RDB format.
      type: int
      sample: 10
    server_version:
      description: Version of the server that wrote it.
      type: str
      sample: 7.0.15
    snapshot_time:
      description: The moment whose data it holds, in UTC.
      type: str
      sample: "2026-11-22T23:51:41Z"
    started:
      description: When it was asked for, in UTC.
      type: str
      sample: "2026-11-22T23:51:41Z"
    finished:
      description: When it was proven, in UTC.
      type: str
      sample: "2026-11-22T23:51:42Z"
    duration_s:
      description: Seconds between.
      type: float
      sample: 1.02
    keys:
      description: Keys in it.
      type: int
      sample: 25001
    expires:
      description: Keys in it that carry an expiry time.
      type: int
      sample: 10
    replid:
      description: Replication id of the data set.
      type: str
      sample: 3b0ff0a5d2b3d3a2c1a1d3f5d7e9f0a1b2c3d4e5
    repl_offset:
      description: Replication offset, V(-1) when not known.
      type: int
      sample: 1042
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
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance
from ansible_collections.globalscope.redis_backup.plugins.module_utils._snapshot.take import (
    SnapshotRequest,
    snapshot_line,
    take_snapshot,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            {
                "method": {"type": "str", "choices": ["auto", "bgsave", "save", "replication"], "default": "auto"},
                "dest": {"type": "path"},
                "max_age": {"type": "int"},
                "wait_timeout": {"type": "int", "default": 3600},
            },
        ),
        supports_check_mode=True,
        required_if=[("method", "replication", ["dest"])],
    )
    params = module.params
    with told(module.fail_json, name_of(params), "No snapshot was made; the server's data is as it was"):
        request = SnapshotRequest(params["method"], params["dest"], params["max_age"], params["wait_timeout"])
        found = find_instance(login_of(params), place_of(params))
        before = snapshot_line(found, request)
        changed, actions, snapshot = take_snapshot(found, request, check_mode=module.check_mode)
        after = "a new snapshot\n" if module.check_mode and changed else snapshot_line(found, request)
        diff = {"before": before, "after": after}
        module.exit_json(changed=changed, actions=actions, snapshot=snapshot, diff=diff)


if __name__ == "__main__":
    main()
