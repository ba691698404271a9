#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_config
short_description: Enforce directives in redis.conf and in the running server
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Makes a running server and its redis.conf follow the settings, without a restart where none is needed.
  - Values are compared as the server reads them, so that V(64mb) and V(67108864), or V(true) and V(yes), are the same. Where
    that is in doubt, a throw-away server of the same program is asked.
  - A value that the server would refuse, and a redis.conf with which it would not start, are refused before anything is
    changed, with the server's own words.
  - The running server is changed first, in one call where it can (from 7.0 on); then redis.conf. When a part fails, what was
    set is set back.
  - Lines of redis.conf that are not concerned stay byte for byte, and includes are never edited. What an include sets is
    overridden behind it. What Redis, C(CONFIG REWRITE), Sentinel or the cluster wrote stays, unless O(settings) names it.
  - No setting loses keys. The AOF is switched on in the running server, and redis.conf says so only when the first rewrite has
    ended well. It is switched off only together with a proven snapshot. Where a change would let the next start look for its
    data in another place, the change waits until the server is stopped (RV(deferred)), and the data is then copied there.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows redis.conf without its secrets.
  idempotent:
    support: full
options:
  settings:
    description:
      - Directives and their values, as Redis writes them or as YAML would.
      - A list is for directives that repeat, such as C(save), C(client-output-buffer-limit), C(rename-command), C(loadmodule)
        and C(user). It is the whole of them, so that lines that are not in it go.
      - With V(null), redis.conf does not mention the directive, and the running server has its default.
      - C(tls-*) directives are only written into redis.conf, as setting them crashes some builds.
      - C(include) is refused.
    type: dict
    required: true
  skip_unknown:
    description: Names in O(settings) that are left out where the server does not know them, such as those of newer versions.
    type: list
    elements: str
    default: []
  apply:
    description:
      - Whether to change redis.conf and the running server, or one of them.
      - A server that is down gets only the file. So does one that does not let us use C(CONFIG).
    type: str
    choices: [both, file, live]
    default: both
  backup:
    description: Whether to keep a copy of redis.conf before it is changed, below O(state_dir).
    type: bool
    default: true
  backup_count:
    description: How many such copies are kept.
    type: int
    default: 5
  allow_eviction:
    description:
      - Whether C(maxmemory) may be less than 1.1 times the memory in use, with a policy that evicts keys.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait for the first rewrite of an AOF, or for a snapshot.
    type: int
    default: 3600
  preflight:
    description: Whether to look also at what in the host would break the server's persistence (RV(preflight)).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Keep an AOF and snapshots
  globalscope.redis_backup.redis_config:
    settings:
      appendonly: true
      appendfsync: everysec
      save: ["900 1", "300 10", "60 10000"]

- name: No snapshots, a limit, and no line about the number of databases
  globalscope.redis_backup.redis_config:
    login_port: 6380
    settings:
      save: ""
      maxmemory: 2gb
      databases: null

- name: Tell what differs
  globalscope.redis_backup.redis_config:
    settings:
      appendonly: true
  check_mode: true
  register: found
"""

RETURN = r"""
actions:
  description: What was done, or would be done in check mode.
  returned: success
  type: list
  elements: str
  sample: ["set maxmemory to '2147483648' in the running server (from '0')", "write /etc/redis/redis.conf: maxmemory"]
drift:
  description: What differed before the change. Secrets are not shown.
  returned: success
  type: list
  elements: dict
  contains:
    directive:
      description: Its name.
      type: str
      sample: maxmemory
    wanted:
      description: The value wished for, as the server writes it.
      type: str
      sample: "2147483648"
    running:
      description: The running server's value; V(null) where it is not known.
      type: str
      sample: "0"
    in_file:
      description: The value in redis.conf; V(null) where it has none.
      type: str
      sample: null
restart_required:
  description: Whether the server must be restarted until all settings are in effect. So it stays until that was done.
  returned: success
  type: bool
  sample: true
restart_reasons:
  description: Why.
  returned: success
  type: list
  elements: str
  sample: ["databases: running 16, wanted 32"]
restart_safe:
  description: Whether the data would survive the restart.
  returned: success
  type: bool
  sample: false
