#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_backup_info
short_description: List the backups and exports in repositories
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Lists the backups of one or all instances, usable or why not, those of several repositories merged, and so their exports of
    keys. Backups of the shards of a cluster are told as the sets that they make up, too.
  - It speaks to no server.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository
  - globalscope.redis_backup.attributes
  - globalscope.redis_backup.attributes.info_module
options:
  instance:
    description: Name of the instance. Without it, the backups and exports of all instances are listed.
  at:
    description:
      - A time with its zone, such as V(2026-11-22T23:51:41Z). RV(latest) is then the backup with the newest data that is
        not newer.
    type: str
  usable_only:
    description: Whether to leave out backups and exports that cannot be used.
    type: bool
    default: false
  query:
    description: A JMESPath expression, applied to RV(backups).
    type: str
requirements:
  - jmespath (Python library), when O(query) is used
"""

EXAMPLES = r"""
- name: What could be recovered, and how old is it
  globalscope.redis_backup.redis_backup_info:
    instance: multiframe-6379
    repositories:
      - name: nfs
        path: /mnt/backup/redis
  register: catalog

- name: Labels of the encrypted backups
  globalscope.redis_backup.redis_backup_info:
    repositories:
      - name: nfs
        path: /mnt/backup/redis
    query: "[?encrypted].label"

- name: What a recovery to noon would use, and what it would lose
  globalscope.redis_backup.redis_backup_info:
    instance: multiframe-6379
    repositories:
      - name: nfs
        path: /mnt/backup/redis
    at: "2026-11-22T12:00:00Z"
  register: catalog

- name: What no server has loaded yet, and what a human should look at
  globalscope.redis_backup.redis_backup_info:
    repositories:
      - name: nfs
        path: /mnt/backup/redis
    query: "[?!verified || suspect || !usable].{instance: instance, label: label, suspect: suspect, problems: problems}"
"""

RETURN = r"""
actions:
  description: Always empty.
  returned: success
  type: list
  elements: str
  sample: []
backups:
  description:
    - The backups, oldest first, or what O(query) made of them. RV(latest) tells what each holds.
  returned: success
  type: list
  elements: raw
  sample: [{"label": "20261122T235141Z_rdb", "instance": "multiframe-6379", "usable": true, "problems": {}, "repositories": ["nfs"]}]
latest:
  description:
    - The backup that a recovery (to O(at)) would use, V(null) when there is none or no O(instance) is named.
    - What a backup has from RV(latest.time) on comes from its manifest. It is missing where no copy can be used.
  returned: success
  type: dict
  contains:
    label:
      description: Its label, the same in all repositories.
      type: str
      sample: 20261122T235141Z_rdb
    instance:
      description: Whose backup it is.
      type: str
      sample: multiframe-6379
    usable:
      description: Whether some repository holds it whole.
      type: bool
      sample: true
    repositories:
      description: Names of the repositories that hold it whole.
      type: list
      elements: str
      sample: [local, nfs]
    problems:
      description: By the name of the repository, why its copy cannot be used.
      type: dict
      sample: {}
    suspect:
      description: Why it is suspect, V(null) when it is not.
      type: str
      sample: null
    acknowledged_at:
      description: When a human said that it is right, V(null) when nobody did.
      type: str
      sample: null
    verified:
      description: Whether a throw-away server has loaded it and found it good.
      type: bool
      sample: true
    verified_at:
      description: When that was done last.
      type: str
      sample: "2026-11-23T03:15:02Z"
    verified_level:
      description: The highest level at which it was found good (V(stored), V(content) or V(restore)), or V(null).
      type: str
      sample: restore
    verifications:
      description: For each level, when it was last found good at that level or a higher one.
      type: dict
      sample: {"stored": "2026-11-23T03:15:02Z", "content": null, "restore": null}
    time:
      description: The moment whose data it holds, in UTC.
      type: str
      sample: "2026-11-22T23:51:41Z"
    started:
      description: When it was begun.
      type: str
      sample: "2026-11-22T23:51:41Z"
    finished:
      description: When it was complete.
      type: str
      sample: "2026-11-22T23:52:09Z"
    duration_s:
      description: Seconds that it took.
      type: float
      sample: 27.802
    engine:
      description: What was backed up.
      type: str
      sample: rdb
    uuid:
      description: UUID of the server that was backed up.
      type: str
      sample: f6123338-69a7-4eb3-aedb-c7f6108c2ad2
    size:
      description: Bytes before compression.
      type: int
      sample: 1030451200
    stored_size:
      description: Bytes that one copy takes.
      type: int
      sample: 450812345
    bytes_per_second:
      description: RV(latest.size) by RV(latest.duration_s).
      type: int
      sample: 37063923
    encrypted:
      description: Whether it is encrypted.
      type: bool
      sample: true
    annotations:
      description: What was given with it; C(keep) holds it back from retention.
      type: dict
      sample: {"keep": "2027-01-31"}
    keys:
      description: Keys in it (C(total)), and those that expire (C(expires)).
      type: dict
      sample: {"total": 25001, "expires": 12}
    server:
      description: The server that was backed up, such as its C(flavour), C(version) and C(modules).
      type: dict
      sample: {"flavour": "redis", "version": "7.0.15", "modules": []}
    files:
      description: The stored files.
      type: list
      elements: dict
      sample: []
    aof:
      description:
        - What an AOF holds, V(null) for another engine. Its files with their sizes, its commands, and its first and last
          annotation of time, V(null) without C(aof-timestamp-enabled).
      type: dict
      sample: null
    set:
      description: Which part of which of the RV(sets) it is, V(null) for a backup by itself.
      type: dict
      sample: null
    checks:
      description: The checks that it passed when it was made.
      type: list
      elements: dict
      sample: []
