#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_aof
short_description: Rewrite, check, repair or cut an AOF
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Looks after the append only file of an instance, be it the one file of Redis 6.2 or the manifest, base and increments of
    later servers. Values may hold any bytes; everything is read by its length.
  - O(state=rewritten) has the server rewrite its AOF, waits for it and proves by the files that it did.
  - O(state=checked) never changes anything. It says whether the server would load the AOF, and if not, in which file and at
    which byte the damage begins. A server may be running on it.
  - O(state=fixed) cuts off a damaged end, once the server is stopped, and says what is lost.
  - O(state=truncated) cuts everything after a second away, in whichever file it lies, in the AOF of a stopped server or into
    a new directory.
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
      - Each run with O(state=rewritten) rewrites. The other states change nothing the second time.
options:
  state:
    description: What to do.
    type: str
    choices: [rewritten, checked, fixed, truncated]
    required: true
  path:
    description:
      - Path of an AOF. A manifest, the directory in which it lies, or a single file.
      - Without it, the AOF of the instance, as the server tells or as redis.conf says. With it, no server need answer.
      - An RDB at the beginning is checked by the program of the server that is to load it. Name it with O(executable) where
        several are installed.
    type: path
  to_timestamp:
    description:
      - The second up to whose end everything stays, with O(state=truncated). Seconds since 1970, or ISO 8601 with a zone such
        as V(2026-11-22T23:51:41Z). Transactions stay whole.
      - The server must have written timestamps (C(aof-timestamp-enabled yes), Redis 7.0 and newer).
      - A second before the base was made, or in which nothing tells when commands were executed, is refused.
    type: str
  dest:
    description:
      - A new directory to write the cut AOF into, with O(state=truncated). Nothing else is touched, and the server may run.
      - It becomes a directory as C(appenddirname) names it, with a manifest of the same name and owner.
    type: path
  max_truncate_bytes:
    description:
      - How many bytes O(state=fixed) may cut off, those of dropped files counted. With more, nothing is changed.
      - A crash leaves at most what the server had not written yet, seldom more than a few kilobytes.
    type: int
    default: 1048576
  keep_original:
    description:
      - Whether each file that O(state=fixed) or O(state=truncated) changes or drops stays beside it, as
        C(<name>.<time>.orig). Servers pass over such names. Remove them when they are not needed any more.
    type: bool
    default: true
  drop_later:
    description:
      - Whether O(state=fixed) may cut at damage in a file that is not the last, and drop all files after it.
      - Everything that was written after the damage is lost then. A backup, or a recovery to a time, is the better choice.
    type: bool
    default: false
  second_opinion:
    description:
      - Whether O(state=checked) asks C(redis-check-aof) too, on copies of the files of commands, which need room beside the
        AOF. It is never given an RDB, nor the real files.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait for a running save or rewrite to end, and for the rewrite.
    type: int
    default: 3600
  stop_timeout:
    description:
      - Seconds to wait until no process serves at the address or writes in the data directory, with O(state=fixed) and
        O(state=truncated).
    type: int
    default: 30
notes:
  - In check mode O(state=fixed) and O(state=truncated) tell what they would do also while the server runs.
  - In place only root and the owner of the files change them, and only one run at a time. A symbolic link in the place of a
    file is refused, for whoever owns the directory may have it lead anywhere.
  - C(redis-check-aof --fix) is no replacement. On Valkey 9 it empties a healthy base, and none knows what is lost.
seealso:
  - module: globalscope.redis_backup.redis_backup
  - module: globalscope.redis_backup.redis_restore
"""

EXAMPLES = r"""
- name: Rewrite the AOF in a quiet hour
  globalscope.redis_backup.redis_aof:
    state: rewritten

- name: Is the AOF whole?
  globalscope.redis_backup.redis_aof:
    state: checked
  register: looked
  failed_when: not looked.aof.valid

- name: Cut off what a crash left at the end, with the server stopped
  globalscope.redis_backup.redis_aof:
    state: fixed
    config_file: /etc/redis/redis.conf
    max_truncate_bytes: 65536

