#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_export
short_description: Export chosen keys of a Redis or Valkey server
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Reads the keys that match O(patterns) from a running server, a replica of it or a cluster, and writes them to a file, or as an
    export to one or several repositories.
  - It walks through the server with C(SCAN), never C(KEYS), in batches that are bounded in bytes, so that neither the server nor
    this host needs more memory for more keys. A string of more than 8 MiB, and another value of more than some 16 MiB, is read in
    parts (but for O(format=dump)).
  - An export is no point in time. Keys are read one after the other while the server goes on working. What is written behind the
    place where the reading stands may be in it or not. Each key is read at one moment, its time of expiry right before. For a
    point in time make a backup with M(globalscope.redis_backup.redis_backup).
  - A key is exported once, though C(SCAN) may show it twice. Only when the server's table of keys shrinks to less than a
    thirty-thousandth of its size meanwhile, a few keys may stand in the file twice.
  - The file gets its name when all is read, written and on disk. An export that fails or is killed leaves none.
  - In a repository an export is there when its manifest is, which is written last, as with a backup
    (M(globalscope.redis_backup.redis_backup)); the identity of the instance and its lock are the same.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository.packing
  - globalscope.redis_backup.repository.stored
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
    details:
      - Says how many keys match, without reading a value.
  diff_mode:
    support: partial
    details:
      - With O(repositories), the newest exports of the name before and after are shown.
  idempotent:
    support: partial
    details:
      - Each run makes an export, unless O(max_age) finds the newest one of its name young enough.