exports:
  description:
    - The exports of keys that M(globalscope.redis_backup.redis_export) made, oldest first. Each tells what a backup tells, as
      far as an export has it (see RV(latest)), and the following.
  returned: success
  type: list
  elements: dict
  contains:
    label:
      description: Its label, the same in all repositories.
      type: str
      sample: 20261122T235141Z_drivers
    name:
      description: The name that it was made under. Exports of one name are kept together by retention.
      type: str
      sample: drivers
    format:
      description: V(jsonl), V(json) or V(dump).
      type: str
      sample: jsonl
    patterns:
      description: The patterns that keys were looked for by; empty for all keys.
      type: list
      elements: str
      sample: ["driver:*"]
    types:
      description: The types that keys were looked for by; empty for all types.
      type: list
      elements: str
      sample: []
    databases:
      description: The databases that keys were looked for in; empty for all of them.
      type: list
      elements: int
      sample: [0]
    point_in_time:
      description: Always V(false). Keys were read one after the other, from RV(exports[].started) to RV(exports[].finished).
      type: bool
      sample: false
    started:
      description: When the reading began.
      type: str
      sample: "2026-11-22T23:51:41Z"
    finished:
      description: When it was complete.
      type: str
      sample: "2026-11-22T23:51:43Z"
    usable:
      description: Whether some repository holds it whole.
      type: bool
      sample: true
    repositories:
      description: Names of the repositories that hold it whole.
      type: list
      elements: str
      sample: [local, nfs]
    keys:
      description: Keys in it (C(total)), and those that expire (C(expires)).
      type: dict
      sample: {"total": 1201, "expires": 12}
    verified:
      description: Whether it was read to its end (V(content)) and found equal to its manifest.
      type: bool
      sample: true
sets:
  description:
    - The backups of clusters, oldest first, each made of one backup of every shard. With O(instance), those that one of its
      backups is part of.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Identifier of the set.
      type: str
      sample: cluster-1a2b3c4d-20261122T235141Z
    time:
      description: The moment of the oldest data in it, in UTC.
      type: str
      sample: "2026-11-22T23:51:41Z"
    complete:
      description: Whether it has a backup of every shard, and these have every slot.
      type: bool
      sample: true
    usable:
      description:
        - Whether the cluster can be recovered from it. An incomplete one holds only a part of the keys. Backups that cannot be
          used are missing in their set.
      type: bool
      sample: true
    missing:
      description: What it lacks, in words.
      type: list
      elements: str
      sample: []
    problems:
      description: What else is wrong with it, in words.
      type: list
      elements: str
      sample: []
    spread_seconds:
      description: Seconds between the oldest and the newest data in it. A write to two shards may be in one of them only.
      type: float
      sample: 1.0
    shards:
      description: How many shards the cluster had.
      type: int
      sample: 3
    repositories:
      description: Names of the repositories that hold all of it.
      type: list
      elements: str
      sample: [nfs]
    members:
      description: Its backups with their V(instance), V(label), V(shard), V(slots), V(time), V(keys) and V(repositories).
      type: list
      elements: dict
      sample:
        - instance: db1-7000
          label: 20261122T235141Z_rdb
          shard: db1-7000
          slots: [[0, 5460]]
          time: "2026-11-22T23:51:41Z"
          keys: 8312
          repositories: [nfs]