- name: A copy of the data as it was before the accident, while the server runs
  globalscope.redis_backup.redis_aof:
    state: truncated
    to_timestamp: "2026-11-22T23:51:41Z"
    dest: /srv/rescue/appendonlydir
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["cut appendonly.aof.2.incr.aof at byte 5062; lost are 23 bytes, 0 whole commands in them, 0 s by its timestamps"]
aof:
  description:
    - The AOF as it is now; in check mode as it was. V(null) with O(state=rewritten), and in check mode with O(dest).
  returned: success
  type: dict
  contains:
    valid:
      description: Whether nothing is wrong with it. The end of an AOF that its server is writing is no fault.
      type: bool
      sample: true
    condition:
      description:
        - V(sound); V(torn) where the end of the last file is cut off, which servers with C(aof-load-truncated yes) mend
          by themselves at RV(aof.ok_up_to); V(damaged) where no server starts.
      type: str
      sample: sound
    why:
      description: The verdict in words.
      type: str
      sample: 3 files, 20041 commands, nothing wrong
    warnings:
      description: What servers load, but somebody should look at, such as an empty base.
      type: list
      elements: str
      sample: []
    files:
      description: The files in the order in which a server loads them.
      type: list
      elements: dict
      contains:
        name:
          description: Its name.
          type: str
          sample: appendonly.aof.2.incr.aof
        kind:
          description: V(base-rdb), V(base-aof), V(incr), or V(single) for the one file of Redis 6.2.
          type: str
          sample: incr
        size:
          description: Its size in bytes.
          type: int
          sample: 516
        ok_up_to:
          description: Up to which byte it is good.
          type: int
          sample: 516
        commands:
          description: Whole commands up to there.
          type: int
          sample: 12
        first_timestamp:
          description: Its first timestamp, in seconds since 1970; V(null) without one.
          type: int
          sample: 1795391501
        last_timestamp:
          description: Its last timestamp.
          type: int
          sample: 1795391560
        damage:
          description: What is wrong with it, in words; V(null) when nothing is.
          type: str
          sample: null
    bad_file:
      description: The first file at which something is wrong, or the manifest; V(null) when nothing is.
      type: str
      sample: null
    ok_up_to:
      description: Up to which byte the bad file is good; of the last file when all is good.
      type: int
      sample: 516
    truncated_bytes:
      description: Bytes behind that, those of later files counted. This is what a cut there would cost.
      type: int
      sample: 0
    commands:
      description: Whole commands in all files.
      type: int
      sample: 20041
    size:
      description: Bytes in all files.
      type: int
      sample: 2104332
    first_timestamp:
      description: The first timestamp in it, in seconds since 1970; V(null) without any.
      type: int
      sample: 1795391501
    last_timestamp:
      description: The last timestamp in it.
      type: int
      sample: 1795391560
    first_time:
      description: The first timestamp as a time in UTC.
      type: str
      sample: "2026-11-22T23:51:41Z"
    last_time:
      description: The last timestamp as a time in UTC.
      type: str
      sample: "2026-11-22T23:52:40Z"
    second_opinion:
      description: What C(redis-check-aof) says, with O(second_opinion).
      returned: when asked for
      type: dict
      sample: {"tool": "redis-check-aof", "files": ["appendonly.aof.2.incr.aof"], "agrees": true, "differences": []}
rewrite:
  description: The rewrite, with O(state=rewritten), else V(null). V(null) in check mode.
  returned: success
  type: dict
  contains:
    base:
      description: The new base file; V(null) where the server's files are not on this host.
      type: str
      sample: appendonly.aof.3.base.rdb
    base_size:
      description: Its size in bytes.
      type: int
      sample: 1231
    size_before:
      description: Size of the whole AOF before, in bytes.
      type: int
      sample: 94332
    size_after:
      description: Size of the whole AOF after, in bytes.
      type: int
      sample: 1231
    duration_s:
      description: Seconds it took.
      type: float
      sample: 0.21
lost:
  description: What was cut away, or would be; V(null) when nothing was.
  returned: success
  type: dict
  contains:
    bytes:
      description: Bytes.
      type: int
      sample: 23
    commands:
      description: Whole commands among them. Behind damage, what looks like one is counted.
      type: int
      sample: 0
    seconds:
      description: Seconds between the last timestamp that stays and the last that goes; V(null) without timestamps.
      type: int
      sample: 0
originals:
  description: Paths of the originals that were kept.
  returned: success
  type: list
  elements: str
  sample: ["/var/lib/redis/appendonlydir/appendonly.aof.2.incr.aof.20261122T235312Z.orig"]
"""

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.request import (
    DEFAULT_MAX_TRUNCATE,
    AofRequest,
    parse_second,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.step import find_place, run_aof
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    login_of,
    merged,
    name_of,
    place_of,
    readable,
    told,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            {
                "state": {"type": "str", "choices": ["rewritten", "checked", "fixed", "truncated"], "required": True},
                "path": {"type": "path"},
                "to_timestamp": {"type": "str"},
                "dest": {"type": "path"},
                "max_truncate_bytes": {"type": "int", "default": DEFAULT_MAX_TRUNCATE},
                "keep_original": {"type": "bool", "default": True},
                "drop_later": {"type": "bool", "default": False},
                "second_opinion": {"type": "bool", "default": False},
                "wait_timeout": {"type": "int", "default": 3600},
                "stop_timeout": {"type": "int", "default": 30},
            },
        ),
        supports_check_mode=True,
        required_if=[("state", "truncated", ["to_timestamp"])],
    )
    params = module.params
    with told(module.fail_json, name_of(params)):
        request = AofRequest(
            state=params["state"],
            path=params["path"] or "",
            to_timestamp=parse_second(params["to_timestamp"]) if params["to_timestamp"] else None,
            dest=params["dest"] or "",
            max_truncate_bytes=params["max_truncate_bytes"],
            keep_original=params["keep_original"],
            drop_later=params["drop_later"],
            second_opinion=params["second_opinion"],
            wait_timeout=params["wait_timeout"],
            stop_wait=params["stop_timeout"],
            check_mode=module.check_mode,
        )
        found = find_place(login_of(params), place_of(params), request)
        module.exit_json(**readable(run_aof(found, request).result()))


if __name__ == "__main__":
    main()
