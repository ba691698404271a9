#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_drill
short_description: Rehearse a recovery in a throw-away server, and measure it
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Brings stored data back as a recovery would, in a throw-away server that listens on a unix socket alone and writes nothing,
    checks it, measures RTO and RPO, and appends a record to the history of drills in the repository.
  - Without further options it takes turns. The newest backup, a random older one, a random second of the archive, whichever was
    drilled longest ago by the records.
  - A backup that was loaded whole is verified by that, as M(globalscope.redis_backup.redis_backup_verify) with V(restore) does it.
  - The live server is not needed, and is never touched. It is only asked with PING how fast it answers meanwhile.
  - The module can run on every host that sees the repositories and has a program of a version that loads the data.
  - The module fails when the drill does, after it was recorded. A backup fails its drill that does not load, does not hold what
    its manifest or O(expect) says, cannot be decrypted, holds far less than those before it, or holds another instance's data.
  - What a killed drill left is removed by the next one with the same O(work_dir).
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode, the choice is told, and nothing is loaded. Without O(seed) another run may choose otherwise.
  diff_mode:
    support: none
    details:
      - A record is added, and nothing is replaced.
  idempotent:
    support: none
    details:
      - Each run is a drill, and adds a record.
options:
  pick:
    description:
      - What to drill. V(auto) takes turns between the others, as far as there is anything of them.
      - V(newest) is the newest usable backup, V(older) a random one before it, those first that no drill has found good.
      - V(moment) is a random second that the archive of the AOF, or backups of the AOF, can give.
    type: str
    choices: [auto, newest, older, moment]
    default: auto
  label:
    description: Label of the backup to drill, in place of O(pick).
    type: str
  at:
    description: The second to drill, in place of O(pick). A time with a zone, such as V(2026-11-22T23:51:41Z).
    type: str
  export:
    description:
      - Name of exports of keys. The newest of them is drilled, in place of O(pick), and nothing but its keys is loaded.
    type: str
  patterns:
    description:
      - Bring back these keys alone, as M(globalscope.redis_backup.redis_import) does. The backup is loaded in one throw-away
        server, and its keys that match are written into another one, where they are checked. Of an O(export), only the keys that
        match are loaded at all.
      - A pattern that matches no key fails the drill. A backup is not verified by a drill of some of its keys.
    type: list
    elements: str
    default: []
  seed:
    description: What random choices depend on. The same seed and the same records make the same choice. Default is a new one.
    type: int
  expect:
    description: What the loaded data must be. Keys that have expired since are gone.
    type: dict
    default: {}
    suboptions:
      keys_min:
        description: The least number of keys in all databases.
        type: int
      keys_max:
        description: The greatest number of keys in all databases.
        type: int
      db:
        description: The database in which O(expect.present) and O(expect.values) look.
        type: int
        default: 0
      present:
        description: Keys that must exist.
        type: list
        elements: str
        default: []
      values:
        description: Strings that must be stored, as a mapping from key to value.
        type: dict
        default: {}
      digest:
        description:
          - The digest that M(globalscope.redis_backup.redis_check) gives of the whole data set. It is that of one backup, so
            O(label) has to name it.
        type: str
  identities:
    description:
      - Paths of age identity files on the host, for what is encrypted. Keep them on a tmpfs, readable for root only.
    type: list
    elements: path
    default: []
  work_dir:
    description:
      - Directory in which a throw-away server gets a directory of its own, with room for the data set. Default is V(/var/tmp).
        Drills that use the same one take turns.
      - Refused where other users may rename what lies in it. It must belong to this user or root, and be writable for nobody
        else, or have the sticky bit.
    type: path
  memory_limit_mb:
    description:
      - Megabytes (of 1024 * 1024 bytes) that the data of a throw-away server may take. Without it, what the host has
        available.
      - Data of a server that used more than this, or than the host has available, divided by 1.2 is not loaded.
    type: int
  disk_limit_mb:
    description: Megabytes that the data may take on the disk. More is not fetched.
    type: int
  cpu_percent:
    description:
      - Percent of one processor that the drill may take, with all that it starts. For root on a host with systemd, it is a quota
        of a scope of its own. Elsewhere the drill keeps to so many processors, rounded up. Niceness and the disk's idle class
        come on top.
    type: int
    default: 100
  wait_timeout:
    description: Seconds to wait for a throw-away server to load, and for another drill on the host to end.
    type: int
    default: 3600
  live:
    description:
      - Whether the instance runs where the module does, so that its latency is recorded before and during the drill. An instance
        that does not answer is no error.
    type: bool
    default: true
  rto_target_seconds:
    description: The RTO that was promised, to be compared.
    type: float
  rpo_target_seconds:
    description: The RPO that was promised, to be compared.
    type: float
  shrink_ratio:
    description: A backup with less than this share of the lasting keys or bytes of those before it fails its drill.
    type: float
    default: 0.5