drills:
  description:
    - All drills, oldest first, as M(globalscope.redis_backup.redis_drill) recorded them. They are kept when their backup is pruned.
  returned: success
  type: list
  elements: dict
  contains:
    instance:
      description: Whose data was drilled.
      type: str
      sample: multiframe-6379
    time:
      description: When it began, in UTC.
      type: str
      sample: "2026-11-23T02:00:03Z"
    pick:
      description: What had its turn. V(newest), V(older), V(moment), V(label) or V(export).
      type: str
      sample: newest
    label:
      description: Label of the backup or export. V(null) for a moment.
      type: str
      sample: 20261122T235141Z_rdb
    moment:
      description: The data's own time in UTC.
      type: str
      sample: "2026-11-22T23:51:41Z"
    export:
      description: Name of the exports. V(null) for a backup or a moment.
      type: str
      sample: null
    patterns:
      description: The keys that were brought back; empty for all.
      type: list
      elements: str
      sample: []
    repository:
      description: Name of the repository.
      type: str
      sample: nfs
    ok:
      description: Whether the recovery would have succeeded.
      type: bool
      sample: true
    reason:
      description: Why it would not; V(null) otherwise.
      type: str
      sample: null
    rto_seconds:
      description: Seconds to fetch, unpack, load and check the data. V(null) for a drill that failed.
      type: float
      sample: 41.7
    rto_target_seconds:
      description: The promise. V(null) where none was given.
      type: float
      sample: 3600
    rpo_seconds:
      description: Age of the newest data that could have been brought back then.
      type: float
      sample: 14.2
    rpo_target_seconds:
      description: The promise. V(null) where none was given.
      type: float
      sample: 60
    target_met:
      description: Whether both were kept. V(null) without a promise.
      type: bool
      sample: true
    age_seconds:
      description: Age of the data that was drilled.
      type: float
      sample: 7702.0
    size:
      description: Bytes of the data, unpacked. V(null) for a moment.
      type: int
      sample: 21231123
    keys:
      description: Keys that were loaded and had not expired.
      type: int
      sample: 25001
    host:
      description: The host that the drill ran on.
      type: str
      sample: drill1
outlook:
  description:
    - What the drills say about the next disaster, one element for each instance that was ever drilled, the worst first. An instance
      whose newest drill failed comes before all others, then those that will miss, or miss, their RTO, then by how much of a target
      is used up.
  returned: success
  type: list
  elements: dict
  contains:
    instance:
      description: Whose data was drilled.
      type: str
      sample: multiframe-6379
    drills:
      description: How many drills there were.
      type: int
      sample: 12
    failed:
      description: How many of them failed.
      type: int
      sample: 0
    last_time:
      description: When the newest began, in UTC.
      type: str
      sample: "2026-11-23T02:00:03Z"
    ok:
      description: Whether the newest ended well.
      type: bool
      sample: true
    rto_seconds:
      description: RTO of the newest good drill of a whole data set, in seconds.
      type: float
      sample: 212.4
    rto_target_seconds:
      description: The RTO that is promised. V(null) where none was given.
      type: float
      sample: 3600.0
    rto_used:
      description: The RTO as a share of its target.
      type: float
      sample: 0.059
    rpo_seconds:
      description: RPO of the same drill, in seconds.
      type: float
      sample: 41.0
    rpo_target_seconds:
      description: The RPO that is promised. V(null) where none was given.
      type: float
      sample: 60.0
    rpo_used:
      description: The RPO as a share of its target.
      type: float
      sample: 0.683
    rto_missed_on:
      description:
        - When the RTO reaches its target if it goes on growing as it did, in UTC. V(null) where it does not grow, not within five
          years, or where there are fewer than three good drills or less than a week between them. The trend is the median slope of
          all pairs among the newest 24.
      type: str
      sample: "2027-08-02T02:00:03Z"
    says:
      description: The same in words.
      type: str
      sample: "RTO 3 min 32 s of 1 h; RPO 41 s of 1 min; at its growth the RTO is missed from 2027-08-02 on"

