#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_backup
short_description: Back up a Redis or Valkey instance
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Takes a snapshot of a running instance, or its AOF, and writes it, checked, compressed, encrypted and hashed, to one or several
    repositories in one reading of the data.
  - A backup exists only when its manifest does, which is written last. A backup that fails leaves none.
  - redis.conf with its includes, the ACL file, functions and nodes.conf are kept with it.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository.packing
  - globalscope.redis_backup.repository
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - Each run makes a backup, unless O(max_age) finds the newest one young enough.
options:
  engine:
    description:
      - What is backed up. V(auto) and V(rdb) take an RDB snapshot.
      - V(aof) reads the AOF as it stands, while the server goes on writing and rewriting, without a fork and without a change
        of its configuration. It must be switched on and lie on the host where the module runs. What is stored is what the
        server has written to its AOF up to RV(backup.time), and can be restored with M(globalscope.redis_backup.redis_restore).
      - The engines have backups of their own. O(max_age) asks for one of the same engine.
    type: str
    choices: [auto, rdb, aof]
    default: auto
  source:
    description:
      - How the snapshot is had. V(stream) asks the server for a full synchronisation, as a replica does, so that the plain
        data never touches a disk. V(file) makes the server save, and reads its dump file
        while the server writes it, so that the backup ends with the save.
      - V(auto) streams where the server can do so without writing to its disk (C(repl-diskless-sync)) and lets us, and
        reads the file elsewhere.
      - An AOF (O(engine=aof)) is always read from its files.
    type: str
    choices: [auto, stream, file]
    default: auto
  repositories_min:
    description:
      - How many of the O(repositories) must have the backup for the task to succeed. By default, all of them.
      - Each repository ends with the whole backup or with nothing of it. One that is missing, locked, full or that fails while
        it is written fails alone. Where enough others have the backup, the task warns and names it in RV(backup.failed).
      - A repository that keeps another server's backups under the same name stops the task before anything is written.
    type: int
  max_age:
    description:
      - Make no backup when every repository has one whose data is at most this many seconds old.
      - Where one of them lacks it, all get a new one. A repository that could not be written to now is not asked.
    type: int
  same_data:
    description:
      - Names of other instances that hold the same data, such as the primary and the other replicas. A backup of one of them
        that is young enough for O(max_age) makes a new one needless, too.
    type: list
    elements: str
    default: []
  annotations:
    description:
      - Anything to be kept with the backup in its manifest.
      - C(keep) is obeyed by retention. V(true) keeps the backup for good, a date (through that day, in UTC) or a time with a
        zone until then.
    type: dict
    default: {}
  set:
    description:
      - Which part of a cluster's backup this one is. The manifest keeps it, and M(globalscope.redis_backup.redis_backup_info)
        tells which sets are whole. The role P(globalscope.redis_backup.redis_backup#role) gives it by itself.
      - The node that owns the slots, which is the primary where the backup is made of a replica, is asked before the
        snapshot and after it. Where slots are being moved, or are no longer those of O(set.slots), no backup is made, so
        that the set stays incomplete. A replica is waited for until it has what its primary had when it was asked.
    type: dict
    suboptions:
      id:
        description: Identifier of the set, the same for all its shards.
        type: str
        required: true
      shards:
        description: How many shards the cluster has.
        type: int
        required: true
      shard:
        description: Name of the shard, the same whichever of its nodes is backed up.
        type: str
        required: true
      slots:
        description: The slots of the shard, as ranges of which both ends belong to it.
        type: list
        elements: list
        required: true
  adopt:
    description:
      - Continue the history of another server that the repository knows under the same name.
      - Without it, two servers that carry one name are told apart by a UUID, and the second one is refused.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait for a running save to end and for the server's own save.
    type: int
    default: 3600
requirements:
  - zstd
  - age, when O(encryption) is used
seealso:
  - module: globalscope.redis_backup.redis_backup_info
  - module: globalscope.redis_backup.redis_restore
"""

EXAMPLES = r"""
- name: Back up the local instance, encrypted, unless a backup of the last four hours exists
  globalscope.redis_backup.redis_backup:
    login_password: "{{ vault_redis_password }}"
    instance: multiframe-6379
    repositories:
      - name: nfs
        type: posix
        path: /mnt/backup/redis
    encryption:
      recipients:
        - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    max_age: 14400

- name: Back up to three places; two will do. Keep this one until the audit is over
  globalscope.redis_backup.redis_backup:
    instance: multiframe-6379
    repositories:
      - name: local
        path: /var/backups/redis
      - name: nfs
        path: /mnt/backup/redis
      - name: cloud
        type: s3
        bucket: example-redis
    repositories_min: 2
    encryption:
      recipients:
        - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    annotations:
      keep: "2027-06-30"

- name: Back up one shard of a cluster
  globalscope.redis_backup.redis_backup:
    instance: db1-7000
    login_port: 7000
    repositories:
      - name: nfs
        path: /mnt/backup/redis
    set:
      id: cluster-1a2b3c4d-20261122T235141Z
      shards: 3
      shard: db1-7000
      slots: [[0, 5460]]

- name: Back up the AOF as well, once a week
  globalscope.redis_backup.redis_backup:
    instance: multiframe-6379
    engine: aof
    repositories:
      - name: nfs
        path: /mnt/backup/redis
    encryption:
      recipients:
        - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    max_age: 604800
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["took the snapshot as a replication stream", "wrote 20261122T235141Z_rdb to repository nfs (/mnt/backup/redis)"]
backup:
  description: The backup that was made, or that was young enough. V(null) in check mode when one would be made.
  returned: success
  type: dict
  contains:
    label:
      description: Its label.
      type: str
      sample: 20261122T235141Z_rdb
    instance:
      description: The instance's name.
      type: str
      sample: multiframe-6379
    engine:
      description: V(rdb) or V(aof).
      type: str
      sample: rdb
    source:
      description: V(replication) for a stream, V(bgsave) for the server's dump file, V(aof) for its AOF.
      type: str
      sample: replication
    time:
      description: The moment whose data it holds, in UTC.
      type: str
      sample: "2026-11-22T23:51:41Z"
    age_seconds:
      description: Seconds since that moment.
      type: int
      sample: 1
    size:
      description: Bytes before compression.
      type: int
      sample: 3123456
    stored_size:
      description: Bytes stored in each repository.
      type: int
      sample: 1023456
    files:
      description: The stored files with their sizes in bytes and the SHA-256 of the stored bytes.
      type: list
      elements: dict
      sample: [{"name": "dump.rdb.zst.age", "content": "dump.rdb", "kind": "rdb", "size": 3123456, "stored_size": 1023456, "sha256": "9f86d0"}]
    set:
      description: What was kept of O(set), with the node that owns the slots and its epoch. V(null) without it.
      type: dict
      sample: null
    keys:
      description:
        - Keys in the snapshot. For an AOF, keys of the server when it was read, which may differ by what was written in that
          moment.
      type: int
      sample: 25001
    duration_s:
      description: Seconds that the backup took.
      type: float
      sample: 1.21
    encrypted:
      description: Whether it is encrypted.
      type: bool
      sample: true
    verified:
      description: Whether a real server has loaded it yet.
      type: bool
      sample: false
    repositories:
      description: The repositories that hold it, or (with O(max_age)) one as young.
      type: list
      elements: str
      sample: [nfs]
    failed:
      description: Why the other repositories did not get it, by name.
      type: dict
      sample: {}
    passed_over:
      description: The repositories that have a backup young enough for their own C(max_age), with its label.
      type: dict
      sample: {"cloud": "20261120T000001Z_rdb"}
failed_repositories:
  description: The repositories that did not get the backup.
  returned: when the task fails since fewer than O(repositories_min) repositories have the backup
  type: list
  elements: str
  sample: [nfs]
complete_repositories:
  description: The repositories that have the backup nevertheless.
  returned: when the task fails since fewer than O(repositories_min) repositories have the backup
  type: list
  elements: str
  sample: [local]
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    login_of,
    merged,
    name_of,
    place_of,
    state_of,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec_repository import (
    packing_of,
    packing_spec,
    repositories_spec,
    set_option,
    stores_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.cluster_set import part_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.make import make_backup
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.request import RDB, BackupRequest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._backup.turn import check_request
from ansible_collections.globalscope.redis_backup.plugins.module_utils._live.settled import require_proven
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.guards import require_settled
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            packing_spec(),
            repositories_spec(),
            {
                "engine": {"type": "str", "choices": ["auto", "rdb", "aof"], "default": "auto"},
                "source": {"type": "str", "choices": ["auto", "stream", "file"], "default": "auto"},
                "repositories_min": {"type": "int"},
                "max_age": {"type": "int"},
                "annotations": {"type": "dict", "default": {}},
                "same_data": {"type": "list", "elements": "str", "default": []},
                "set": set_option(),
                "adopt": {"type": "bool", "default": False},
                "wait_timeout": {"type": "int", "default": 3600},
            },
        ),
        supports_check_mode=True,
    )
    params = module.params
    with told(
        module.fail_json, name_of(params), "No backup was made; the earlier ones and the server are as they were"
    ):
        request = BackupRequest(
            stores=stores_of(params),
            state=state_of(params),
            packing=packing_of(params),
            engine=params["engine"] if params["engine"] != "auto" else RDB,
            source=params["source"],
            max_age=params["max_age"],
            max_ages={each["name"]: each["max_age"] for each in params["repositories"] if each["max_age"] is not None},
            annotations=params["annotations"],
            adopt=params["adopt"],
            wait_timeout=params["wait_timeout"],
            repositories_min=params["repositories_min"],
            part=part_of(params["set"]),
            siblings=tuple(name for name in params["same_data"] if name != name_of(params)),
        )
        check_request(request)
        found = find_instance(login_of(params), place_of(params))
        require_settled(found)
        require_proven(found, params["state_dir"])
        made = make_backup(found, request, check_mode=module.check_mode)
        for warning in made.warnings:
            module.warn(warning)
        module.exit_json(changed=made.changed, actions=made.actions, backup=made.backup, diff=made.diff)


if __name__ == "__main__":
    main()
