#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_import
short_description: Import chosen keys into a Redis or Valkey server or cluster
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Writes keys from a file that M(globalscope.redis_backup.redis_export) or the manual's old C(export_data.py) has made. Other keys
    of the server stay as they are.
  - By default the file is read once to its end before anything is written. If one line of it is bad, or one key exists that
    must not, nothing is written.
  - Each key is there whole or not at all, whatever happens. The same task run again after it was ended in the middle, by
    whatever, goes on where it was.
  - Keys get to the node of a cluster that serves them, by way of any of its nodes.
  - Out of a backup (O(repository) with O(label), O(at) or O(before_command)) keys are taken without restoring it. A throw-away
    server on a unix socket loads the backup, proven byte by byte and counted, and the keys that O(patterns) name are copied
    from there.
  - Out of an export in a repository (O(repository) with O(name), or with its O(label)) they come with the SHA-256 of every
    byte held against the manifest, before the first key is written.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.repository.keys
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - With O(on_conflict=skip), a second run finds all keys there. With V(fail) it fails, with V(replace) it writes all anew.
options:
  path:
    description:
      - The file, on the host where the module runs. Whether it is encrypted with age and compressed with zstd is seen by its
        first bytes.
      - Either this or O(repository).
    type: path
  source_instance:
    description: Name of the instance whose backup or export it is. Without it, O(instance).
    type: str
  name:
    description:
      - Name of exports in O(repository), as O(globalscope.redis_backup.redis_export#module:name) gave it. The newest usable one is
        imported, or that of O(label).
    type: str
  label:
    description:
      - Label of the backup in O(repository), or V(latest), the usable one with the newest data, which is also meant when neither
        this nor a moment is given. Backups of RDB and AOF will do.
      - Or label of an export of keys, such as V(20261122T235141Z_drivers).
    type: str
  at:
    description:
      - A time with its zone, such as V(2026-11-22T23:51:41Z), or V(latest). Keys are taken as they were at the end of that
        second.
      - What gives that moment is chosen as for O(globalscope.redis_backup.redis_restore#module:at), an archive of the AOF or a
        backup of it, and without these the newest backup before it.
    type: str
  before_command:
    description:
      - Take keys as they were before the last such command, with or without a pattern of its key, such as V(FLUSHALL) or
        V(DEL driver:*). With O(at), the last one up to then.
    type: str
  work_dir:
    description:
      - Directory in which the throw-away server gets a directory of its own, with room for the data set. Default is V(/var/tmp).
        What a killed run left there is removed by the next one.
      - Refused where other users may rename what lies in it.
    type: path
  memory_limit_mb:
    description:
      - Megabytes (of 1024 * 1024 bytes) that the data of the throw-away server may take. Without it, what the host has
        available.
    type: int
  wait_timeout:
    description: Seconds to wait for the throw-away server to load.
    type: int
    default: 3600
  format:
    description:
      - The format of the file, as told at M(globalscope.redis_backup.redis_export). When it is not given, it is seen by the
        file's beginning.
    type: str
    choices: [jsonl, json, dump]
  identities:
    description: Files with age identities that can open an encrypted file or backup.
    type: list
    elements: path
    default: []
  patterns:
    description:
      - Import only keys that match one of these, as C(KEYS) understands patterns. By default all; out of a backup they have to
        be named.
      - A pattern that matches no key is an error, unless O(allow_unmatched) is V(true).
    type: list
    elements: str
    default: []
  allow_unmatched:
    description: Whether a pattern may match no key.
    type: bool
    default: false
  types:
    description: Import only keys of these types. By default all.
    type: list
    elements: str
    choices: [string, list, set, zset, hash, stream]
    default: []
  db:
    description: Import only keys of these databases. By default all.
    type: list
    elements: int
    default: []
  into_db:
    description: The database to import into. By default each key's own.
    type: int
  rename:
    description: Give keys another name. O(patterns) still choose them by the old one.
    type: dict
    suboptions:
      from:
        description: What the names of keys begin with. Others keep their name.
        type: str
        default: ""
      to:
        description: What takes its place.
        type: str
        required: true
  on_conflict:
    description:
      - What to do with a key that exists. V(fail) imports nothing when there is such a key, V(skip) leaves it as it is,
        V(replace) puts the imported one in its place, whatever type it had. Values are never merged.
    type: str
    choices: [fail, skip, replace]
    default: fail
  ttl_policy:
    description:
      - What becomes of expiry times. V(keep) keeps the moment at which a key expires, so that one that has expired since is
        left out, V(shift) keeps the time it had left when it was exported, V(drop) leaves out keys that expire, V(persist)
        imports them for good.
      - A backup's keys count from the moment of its data. None of them is lost to the time that the import takes.
      - The same goes for fields of hashes that expire. In files of format V(dump) they always keep their moment.
    type: str
    choices: [keep, shift, drop, persist]
    default: keep
  shift_from:
    description:
      - When the keys were exported, with a zone, such as V(2026-11-22T23:51:41Z). Needed for O(ttl_policy=shift) where the source
        does not know it, as a file does not.
    type: str
  validate:
    description:
      - Whether to read everything before the first key is written, and to write nothing when anything is bad.
      - Without it, what is bad is left out. The task fails at its end, and names it.
    type: bool
    default: true
  keys_per_second:
    description: Write no faster than this.
    type: float
requirements:
  - zstd, for a compressed file
  - age, for an encrypted file or backup
  - a server's program that loads the backup (O(executable)), which may be of a newer version than the server itself
notes:
  - A key that is no string is built under the name C(redis_backup:import:...) within one transaction, unless O(on_conflict=replace).
    A login user with key patterns needs C(~redis_backup:import:*) as well.
seealso:
  - module: globalscope.redis_backup.redis_export
  - module: globalscope.redis_backup.redis_restore
  - module: globalscope.redis_backup.redis_backup_verify
"""

EXAMPLES = r"""
- name: Put the drivers back that somebody deleted; those that are there stay
  globalscope.redis_backup.redis_import:
    login_password: "{{ vault_redis_password }}"
    path: /var/backups/redis/drivers.jsonl.zst.age
    identities: [/run/redis_backup/identity.txt]
    patterns: ["driver:*"]
    on_conflict: skip

- name: Put them back as they were before they were deleted, without restoring anything else
  globalscope.redis_backup.redis_import:
    instance: multiframe-6379
    repository:
      name: nfs
      path: /mnt/backup/redis
    before_command: DEL driver:*
    patterns: ["driver:*"]
    identities: [/run/redis_backup/identity.txt]

- name: Put all of the newest export of the drivers in the place of what is there
  globalscope.redis_backup.redis_import:
    instance: multiframe-6379
    repository:
      name: nfs
      path: /mnt/backup/redis
    name: drivers
    on_conflict: replace
    identities: [/run/redis_backup/identity.txt]

- name: Load the file of the old export script
  globalscope.redis_backup.redis_import:
    path: /backup/users_backup.json

- name: Look at yesterday's sessions beside today's, each with the time it had left
  globalscope.redis_backup.redis_import:
    path: /var/backups/redis/sessions.jsonl.zst
    rename:
      from: "session:"
      to: "yesterday:session:"
    ttl_policy: shift
    shift_from: "2026-11-22T23:00:00Z"
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["imported 5000 keys from /var/backups/redis/drivers.jsonl.zst.age into 127.0.0.1:6379"]
backup:
  description: What the keys were taken out of, a backup or an export. V(null) for a file.
  returned: success
  type: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      sample: nfs
    instance:
      description: Name of the instance that was backed up.
      type: str
      sample: multiframe-6379
    label:
      description: Label of the backup or export, or the moment.
      type: str
      sample: 20261122T235141Z_rdb
    time:
      description: When the data was so; for an export, when its reading began.
      type: str
      sample: "2026-11-22T23:51:41Z"
    form:
      description:
        - V(dump) where payloads of C(DUMP) were copied, V(typed) where the target would not have taken them.
        - Of an export, its format.
      type: str
      sample: dump
imported:
  description:
    - Keys that the import has put there, by this run and (with RV(resumed)) those before it. In check mode, keys that it would.
  returned: always
  type: int
  sample: 5000
replaced:
  description:
    - Imported keys that took the place of another one. In a cluster, without check mode, only those are counted whose value
      came in several parts.
  returned: success
  type: int
  sample: 0
skipped_count:
  description: Number of keys that were left as they are, since they exist.
  returned: always
  type: int
  sample: 0
expired:
  description: Keys that were left out since they have expired.
  returned: success
  type: int
  sample: 3
dropped:
  description: Keys that were left out since they expire (O(ttl_policy=drop)).
  returned: success
  type: int
  sample: 0
unmatched:
  description: Keys that neither O(patterns), O(types) nor O(db) ask for.
  returned: success
  type: int
  sample: 25000
repeated:
  description: Keys that come twice with the same value, as an export of a busy server may have them.
  returned: success
  type: int
  sample: 0
failed_keys:
  description: The first 20 keys that could not be imported.
  returned: always
  type: list
  elements: dict
  contains:
    line:
      description: The line in a file of format V(jsonl), from 1.
      type: int
      sample: 17
    number:
      description: In place of the line, the number of the key in files of other formats, from 1.
      type: int
      sample: 17
    key:
      description: Name of the key, V(null) where it could not be read. Bytes that are no text are shown as C(\\xNN).
      type: str
      sample: "driver:17"
    why:
      description: What is wrong.
      type: str
      sample: "a key of this name exists"
failed_count:
  description: How many could not be imported.
  returned: always
  type: int
  sample: 0
keys_per_second:
  description: Keys sent to the server in a second, without the time for checking. Those that it had already count, too.
  returned: success
  type: float
  sample: 81000.0
duration_s:
  description: Seconds that all took.
  returned: success
  type: float
  sample: 0.31
resumed:
  description: Whether this run went on with one that had been ended.
  returned: success
  type: bool
  sample: false
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
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec_repository import (
    REPOSITORY_NEEDS,
    repository_options,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.file_source import FileSource
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.import_options import (
    backup_spec,
    import_spec,
    means_backup,
    request_of,
    result_of,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.importing import import_keys


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            import_spec(),
            backup_spec(),
            {
                "name": {"type": "str"},
                "path": {"type": "path"},
                "repository": {"type": "dict", "options": repository_options(), "required_if": REPOSITORY_NEEDS},
            },
        ),
        supports_check_mode=True,
        required_one_of=[("path", "repository")],
        mutually_exclusive=[("path", "repository"), ("name", "at"), ("name", "before_command")],
        required_by={each: ["repository"] for each in ("source_instance", "name", "label", "at", "before_command")},
    )
    params = module.params
    with told(module.fail_json, name_of(params), "Nothing was changed"):
        request = request_of(params, login_of(params))
        backup = None
        if means_backup(params):
            # Only where it is used: every import costs each call of a module.
            from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.import_backup import (
                from_backup_of,
                import_from_backup,
            )

            wanted = from_backup_of(params, request.login, place_of(params))
            done, backup = import_from_backup(wanted, request, check_mode=module.check_mode)
        elif params["repository"]:
            from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.from_repository import (
                export_of,
                import_export,
            )

            export = export_of(params, name_of(params))
            done, backup = import_export(export, request, check_mode=module.check_mode)
        else:
            source = FileSource(params["path"], params["format"], params["identities"])
            done = import_keys(source, request, check_mode=module.check_mode)
        for warning in done.warnings:
            module.warn(warning)
        module.exit_json(**readable({**result_of(done), "backup": backup}))


if __name__ == "__main__":
    main()