restart_refusals:
  description: Why it would not, or why the restart needs a human.
  returned: success
  type: list
  elements: str
  sample: ["it has neither an AOF nor save points: it would come up empty"]
deferred:
  description:
    - Directives that wait until the server is stopped, as its next start would miss its data. Run the module again then; it
      copies the data to its new place.
  returned: success
  type: list
  elements: str
  sample: ["appenddirname"]
backup_file:
  description: The copy of the old redis.conf; V(null) when none was made.
  returned: success
  type: str
  sample: /var/lib/redis_backup/config/web1-6379/redis.conf.20261123T034501Z
config_file:
  description: The redis.conf, links followed.
  returned: success
  type: str
  sample: /etc/redis/redis.conf
state:
  description: V(running) or V(down).
  returned: success
  type: str
  sample: running
keys:
  description: How many keys the running server holds; V(null) when it is down.
  returned: success
  type: int
  sample: 25001
preflight:
  description: What in the host was looked at, with O(preflight=true).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: What was looked at.
      type: str
      sample: overcommit_memory
    ok:
      description: Whether it is as it should be.
      type: bool
      sample: false
    found:
      description: What was found.
      type: str
      sample: "0"
    wanted:
      description: What should be.
      type: str
      sample: "1"
    hint:
      description: What to do.
      type: str
      sample: "sysctl vm.overcommit_memory=1"
"""

import dataclasses
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback
from ansible_collections.globalscope.redis_backup.plugins.module_utils._argspec import (
    connection_spec,
    login_of,
    merged,
    name_of,
    place_of,
    readable,
    state_of,
    told,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.enforce import enforce, find_for
from ansible_collections.globalscope.redis_backup.plugins.module_utils._enforce.wish import (
    Request,
    secrets_in,
    secrets_of,
    wishes_of,
)


class Discreet(AnsibleModule):  # type: ignore[misc]
    """A module whose results can be read by a controller, and show no secret of the settings.

    Ansible refuses a result with bytes that are not UTF-8, which redis.conf may hold. And it shows the parameters of a
    module that fails, though it be by an argument that Ansible itself refuses.
    """

    def exit_json(self, **kwargs: Any) -> None:
        super().exit_json(**readable(kwargs))

    def fail_json(self, msg: str, **kwargs: Any) -> None:
        self.no_log_values.update(secrets_in(self.params.get("settings")))
        super().fail_json(readable(msg), **readable(kwargs))


def main() -> None:
    module = Discreet(
        argument_spec=merged(
            connection_spec(env_fallback),
            {
                "settings": {"type": "dict", "required": True},
                "skip_unknown": {"type": "list", "elements": "str", "default": []},
                "apply": {"type": "str", "choices": ["both", "file", "live"], "default": "both"},
                "backup": {"type": "bool", "default": True},
                "backup_count": {"type": "int", "default": 5},
                "allow_eviction": {"type": "bool", "default": False},
                "wait_timeout": {"type": "int", "default": 3600},
                "preflight": {"type": "bool", "default": False},
            },
        ),
        supports_check_mode=True,
        no_log=True,  # settings may hold secrets; they are known, and masked in the result, only a few lines below
    )
    params = module.params
    with told(module.fail_json, name_of(params), "redis.conf and the running values are as they were"):
        request = Request(
            wishes=wishes_of(params["settings"]),
            skip_unknown=frozenset(name.lower() for name in params["skip_unknown"]),
            apply=params["apply"],
            backup=params["backup"],
            backup_count=max(params["backup_count"], 1),
            allow_eviction=params["allow_eviction"],
            wait_timeout=params["wait_timeout"],
            preflight=params["preflight"],
            diff=module._diff,  # two texts of a whole redis.conf, which a fleet's results need not carry
        )
        module.no_log_values.update(secrets_of(request.wishes))
        instance = find_for(login_of(params), place_of(params), request, module.warn)
        outcome = enforce(instance, request, state_of(params), check_mode=module.check_mode)
        result = dataclasses.asdict(outcome)
        if not outcome.diff:
            del result["diff"]
        module.exit_json(**result)


if __name__ == "__main__":
    main()
