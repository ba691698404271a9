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
  - With O(method=replication) the server keeps running, and its disk is not touched. O(state=staged) lays the data ready below
    O(state_dir) on the host where the module runs, which may be another than the server's. O(state=active) keeps what the server
    holds as an RDB there, then plays a primary that gives it the restored data in one full synchronisation.
    O(state=rolled_back) plays the previous data back.
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
  method:
    description:
      - How the data gets into the server. V(files) swaps the files in its data directory, with the server stopped.
      - V(replication) exchanges the data of a running server, without a restart and without its files. It must be a primary
        that is no node of a cluster, must reach the host where the module runs, and needs memory for both data sets.
      - Nothing is sent before a throw-away server of the same version has loaded it. A program of that version is needed
        on the host where the module runs (O(executable)).
      - All steps of one restore need the same method.
    type: str
    choices: [files, replication]
    default: files
  announce_host:
    description:
      - The address under which the server reaches the host where the module runs, for O(method=replication).
      - Without it, the local address of the connection to the server.
    type: str
  listen_ports:
    description:
      - Port, or range of ports such as V(7000-7010), on which the server can reach the host where the module runs, for
        O(method=replication). Without it, any free port is taken.
    type: str
  replicas_follow:
    description:
      - Whether O(method=replication) may exchange the data of a primary that has replicas. They take the restored data over
        at once, before it is verified.
    type: bool
    default: false
  sentinels_held:
    description:
      - Whether Sentinels that watch the server were held before (M(globalscope.redis_backup.redis_sentinel)), so that none of
        them promotes another one meanwhile. Without it, a server that Sentinels watch is refused.
    type: bool
    default: false
  cluster_node:
    description:
      - Whether a node of a cluster may be restored, for O(state=staged). The others have to be taken care of, so that no replica
        is promoted meanwhile, as the role P(globalscope.redis_backup.redis_disaster_recovery#role) does. Without it, such a node
        is refused.
      - O(state=active) always demands that the node's C(nodes.conf) makes it a primary with just the slots that the backup has
        (M(globalscope.redis_backup.redis_cluster_node)).
    type: bool
    default: false
  memory_limit_mb:
    description:
      - Megabytes that the server may take while it holds both data sets, for O(method=replication).
      - Without it, what its host has left where the module runs there, else its C(maxmemory), else what its host has in all.
    type: int
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
      - With O(method=replication), writes are closed in any case while the data is exchanged, live only, and this is about
        what follows.
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
      - With O(method=replication), seconds within which the server must have connected.
    type: int
    default: 30
requirements:
  - zstd
  - age, for encrypted backups
notes:
  - SELinux contexts of replaced files are kept; this is covered by unit tests only.
  - While data is exchanged with O(method=replication), servers from 7.0 on answer reads from the old data until they have the
    new; 6.2 answers C(LOADING) for as long as it loads. Clients that wait in blocking commands are disconnected.
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

- name: Prove a backup for a server whose disk is out of reach
  globalscope.redis_backup.redis_restore:
    state: staged
    method: replication
    instance: managed-6379
    login_host: 10.0.3.17
    repository:
      name: nfs
      path: /mnt/backup/redis
    executable: /opt/redis-7.2/redis-server
  delegate_to: localhost

- name: Exchange its data while it runs
  globalscope.redis_backup.redis_restore:
    state: active
    method: replication
    instance: managed-6379
    login_host: 10.0.3.17
    executable: /opt/redis-7.2/redis-server
    announce_host: 10.0.3.2
    listen_ports: 7000-7010
  delegate_to: localhost
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
    method:
      description: How the data gets into the server, V(files) or V(replication).
      type: str
      sample: files
    source_instance:
      description: The instance whose backup it is.
      type: str
      sample: multiframe-6379
    repository:
      description: Name of the repository.
      type: str
      sample: nfs
    data_dir:
      description: The data directory; of a restore by replication, the folder of this host in which it works.
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
      description:
        - Where the data is kept that was there before; empty when there is none yet.
        - Of a restore by replication, C(dump.rdb) in it.
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
      description:
        - How many keys the server must read from its RDB, expired ones included. V(null) where it loads an AOF, or is not
          started.
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

from collections.abc import Mapping
from typing import Any

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
from ansible_collections.globalscope.redis_backup.plugins.module_utils._live.request import LiveOptions
from ansible_collections.globalscope.redis_backup.plugins.module_utils._live.seat import seat_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._live.steps import live_step
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.request import Options
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.step import restore_step, selection_of
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.compatibility import DROPPABLE
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance


def _live(params: Mapping[str, Any]) -> LiveOptions:
    """The options of a restore by replication."""
    limit = params["memory_limit_mb"]
    return LiveOptions(
        announce_host=params["announce_host"] or "",
        listen_ports=params["listen_ports"] or "",
        replicas_follow=params["replicas_follow"],
        sentinels_held=params["sentinels_held"],
        memory_limit=None if limit is None else limit * 1024 * 1024,
        cert_file=params["client_cert_file"],
        key_file=params["client_key_file"],
    )


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
                "method": {"type": "str", "choices": ["files", "replication"], "default": "files"},
                "announce_host": {"type": "str"},
                "listen_ports": {"type": "str"},
                "replicas_follow": {"type": "bool", "default": False},
                "sentinels_held": {"type": "bool", "default": False},
                "cluster_node": {"type": "bool", "default": False},
                "memory_limit_mb": {"type": "int"},
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
            sentinels_held=params["sentinels_held"],
            cluster_node=params["cluster_node"],
        )
        found = find_instance(login_of(params), place, may_be_down=True)
        selection = selection_of(params, place.name)
        if params["method"] == "files":
            done = restore_step(params["state"], found, selection, options)
        else:
            with seat_of(found, params["state_dir"], check_mode=module.check_mode) as seat:
                done = live_step(params["state"], found, seat, selection, options, _live(params))
        module.exit_json(changed=done.changed, actions=done.actions, restore=done.restore, diff=done.diff)


if __name__ == "__main__":
    main()
