#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_instance_info
short_description: Tell what a Redis or Valkey instance is
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Gathers the facts of one Redis or Valkey instance in one round trip.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.attributes
  - globalscope.redis_backup.attributes.info_module
options:
  required:
    description:
      - Whether the module fails when the server does not answer.
      - With V(false), a server that is down is described from its unit and its redis.conf.
    type: bool
    default: true
seealso:
  - module: globalscope.redis_backup.redis_assess
"""

EXAMPLES = r"""
- name: Look at the local instance
  globalscope.redis_backup.redis_instance_info:
    login_password: "{{ vault_redis_password }}"
  register: redis

- name: Show where it keeps its data
  ansible.builtin.debug:
    msg: "{{ redis.instance.version }} in {{ redis.instance.dir }}"
"""

RETURN = r"""
actions:
  description: Always empty.
  returned: success
  type: list
  elements: str
  sample: []
instance:
  description: The instance.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the instance.
      type: str
      sample: web1-6379
    state:
      description: V(running), V(loading) or V(down).
      type: str
      sample: running
    state_reason:
      description: Why it is down, in words.
      type: str
      sample: ""
    flavour:
      description: V(redis) or V(valkey).
      type: str
      sample: redis
    version:
      description: The flavour's own version.
      type: str
      sample: 7.0.15
    role:
      description: V(primary) or V(replica).
      type: str
      sample: primary
    config_file:
      description: Path of redis.conf; empty when the server runs without.
      type: str
      sample: /etc/redis/redis.conf
    dir:
      description: The data directory.
      type: str
      sample: /var/lib/redis
    dbfilename:
      description: Name of the RDB file.
      type: str
      sample: dump.rdb
    appendonly:
      description: Whether the AOF is on.
      type: bool
      sample: true
    executable:
      description: The server's program on this host; empty when it is not found.
      type: str
      sample: /usr/bin/redis-server
    pid:
      description: Process id, V(null) when down.
      type: int
      sample: 712
    run_id:
      description: The run's id.
      type: str
      sample: 3b0ff0a5d2b3d3a2c1a1d3f5d7e9f0a1b2c3d4e5
    uptime_seconds:
      description: Seconds since the start.
      type: int
      sample: 86400
    keys:
      description: Keys in all databases, V(null) when down.
      type: int
      sample: 25001
    keyspace:
      description: Keys and keys with an expiry time of each database.
      type: dict
      sample: {"db0": {"expires": 10, "keys": 25001}}
    used_memory_bytes:
      description: Memory used by the data set and buffers.
      type: int
      sample: 8123456
    persistence:
      description: State of RDB and AOF.
      type: dict
      sample: {"aof_enabled": true, "rdb_last_bgsave_ok": true}
    topology:
      description: Mode, role, primary and replicas.
      type: dict
      sample: {"mode": "standalone", "role": "primary", "primary": null, "replicas": []}
    capabilities:
      description: What can be done with the server from this host.
      type: dict
      sample: {"config": true, "functions": true, "stream": true, "stream_refused_because": ""}
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
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.describe import describe
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(connection_spec(env_fallback), {"required": {"type": "bool", "default": True}}),
        supports_check_mode=True,
    )
    with told(module.fail_json, name_of(module.params), "Nothing was changed"):
        found = find_instance(login_of(module.params), place_of(module.params), may_be_down=not module.params["required"])
        module.exit_json(changed=False, actions=[], instance=describe(found))


if __name__ == "__main__":
    main()
