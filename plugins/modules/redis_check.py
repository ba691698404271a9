#!/usr/bin/python
# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_check
short_description: Assert that an instance holds the right data and serves it
version_added: 0.1.0
author: GlobalScope contributors (@globalscope)
description:
  - Asserts data and service of a running instance, as after a recovery. Fails when any check is not met, and returns all.
  - Waits for a server that has just been started and is still loading.
extends_documentation_fragment:
  - globalscope.redis_backup.connection
  - globalscope.redis_backup.attributes
attributes:
  check_mode:
    support: full
    details:
      - In check mode, the probe, the replicas and the benchmark are left out.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  expect:
    description: What the data set must be.
    type: dict
    default: {}
    suboptions:
      keys_min:
        description: The least number of keys in all databases.
        type: int
      keys_max:
        description: The greatest number of keys in all databases.
        type: int
      loaded_keys:
        description:
          - The exact number of keys that the server's last start read from disk, those that had expired included. Servers before
            7.0 do not tell it.
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
          - The digest of the whole data set, as RV(digest) gives it. Reads every value; for servers at rest.
        type: str
  digest:
    description: Whether to compute the digest of the data set and return it.
    type: bool
    default: false
  probe:
    description:
      - Whether to write, read and delete a key of the module's own. Where writes are closed by
        O(globalscope.redis_backup.redis_restore#module:close_writes), they open for these commands alone.
    type: bool
    default: false
  replicas:
    description:
      - How many replicas have to acknowledge the writing and the deletion of a key of the module's own, within 10 s each. With
        V(0) that is not asked.
    type: int
    default: 0
  latency_ms_max:
    description: The greatest latency, in milliseconds, that 99 of 100 PINGs may take.
    type: float
  benchmark:
    description: Whether to measure how many PINGs a second one connection gets through.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait until the server answers and has loaded its data set. With V(0) it must do so now.
    type: int
    default: 0
seealso:
  - module: globalscope.redis_backup.redis_restore
"""

EXAMPLES = r"""
- name: The restored server must hold what was backed up, and take writes
  globalscope.redis_backup.redis_check:
    expect:
      keys_min: 24000
      keys_max: 25001
      present: [config:system]
    probe: true
    latency_ms_max: 50
    wait_timeout: 600
"""

RETURN = r"""
actions:
  description: Always empty.
  returned: always
  type: list
  elements: str
  sample: []
checks:
  description: All checks.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The check.
      type: str
      sample: keys_min
    ok:
      description: Whether it is met.
      type: bool
      sample: true
    found:
      description: What was found.
      type: raw
      sample: 25001
    wanted:
      description: What was wanted.
      type: raw
      sample: at least 24000
  sample: [{"name": "keys_min", "ok": true, "found": 25001, "wanted": "at least 24000"}]
keys:
  description: Keys in all databases.
  returned: always
  type: int
  sample: 25001
digest:
  description: The digest of the data set, when asked for.
  returned: when O(digest=true)
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
waited_s:
  description: Seconds until the server had loaded its data set.
  returned: always
  type: float
  sample: 0.52
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
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.digest import digest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._recovery.checks import (
    expectation_of,
    run_checks,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.ready import wait_ready


def main() -> None:
    module = AnsibleModule(
        argument_spec=merged(
            connection_spec(env_fallback),
            {
                "expect": {
                    "type": "dict",
                    "default": {},
                    "apply_defaults": True,
                    "options": {
                        "keys_min": {"type": "int", "no_log": False},
                        "keys_max": {"type": "int", "no_log": False},
                        "loaded_keys": {"type": "int", "no_log": False},
                        "db": {"type": "int", "default": 0},
                        "present": {"type": "list", "elements": "str", "default": [], "no_log": False},
                        "values": {"type": "dict", "default": {}},
                        "digest": {"type": "str"},
                    },
                },
                "digest": {"type": "bool", "default": False},
                "probe": {"type": "bool", "default": False},
                "replicas": {"type": "int", "default": 0},
                "latency_ms_max": {"type": "float"},
                "benchmark": {"type": "bool", "default": False},
                "wait_timeout": {"type": "int", "default": 0},
            },
        ),
        supports_check_mode=True,
    )
    params = module.params
    with told(module.fail_json, name_of(params), "Nothing was changed"):
        found, waited = wait_ready(login_of(params), place_of(params), params["wait_timeout"])
        facts = found.require_running()
        checks = run_checks(found.server, facts, expectation_of(params), check_mode=module.check_mode)
        result = {
            "actions": [],
            "changed": False,
            "checks": [check.as_result() for check in checks],
            "keys": facts.keys,
            "waited_s": waited,
        }
        if params["digest"]:
            result["digest"] = digest(found.server)[0]
        unmet = [f"{c.name}: found {c.found}, wanted {c.wanted}" for c in checks if not c.ok]
        if unmet:
            module.fail_json(msg=f"{found.title} is not what it should be. {'; '.join(unmet)}.", **result)
        module.exit_json(**result)


if __name__ == "__main__":
    main()