options:
  path:
    description:
      - The file to write, on the host where the module runs. It gets the mode C(0600).
      - The end of its name tells how it is packed. With C(.zst) it is compressed with zstd, with C(.age) encrypted with age
        (C(keys.jsonl.zst.age) is both). C(.age) demands O(encryption), and the other way round.
      - Either this or O(repositories) must be given.
    type: path
  name:
    description:
      - The name of the exports in O(repositories) that this one belongs to, of 1 to 40 small letters, digits and hyphens, but
        neither V(rdb) nor V(aof). M(globalscope.redis_backup.redis_backup_prune) keeps the exports of each name for themselves.
    type: str
    default: keys
  repositories_min:
    description:
      - How many of the O(repositories) must have the export for the task to succeed. By default, all of them. Each ends with the
        whole export or with nothing of it.
    type: int
  max_age:
    description:
      - Make no export when the newest one of this O(name) in every one of O(repositories) is at most this many seconds old and was
        made of the same O(patterns), O(types) and O(db), in the same O(format).
    type: int
  annotations:
    description:
      - Anything to be kept with the export in its manifest. C(keep) is obeyed by retention, as told at
        O(globalscope.redis_backup.redis_backup#module:annotations).
    type: dict
    default: {}
  adopt:
    description: Continue the history of another server that the O(repositories) know under the same name.
    type: bool
    default: false
  force:
    description: Whether to replace a file that is there already.
    type: bool
    default: false
  patterns:
    description:
      - Which keys to export, as patterns of C(SCAN) (V(user:*), V(ride:[0-9]*), V(config:system)). A key is exported when one of
        them matches.
      - Each must match some key, or the task fails before the file gets its name. See O(allow_unmatched).
    type: list
    elements: str
    default: ["*"]
  allow_unmatched:
    description: Whether a pattern may match nothing.
    type: bool
    default: false
  db:
    description: The databases to export. By default all that hold keys.
    type: list
    elements: int
  types:
    description:
      - The types to export, as C(TYPE) names them (V(string), V(list), V(set), V(zset), V(hash), V(stream), or a module's). By
        default all.
    type: list
    elements: str
    default: []
  format:
    description:
      - V(jsonl) writes one key a line as JSON, with type, value, the absolute time of expiry and that of fields. Every version and
        flavour can import it, and people can read it. Bytes that are no text are base64, with a mark. What a module keeps
        comes as the payload of C(DUMP).
      - V(json) writes one flat object of keys and values, for strings of text in one database. Times of expiry are lost. It is meant
        for scripts that know nothing else.
      - V(dump) writes C(RESTORE) commands with payloads of C(DUMP), exactly what the server holds. It is the fastest, and goes into
        servers of the same version and mostly newer ones. C(redis-cli --pipe) loads it as well.
    type: str
    choices: [jsonl, json, dump]
    default: jsonl
  read_from:
    description:
      - V(given) reads from the server that O(login_host) and the like name; of a cluster from every primary.
      - V(replica) reads from a replica of it, so that the primary is spared; of a cluster from one replica of every primary. The
        replica must be in step. The same login is used.
      - A replica whose link to its primary is down is always refused.
    type: str
    choices: [given, replica]
    default: given
  keys_per_second:
    description: The most keys to read in a second. By default as many as possible.
    type: int
requirements:
  - zstd, when O(path) ends with C(.zst), and for O(repositories)
  - age, when O(path) ends with C(.age), and for O(repositories) with O(encryption)
notes:
  - The least rights of an ACL user are C(+info +scan +type +memory|usage +pexpiretime +select +get +strlen +getrange +lrange +llen
    +smembers +sscan +scard +zrange +zscan +zcard +hgetall +hkeys +hscan +hlen +hpexpiretime +xinfo +xrange +xlen +xpending +dump
    +watch +multi +exec +time) and C(%R~*) for the keys.
    A server of version 6.2 takes C(~*), C(+memory), C(+pttl) and C(+time) in place of C(%R~*), C(+memory|usage) and C(+pexpiretime).
    C(+hpexpiretime) is for Redis 7.4 and Valkey 9 and newer. A cluster needs C(+cluster|nodes) (6.2 C(+cluster)) too, and replicas of it C(+readonly).
  - For O(format=dump) C(+info +scan +memory|usage +pexpiretime +select +dump) will do, with C(+type) where O(types) names several.
"""

EXAMPLES = r"""
- name: Export users and drivers, compressed and encrypted
  globalscope.redis_backup.redis_export:
    path: /var/backups/redis-keys/users.jsonl.zst.age
    patterns:
      - "user:*"
      - "driver:*"
    encryption:
      recipients:
        - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
    force: true

- name: Export the drivers to two repositories, and import them again when they are needed
  globalscope.redis_backup.redis_export:
    instance: multiframe-6379
    name: drivers
    patterns: ["driver:*"]
    repositories:
      - name: local
        path: /var/backups/redis
      - name: nfs
        path: /mnt/backup/redis
    encryption:
      recipients:
        - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p

- name: Export the sorted sets of database 2 from a replica, slowly
  globalscope.redis_backup.redis_export:
    path: /srv/exports/rankings.jsonl
    db: [2]
    types: [zset]
    read_from: replica
    keys_per_second: 5000

- name: Move a cluster's keys to a server of the same version
  globalscope.redis_backup.redis_export:
    login_host: node1.example.com
    path: /srv/exports/cluster.dump.zst
    format: dump
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["wrote 25001 keys of 127.0.0.1:6379 to /srv/exports/users.jsonl.zst"]
export:
  description:
    - The export in O(repositories) that was made, or that was young enough. V(null) in check mode when one would be made, and
      for a file.
  returned: success
  type: dict
  contains:
    label:
      description: Its label.
      type: str
      sample: 20261122T235141Z_drivers
    instance:
      description: The instance's name.
      type: str
      sample: multiframe-6379
    name:
      description: The name that it belongs to.
      type: str
      sample: drivers
    format:
      description: Its format.
      type: str
      sample: jsonl
    started:
      description: When its reading began.
      type: str
      sample: "2026-11-22T23:51:41Z"
    finished:
      description: When its reading ended.
      type: str
      sample: "2026-11-22T23:51:42Z"
    point_in_time:
      description: Always V(false).
      type: bool
      sample: false
    age_seconds:
      description: Seconds since its reading began.
      type: int
      sample: 1
    keys:
      description: Keys in it.
      type: int
      sample: 1201
    size:
      description: Bytes before compression.
      type: int
      sample: 312345
    stored_size:
      description: Bytes stored in each repository.
      type: int
      sample: 102345
    files:
      description: The stored file, with its sizes in bytes and the SHA-256 of the stored bytes.
      type: list
      elements: dict
      sample: [{"name": "keys.jsonl.zst.age", "content": "keys.jsonl", "kind": "keys", "size": 312345, "stored_size": 102345, "sha256": "9f86d0"}]
    duration_s:
      description: Seconds that it took.
      type: float
      sample: 0.41
    encrypted:
      description: Whether it is encrypted.
      type: bool
      sample: true
    repositories:
      description: The repositories that hold it, or (with O(max_age)) one as young.
      type: list
      elements: str
      sample: [local, nfs]
    failed:
      description: Why the other repositories did not get it, by name.
      type: dict
      sample: {}
    passed_over:
      description: The repositories that have an export young enough for their own C(max_age), with its label.
      type: dict
      sample: {}
failed_repositories:
  description: The repositories that did not get the export.
  returned: when the task fails since fewer than O(repositories_min) repositories have the export
  type: list
  elements: str
  sample: [nfs]
complete_repositories:
  description: The repositories that have the export nevertheless.
  returned: when the task fails since fewer than O(repositories_min) repositories have the export
  type: list
  elements: str
  sample: [local]
dest:
  description: The file.
  returned: when O(path) is given
  type: str
  sample: /srv/exports/users.jsonl.zst
exported:
  description: Number of keys in the export. In check mode the number of keys that match.
  returned: success
  type: int
  sample: 25001
by_type:
  description: Number of exported keys by type.
  returned: when an export was made
  type: dict
  sample: {"hash": 5000, "string": 20001}
by_database:
  description: Number of exported keys by database.
  returned: when an export was made
  type: dict
  sample: {"0": 25001}
with_expiry:
  description: How many of the exported keys expire.
  returned: when an export was made
  type: int
  sample: 200
skipped_count:
  description: Number of keys that match and were left out, since the format cannot hold them.
  returned: when an export was made
  type: int
  sample: 0
failed_keys:
  description: The first 20 of the keys that RV(skipped_count) counts, and why each was left out.
  returned: when an export was made
  type: list
  elements: dict
  sample: [{"db": 0, "key": "queue", "type": "list", "why": "the format json holds strings only"}]
gone:
  description: Number of keys that were there when C(SCAN) showed them, and not any more when they were read.
  returned: when an export was made
  type: int
  sample: 3
in_parts:
  description: Number of large keys that were read in parts.
  returned: when an export was made
  type: int
  sample: 0
changed_in_parts:
  description:
    - How many of the keys that RV(in_parts) counts were changed meanwhile. What was exported of these was never there at one
      moment.
  returned: when an export was made
  type: int
  sample: 0
changed_keys:
  description: The first 20 of the keys that RV(changed_in_parts) counts.
  returned: when an export was made
  type: list
  elements: str
  sample: []
patterns_unmatched:
  description: The patterns that matched no key.
  returned: success
  type: list
  elements: str
  sample: []
keys_per_second:
  description: Exported keys for each second that it took.
  returned: when an export was made
  type: int
  sample: 83000
size:
  description: Bytes before compression.
  returned: when a file was made
  type: int
  sample: 3123456
stored_size:
  description: Bytes of the file.
  returned: when a file was made
  type: int
  sample: 1023456
sha256:
  description: SHA-256 of the file.
  returned: when a file was made
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
started:
  description: When the reading began, in UTC.
  returned: when an export was made
  type: str
  sample: "2026-11-22T23:51:41Z"
finished:
  description: When it ended, in UTC.
  returned: when an export was made
  type: str
  sample: "2026-11-22T23:51:42Z"
point_in_time:
  description: Always V(false). What changed between RV(started) and RV(finished) may be in it or not.
  returned: when an export was made
  type: bool
  sample: false
format:
  description: The format.
  returned: success
  type: str
  sample: jsonl
source:
  description: What was read from.
  returned: when an export was made
  type: str
  sample: 127.0.0.1:6379
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    login_of,
    merged,
    name_of,
    place_of,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec_keys import (
    export_request_of,
    export_spec,
    stored_spec,
    wanted_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec_repository import (
    packing_of,
    packing_spec,
    repositories_spec,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.export import (
    KeysExport,
    Wanted,
    count_matching,
    require_matched,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.to_file import (
    packing_for,
    require_writable,
    write_file,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.to_repository import store_export
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.instance import find_instance


def _to_repositories(module: AnsibleModule, wanted: Wanted) -> dict[str, Any]:
    """Export to repositories, or see in check mode what that would be."""
    request = export_request_of(module.params)
    found = find_instance(login_of(module.params), place_of(module.params))
    export = KeysExport(wanted)
    made = store_export(found, request, export, check_mode=module.check_mode)
    counted: dict[str, Any] = {"exported": (made.backup or {}).get("keys", 0)}
    if export.finished:
        counted = export.result()
    elif made.backup is None:
        count, patterns = count_matching(wanted)
        require_matched(patterns, wanted)
        counted = {"exported": count}
    for warning in [*made.warnings, *(export.warnings() if export.finished else [])]:
        module.warn(warning)
    told_too = {"format": wanted.format, "patterns_unmatched": export.unmatched if export.finished else []}
    return {
        **told_too,
        **counted,
        "changed": made.changed,
        "actions": made.actions,
        "diff": made.diff,
        "export": made.backup,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            packing_spec(),
            export_spec(),
            repositories_spec(required=False),
            stored_spec(),
            {
                "path": {"type": "path"},
                "force": {"type": "bool", "default": False},
            },
        ),
        supports_check_mode=True,
        required_one_of=[("path", "repositories")],
        mutually_exclusive=[("path", "repositories")],
    )
    params = module.params
    with told(module.fail_json, name_of(params), "No export was made; the server is as it was"):
        if params["path"] is None:
            module.exit_json(**_to_repositories(module, wanted_of(params, login_of(params))))
        path = os.path.abspath(params["path"])
        packing = packing_for(path, packing_of(params))
        require_writable(path, force=params["force"])
        packing.programs()
        wanted = wanted_of(params, login_of(params))
        if module.check_mode:
            count, patterns = count_matching(wanted)
            require_matched(patterns, wanted)
            unmatched = [pattern.decode("utf-8", "backslashreplace") for pattern in patterns.unmatched]
            module.exit_json(
                changed=True,
                actions=[f"would write {count} keys of {wanted.login.where} to {path}"],
                dest=path,
                export=None,
                exported=count,
                patterns_unmatched=unmatched,
                format=wanted.format,
            )
        export = KeysExport(wanted)
        stored = write_file(path, export.chunks(), packing, force=params["force"], proven=export.require_good)
        for warning in export.warnings():
            module.warn(warning)
        # Ansible would describe the file behind `dest`, and put the size on disk in place of ours.
        module.add_path_info = lambda kwargs: kwargs
        module.exit_json(
            changed=True,
            actions=[f"wrote {export.tally.exported} keys of {export.source} to {path}"],
            dest=path,
            export=None,
            size=stored.size,
            stored_size=stored.stored_size,
            sha256=stored.sha256,
            **export.result(),
        )


if __name__ == "__main__":
    main()
