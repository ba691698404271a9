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
  - Gathers the facts of one Redis or Valkey instance, or of one Sentinel, in two round trips.
  - Tells its place among others, its topology; of an instance that is down, as redis.conf, C(nodes.conf) or
    C(sentinel.conf) say.
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
      description: V(primary), V(replica) or V(sentinel). Empty when it is down; see RV(instance.topology.role).
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
    fenced:
      description:
        - Whether a recovery has fenced it, so that it answers nothing before it has copied its primary, and has not come to
          open it again.
      type: bool
      sample: false
    topology:
      description: The instance's place among others.
      type: dict
      contains:
        mode:
          description: V(standalone), V(cluster) or V(sentinel).
          type: str
          sample: standalone
        role:
          description:
            - V(primary), V(replica) or V(sentinel). Of an instance that is down, the role in which its files start it.
            - Empty when nothing tells.
          type: str
          sample: primary
        source:
          description: Who tells. V(server), V(files), or V(nothing) when the instance is down and its files are not known.
          type: str
          sample: server
        machine:
          description: The machine it runs on. Hosts of an inventory that tell the same share it.
          type: str
          sample: 83329a64-a9ac-4949-9370-33a5874b5d02
        network:
          description: The network in which V(127.0.0.1) means the same.
          type: str
          sample: 83329a64-a9ac-4949-9370-33a5874b5d02/net:[4026531833]
        addresses:
          description: Every C(host:port) by which others may name it.
          type: list
          elements: str
          sample: ["10.0.0.1:6379", "127.0.0.1:6379", "db1:6379"]
        primary:
          description:
            - Whom a replica follows, V(null) for all others. V(last_io_seconds) is V(-1) without a link, V(priority) is
              V(null) when the instance is down, V(addresses) is what the name V(host) resolves to.
          type: dict
          sample:
            {"host": "10.0.0.1", "port": 6379, "link_up": true, "sync_in_progress": false, "last_io_seconds": 1,
             "priority": 100, "addresses": []}
        replicas:
          description: Its connected replicas. V(offset) is what each has acknowledged, V(lag) how many seconds ago.
          type: list
          elements: dict
          sample: [{"host": "10.0.0.2", "port": 6379, "state": "online", "offset": 4130, "lag": 0}]
        replid:
          description: The history of its data, which primary and replicas share. Empty when it is down.
          type: str
          sample: 2a0c80a047c8bb03438b7082c4634a9719c98d91
        offset:
          description: How far it is in this history, in bytes. V(null) when it is down.
          type: int
          sample: 4144
        watched_by:
          description: The Sentinels that listen to it, each with the first letters of its V(id) and its address.
          type: list
          elements: dict
          sample: [{"id": "79fb58f3", "host": "10.0.0.4"}]
        sentinel:
          description:
            - What a Sentinel watches, V(null) for all others. V(my_id) is its own id.
            - Each of V(masters) has V(name), V(host), V(port), V(ok) (its flags are V(master) alone), V(flags), V(quorum),
              V(quorum_ok) and V(quorum_says) (C(SENTINEL CKQUORUM)), V(num_sentinels) with itself, V(num_replicas),
              V(down_after_ms), V(failover_timeout_ms), V(parallel_syncs), V(config_epoch), V(last_ok_ping_ms), and
              V(replicas) and V(sentinels), the others it knows, as C(host:port).
            - One that is V(forgotten) is not watched right now; it was, before a recovery that was cut short.
          type: dict
          sample:
            {"my_id": "79fb58f38f142de6a75a28992f5448e4277ec474",
             "masters": [{"name": "shop", "host": "10.0.0.1", "port": 6379, "ok": true, "flags": ["master"], "quorum": 2,
                          "quorum_ok": true, "num_sentinels": 3, "num_replicas": 2, "down_after_ms": 30000,
                          "replicas": ["10.0.0.2:6379", "10.0.0.3:6379"],
                          "sentinels": ["10.0.0.5:26379", "10.0.0.6:26379"]}]}
        cluster:
          description:
            - The cluster as this node sees it, V(null) for all others. V(state) is empty when the node is down.
            - V(moving) are slots on their way to or from this node, in words; a node knows only its own.
          type: dict
          sample:
            {"state": "ok", "my_id": "09a1cdf741308160d7cd18300a193bd3215e1132", "shard_id": "", "epoch": 6,
             "slots_served": 16384, "moving": [],
             "nodes": [{"id": "09a1cdf741308160d7cd18300a193bd3215e1132", "host": "10.0.0.1", "port": 6379,
                        "bus_port": 16379, "hostname": "", "role": "primary", "primary_id": "", "slots": [[0, 16383]], "epoch": 1,
                        "usable": true, "flags": ["master", "myself"]}]}
        problems:
          description: What the server refused to tell.
          type: list
          elements: str
          sample: []
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
from ansible_collections.globalscope.redis_backup.plugins.module_utils._group.forgotten import with_forgotten
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.describe import describe
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(connection_spec(env_fallback), {"required": {"type": "bool", "default": True}}),
        supports_check_mode=True,
    )
    with told(module.fail_json, name_of(module.params), "Nothing was changed"):
        found = find_instance(
            login_of(module.params), place_of(module.params), may_be_down=not module.params["required"]
        )
        module.exit_json(
            changed=False, actions=[], instance=with_forgotten(describe(found), module.params["state_dir"])
        )


if __name__ == "__main__":
    main()