requirements:
  - zstd
  - age, for encrypted backups
  - a server's program of a version that loads the data
notes:
  - A backup of a server with modules cannot be loaded by a throw-away server, which has none.
  - The drill runs with little of the host, so that its RTO is rather too long than too short. It begins with the first byte that
    is fetched and ends when the checked data could be served. To notice the failure, and to decide, comes on top.
seealso:
  - module: globalscope.redis_backup.redis_backup_verify
  - module: globalscope.redis_backup.redis_backup_info
"""

EXAMPLES = r"""
- name: Rehearse, whatever has its turn
  globalscope.redis_backup.redis_drill:
    instance: multiframe-6379
    rto_target_seconds: 3600
    rpo_target_seconds: 60
    expect:
      present:
        - config:version
    repositories:
      - name: nfs
        path: /mnt/backup/redis
    identities:
      - /run/redis_backup/identity

- name: Rehearse the recovery of the sessions alone, on another host
  globalscope.redis_backup.redis_drill:
    instance: multiframe-6379
    pick: newest
    patterns:
      - session:*
    live: false
    memory_limit_mb: 4096
    repositories:
      - name: nfs
        path: /mnt/backup/redis
  delegate_to: drill1
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: always
  type: list
  elements: str
  sample: ["drilled 20261122T235141Z_rdb of multiframe-6379 (newest) from repository nfs (/mnt/backup/redis): good"]
drill:
  description: The drill, as it was recorded; also where it failed. V(null) in check mode.
  returned: when something could be drilled
  type: dict
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
      description: The data's own time in UTC. V(null) where nothing was loaded.
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
      description: Name of the repository. Repositories that hold the same take turns.
      type: str
      sample: nfs
    seed:
      description: The seed of the choice.
      type: int
      sample: 1803921
    ok:
      description: Whether the recovery would have succeeded, with the right data.
      type: bool
      sample: true
    reason:
      description: Why it would not; V(null) otherwise.
      type: str
      sample: null
    problems:
      description: All reasons.
      type: list
      elements: str
      sample: []
    passed_over:
      description: Newer backups that cannot be used, and why.
      type: list
      elements: str
      sample: []
    rto_seconds:
      description: Seconds to fetch, unpack, load and check the data. V(null) for a drill that failed.
      type: float
      sample: 41.7
    rto_target_seconds:
      description: The promise. V(null) where none was given.
      type: float
      sample: 3600
    rpo_seconds:
      description: Age of the newest data that could have been brought back, out of the archive or a backup.
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
    newest_backup:
      description: Label of the backup that a recovery would use now.
      type: str
      sample: 20261122T235141Z_rdb
    newest_backup_seconds:
      description: Age of its data.
      type: float
      sample: 7702.0
    archive_to:
      description: Up to when the archive reaches. V(null) without one.
      type: str
      sample: "2026-11-23T02:00:01Z"
    archive_gap_seconds:
      description: Seconds between that and the drill.
      type: float
      sample: 14.2
    archive_gaps:
      description: How many gaps are recorded in the archive.
      type: int
      sample: 0
    seconds:
      description:
        - What took how long, as far as it is known apart. V(fetch), V(load), V(checks), V(fetch_and_load). V(digest) is not part
          of the RTO.
      type: dict
      sample: {"fetch": 30.1, "load": 10.9, "checks": 0.7, "digest": 12.0}
    keys:
      description: Keys that were loaded and had not expired.
      type: int
      sample: 25001
    size:
      description: Bytes of the data, unpacked. V(null) for a moment.
      type: int
      sample: 21231123
    digest:
      description: Digest of a backup that was loaded whole.
      type: str
      sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    server:
      description: V(flavour) and V(version) of the throw-away server.
      type: dict
      sample: {"flavour": "redis", "version": "7.0.15"}
    checks:
      description: What was expected, with V(name), V(ok), V(found) and V(wanted).
      type: list
      elements: dict
      sample: [{"name": "present config:version", "ok": true, "found": "present", "wanted": "present"}]
    verified:
      description: Whether the backup is verified by this.
      type: bool
      sample: true
    limits:
      description: How the drill was bounded.
      type: list
      elements: str
      sample: ["niceness 10", "the disk when nobody else wants it", "a systemd scope with 100 % of a processor"]
    latency:
      description:
        - Milliseconds that PING took at the live server, V(before) and V(during) the drill, each with V(p50), V(p99), V(max) and
          V(samples). V(null) where it was not asked, or did not answer.
      type: dict
      sample:
        before: {"p50": 0.06, "p99": 0.15, "max": 0.2, "samples": 57}
        during: {"p50": 0.07, "p99": 0.31, "max": 1.4, "samples": 2010}
    host:
      description: The host that the drill ran on.
      type: str
      sample: drill1