tables:
  description:
    - What the newest usable backup of each instance remembers of the cluster that the instance was a node of. Empty for others.
  returned: success
  type: list
  elements: dict
  contains:
    instance:
      description: The instance.
      type: str
      sample: db1-7000
    label:
      description: Label of that backup.
      type: str
      sample: 20261122T235141Z_rdb
    time:
      description: The moment whose data it holds, in UTC.
      type: str
      sample: "2026-11-22T23:51:41Z"
    set:
      description: Which part of which of the RV(sets) it is, V(null) for a backup by itself.
      type: dict
      sample: null
    cluster:
      description: The cluster, as C(instance.topology.cluster) of M(globalscope.redis_backup.redis_instance_info) tells it.
      type: dict
      sample: {"my_id": "07c37dfeb235213a872192d90877d0cd55635b91", "epoch": 6, "nodes": []}
archive:
  description:
    - The archive of the AOF, in the repository with its newest object. Empty where nothing is archived or no O(instance) is
      named. It is told from a listing alone; M(globalscope.redis_backup.redis_aof_archive) tells more on the host.
  returned: success
  type: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      sample: nfs
    epoch:
      description: The newest epoch.
      type: str
      sample: 20261122T235141Z-1-1c8b024d
    epochs:
      description: How many epochs there are.
      type: int
      sample: 4
    first_time:
      description: About when the first epoch began from which recovery is possible, V(null) where none is.
      type: str
      sample: "2026-11-22T23:51:41Z"
    last_time:
      description: When the newest object was stored.
      type: str
      sample: "2026-11-23T00:12:03Z"
    age_seconds:
      description: Seconds since then. A server that nobody writes to gets no new objects.
      type: float
      sample: 3.2
    objects:
      description: How many objects there are.
      type: int
      sample: 81
    stored_bytes:
      description: Bytes that they take.
      type: int
      sample: 21231123
    encrypted:
      description: Whether all of them are encrypted.
      type: bool
      sample: true
    covers_at:
      description:
        - Whether O(at) lies between the two, so that M(globalscope.redis_backup.redis_restore) with the same time replays the
          archive. V(null) without O(at). Gaps are not seen in a listing.
      type: bool
      sample: true
rpo_seconds:
  description: Seconds between the data of RV(latest) and now (or O(at)), V(null) when there is none.
  returned: success
  type: float
  sample: 812.4
repository_problems:
  description: By name, why repositories could not be read, as long as another one could. Their backups are missing here.
  returned: success
  type: dict
  sample: {}
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    merged,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec_repository import (
    repositories_spec,
    stores_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.archived import covers, show_archive
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.cache import CatalogCache
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.info import moment, show_catalog


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            repositories_spec(),
            {
                "at": {"type": "str"},
                "usable_only": {"type": "bool", "default": False},
                "query": {"type": "str"},
            },
        ),
        supports_check_mode=True,
    )
    params = module.params
    with told(module.fail_json, params["instance"] or "", "Nothing was changed"):
        shown = show_catalog(
            stores_of(params),
            params["instance"],
            at=params["at"],
            usable_only=params["usable_only"],
            query=params["query"],
            cache=CatalogCache(params["state_dir"]),
        )
        if params["instance"]:
            archive = show_archive(stores_of(params), params["instance"])
            shown["archive"] = {**archive, "covers_at": covers(archive, moment(params["at"]))} if archive else {}
        for name, problem in shown["repository_problems"].items():
            module.warn(f"the backups in repository {name} are not told: {problem}")
        module.exit_json(changed=False, actions=[], **shown)


if __name__ == "__main__":
    main()
