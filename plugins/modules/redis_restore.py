#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_restore
short_description: Restore a backup, one safe step at a time
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Restores a backup into the data directory of an instance in steps that can be repeated and undone.
  - O(state=staged) fetches, checks and lays everything ready below C(<data_dir>/.redis_backup/) while the server keeps running
    untouched. O(state=active) swaps it in, with the server stopped. O(state=rolled_back) brings the previous data back.
    O(state=committed) closes the restore; the previous data stays.
  - There is at most one open restore for a data directory, found by its journal, so that later steps need no id.
  - The role P(globalscope.redis_backup.redis_restore#role) runs all steps, stops and starts the server and verifies the data.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository.single
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description: The step.
    type: str
    choices: [staged, active, rolled_back, committed]
    required: true
  source_instance:
    description: Name of the instance whose backup is restored. Without it, O(instance).
    type: str
  label:
    description:
      - Label of the backup, or V(latest), the one with the newest data, of whatever engine.
      - A backup of an AOF is laid ready as the AOF of a server that will load one at its next start, under that server's names
        for it. For a server that will load its dump file instead, a throw-away server makes an RDB of it, which needs about
        as much memory as the server that was backed up.
    type: str
    default: latest
  at:
    description:
      - A time with its zone, such as V(2026-11-22T23:51:41Z), or V(latest), for O(state=staged).
      - Where the repository has an archive of the instance's AOF (M(globalscope.redis_backup.redis_aof_archive)), or backups of
        it with timestamps, all that the server executed up to the end of that second is recovered, and nothing later. A second
        that they do not cover is refused, with the times that are covered.
      - Without any, the backup with the newest data that is not newer is taken, and RV(restore.rpo_seconds) tells how much
        older it is.
      - V(latest) is the newest moment that can be had of all, the end of the archive or the newest backup.
      - Seconds are found by the server's own timestamps (C(aof-timestamp-enabled), 7.0 and newer). Where there are none, the
        archive's clocks bound them, what may be too late is left out, and RV(restore.precision_seconds) tells by how much.
    type: str
  before_command:
    description:
      - A command, such as V(FLUSHALL), or a command and a pattern of its key as C(SCAN) knows it, such as V(DEL user:*), for
        O(state=staged). All that was executed before the last such command is recovered, up to O(at) if that is given.
      - Where the command stands in a transaction or a script, the whole of that is left out.
      - An AOF holds what commands come to. A key that expires is deleted by C(DEL) or C(UNLINK).
      - Needs an archive of the AOF, or backups of it with timestamps.
    type: str
  identities:
    description: Paths of age identity files on the host, for encrypted backups. Keep them on a tmpfs, readable for root only.
    type: list
    elements: path
    default: []
  server_files:
    description:
      - Whether files beside the data come back. V(missing) puts the ACL file back when the target has none or an empty one,
        and redis.conf with its includes when it has none. V(replace) replaces the ACL file as well. V(none) leaves all.
      - They are only ever written to the paths that the target itself uses.
    type: str
    choices: [none, missing, replace]
    default: missing
  close_writes:
    description:
      - Whether the restored server starts with writes closed, by two lines at the end of redis.conf that
        O(state=committed) and O(state=rolled_back) take away again. Used with O(state=active).
    type: bool
    default: false
  force:
    description:
      - Whether O(state=staged) restores the backup again that the last closed restore already brought back.
      - By default this changes nothing, so that a job that runs twice does not throw away what was written in between.
    type: bool
    default: false
  convert:
    description:
      - Whether O(state=staged) may rewrite a backup that the target would refuse, such as one of Redis 8 for Valkey, of Valkey 9
        for Redis, or of a newer version for an older one. What loads as it is, is not rewritten.
      - A throw-away server that loads the backup writes it as commands, one of the target's own program reads them, and both
        must hold the same. They listen on no port, work below the data directory, and need about as much memory as the server
        that was backed up, one after the other.
      - What the target cannot hold is named, and refused unless O(convert_drop) allows to do without.
    type: bool
    default: false
  convert_executable:
    description:
      - Path of a server program on this host that loads the backup, for O(convert). It need not be installed.
      - Without it, C(redis-server) and C(valkey-server) on C(PATH) are asked for their versions.
    type: path
  convert_drop:
    description:
      - What a conversion may drop where the target does not know it. V(hash_field_ttls) lets fields of hashes that would expire
        stay for ever, V(functions) leaves libraries of functions out.
    type: list
    elements: str
    choices: [hash_field_ttls, functions]
    default: []
  restore_id:
    description:
      - With O(state=rolled_back), the restore to undo, where a newer one over it was undone already.
      - Without it, only the newest restore is, so that a job that runs twice does not go one restore further back.
    type: str
  wait_timeout:
    description:
      - Seconds to wait until no process serves at the address or writes in the data directory. The saving child of a killed
        server lives on for a while, and would rename its snapshot over the restored one.
    type: int
    default: 30
requirements:
  - zstd
  - age, for encrypted backups
notes:
  - SELinux contexts of replaced files are kept; this is covered by unit tests only.
seealso:
  - module: globalscope.redis_backup.redis_backup_info
  - module: globalscope.redis_backup.redis_check
"""

EXAMPLES = r"""
- name: Lay the newest backup of yesterday ready
  globalscope.redis_backup.redis_restore:
    state: staged
    instance: multiframe-6379
    repository:
      name: nfs
      path: /mnt/backup/redis
    at: "2026-11-21T23:59:59Z"
    identities:
      - /run/redis_backup/identity

- name: Lay ready what was there before somebody flushed it
  globalscope.redis_backup.redis_restore:
    state: staged
    instance: multiframe-6379
    repository:
      name: nfs
      path: /mnt/backup/redis
    before_command: FLUSHALL
    identities:
      - /run/redis_backup/identity

- name: Stop the server
  ansible.builtin.service:
    name: redis-server
    state: stopped

- name: Swap the data in
  globalscope.redis_backup.redis_restore:
    state: active
    instance: multiframe-6379
    config_file: /etc/redis/redis.conf
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["moved dump.rdb aside into /var/lib/redis/.redis_backup/20261122T235141.125000Z-1f2e3d/previous"]
restore:
  description: The restore. V(null) in check mode when nothing is staged yet.
  returned: success
  type: dict
  contains:
    id:
      description: Its id, the name of its folder.
      type: str
      sample: 20261122T235141.125000Z-1f2e3d
    label:
      description: Label of the backup; of a moment, its time with C(_point).
      type: str
      sample: 20261122T235000Z_rdb
    state:
      description: How far it is.
      type: str
      sample: active
    source_instance:
      description: The instance whose backup it is.
      type: str
      sample: multiframe-6379
    repository:
      description: Name of the repository.
      type: str
      sample: nfs
    data_dir:
      description: The data directory.
      type: str
      sample: /var/lib/redis
    config_file:
      description: The instance's redis.conf; empty when none is known.
      type: str
      sample: /etc/redis/redis.conf
    staged_dir:
      description: Where the data is laid ready; empty when it is gone.
      type: str
      sample: /var/lib/redis/.redis_backup/20261122T235141.125000Z-1f2e3d/staged
    previous_dir:
      description: Where the data is kept that was there before; empty when there is none yet.
      type: str
      sample: /var/lib/redis/.redis_backup/20261122T235141.125000Z-1f2e3d/previous
    snapshot_time:
      description: The moment whose data the backup holds, in UTC.
      type: str
      sample: "2026-11-22T23:50:00Z"
    target_time:
      description: The time that was asked for with O(at), or of the command of O(before_command), else when it was staged, in UTC.
      type: str
      sample: "2026-11-22T23:51:41Z"
    rpo_seconds:
      description: Seconds between the two.
      type: float
      sample: 101.0
    recovered_to:
      description: The second up to whose end all is in it, in UTC. Of a backup, RV(restore.snapshot_time).
      type: str
      sample: "2026-11-22T23:51:41Z"
    precision_seconds:
      description: By how many seconds of writes it may fall short of the end of the second that was asked for; 0 is exact.
      type: float
      sample: 0.0
    source:
      description:
        - What it was made of. V(kind) is V(archive) or V(backup). Of an archive, V(base_time) is when its base was made, and
          V(epochs) are those that were read. V(by) tells what the end was found by, V(timestamps), V(clocks), or V(end).
      type: dict
      sample:
        kind: archive
        repository: nfs
        label: null
        base: appendonly.aof.4.base.rdb
        base_time: "2026-11-22T20:00:00Z"
        epochs: [20261122T200000Z-4-1f2e3d4c]
        bytes: 4711
        by: timestamps
    keys:
      description: Keys in the backup.
      type: int
      sample: 25001
    keys_room:
      description: By how many keys this may be wrong, since an AOF was counted while it was written.
      type: int
      sample: 0
    loaded_keys:
      description: How many keys the server must read from its RDB, expired ones included. V(null) where it loads an AOF.
      type: int
      sample: 25001
    expires:
      description: Those of them that carry an expiry time.
      type: int
      sample: 10
    converted:
      description: By and for which servers the backup was converted; empty when it was not.
      type: str
      sample: by Redis 8.2.3 (/opt/redis-8.2/redis-server) for Valkey 9.1.2
    server_files:
      description: Paths of the server files that come back with it.
      type: list
      elements: str
      sample: [/etc/redis/users.acl]
    writes_closed:
      description: Whether writes are closed until it is committed or rolled back.
      type: bool
      sample: true
    live:
      description:
        - State of the running server, its keys, and whether stopping it would keep them (an AOF or save points).
        - Returned for O(state=staged).
      type: dict
      sample: {"keys": 25001, "persisted": true, "state": "running"}
    fence:
      description: A file that exists while data is swapped. No start command may run while it does.
      type: str
      sample: /var/lib/redis/.redis_backup/fence
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
    REPOSITORY_NEEDS,
    repository_options,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.request import Options
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.step import restore_step, selection_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.compatibility import DROPPABLE
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            {
                "state": {"type": "str", "choices": ["staged", "active", "rolled_back", "committed"], "required": True},
                "repository": {
                    "type": "dict",
                    "options": repository_options(),
                    "required_if": REPOSITORY_NEEDS,
                },
                "source_instance": {"type": "str"},
                "label": {"type": "str", "default": "latest"},
                "at": {"type": "str"},
                "before_command": {"type": "str"},
                "identities": {"type": "list", "elements": "path", "default": []},
                "server_files": {"type": "str", "choices": ["none", "missing", "replace"], "default": "missing"},
                "close_writes": {"type": "bool", "default": False},
                "force": {"type": "bool", "default": False},
                "convert": {"type": "bool", "default": False},
                "convert_executable": {"type": "path"},
                "convert_drop": {"type": "list", "elements": "str", "choices": list(DROPPABLE), "default": []},
                "restore_id": {"type": "str"},
                "wait_timeout": {"type": "int", "default": 30},
            },
        ),
        supports_check_mode=True,
        required_if=[("state", "staged", ["repository"])],
    )
    params = module.params
    untouched = "The live data was not touched" if params["state"] == "staged" else ""
    with told(module.fail_json, name_of(params), untouched):
        place = place_of(params)
        options = Options(
            identities=tuple(params["identities"]),
            server_files=params["server_files"],
            close_writes=params["close_writes"],
            wait=params["wait_timeout"],
            force=params["force"],
            restore_id=params["restore_id"] or "",
            check_mode=module.check_mode,
            state=state_of(params),
            convert=params["convert"],
            convert_executable=params["convert_executable"] or "",
            convert_drop=tuple(params["convert_drop"]),
        )
        found = find_instance(login_of(params), place, may_be_down=True)
        done = restore_step(params["state"], found, selection_of(params, place.name), options)
        module.exit_json(changed=done.changed, actions=done.actions, restore=done.restore, diff=done.diff)


if __name__ == "__main__":
    main()