nothing_stored:
  description: Whether no repository has anything of the instance.
  returned: when nothing could be drilled
  type: bool
  sample: true
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
from ansible_collections.globalscope.redis_backup.plugins.module_utils._drill.choose import PICKS
from ansible_collections.globalscope.redis_backup.plugins.module_utils._drill.drill import drill
from ansible_collections.globalscope.redis_backup.plugins.module_utils._drill.options import request_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._verify.find_host import HostFinder


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            repositories_spec(),
            {
                "pick": {"type": "str", "choices": list(PICKS), "default": "auto"},
                "label": {"type": "str"},
                "at": {"type": "str"},
                "export": {"type": "str"},
                "patterns": {"type": "list", "elements": "str", "default": []},
                "seed": {"type": "int"},
                "expect": {
                    "type": "dict",
                    "default": {},
                    "apply_defaults": True,
                    "options": {
                        "keys_min": {"type": "int", "no_log": False},
                        "keys_max": {"type": "int", "no_log": False},
                        "db": {"type": "int", "default": 0},
                        "present": {"type": "list", "elements": "str", "default": [], "no_log": False},
                        "values": {"type": "dict", "default": {}},
                        "digest": {"type": "str"},
                    },
                },
                "identities": {"type": "list", "elements": "path", "default": []},
                "work_dir": {"type": "path"},
                "memory_limit_mb": {"type": "int"},
                "disk_limit_mb": {"type": "int"},
                "cpu_percent": {"type": "int", "default": 100},
                "wait_timeout": {"type": "int", "default": 3600},
                "live": {"type": "bool", "default": True},
                "rto_target_seconds": {"type": "float"},
                "rpo_target_seconds": {"type": "float"},
                "shrink_ratio": {"type": "float", "default": 0.5},
            },
        ),
        supports_check_mode=True,
        mutually_exclusive=[("label", "at", "export")],
    )
    params = module.params
    untouched = "The live server and the backups were not touched"
    with told(module.fail_json, name_of(params), untouched):
        login = login_of(params)
        host = HostFinder(login, place_of(params))
        request = request_of(params, stores_of(params), name_of(params), host, login if params["live"] else None)
        done = drill(request, check_mode=module.check_mode)
        module.exit_json(changed=done.changed, actions=done.actions, drill=done.drill)


if __name__ == "__main__":
    main()
