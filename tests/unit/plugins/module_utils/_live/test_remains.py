# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a live restore that was cut short is ended unasked, and when that is left to an operator."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._live.outcome import Announced
from ansible_collections.globalscope.redis_backup.plugins.module_utils._live.remains import how_to_mend
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts

PLAYED = Announced("restored", "10.0.0.9", 7000, "a" * 40, 10_000_000, "run one")
OURS = {"role": "slave", "master_host": "10.0.0.9", "master_port": "7000"}


def facts(**info: str) -> Facts:
    return Facts({"run_id": "run one", "role": "master", "master_repl_offset": "77", **info})


@pytest.mark.parametrize(
    ("state", "found", "played", "closed", "wanted"),
    [
        ("activating", facts(**OURS), PLAYED, True, "rolled_back"),
        ("activating", facts(**OURS), PLAYED, False, "rolled_back"),
        ("activating", facts(), None, True, "rolled_back"),
        ("rolling_back", facts(), PLAYED, True, "rolled_back"),
        ("active", facts(master_repl_offset="10000050"), PLAYED, True, "rolled_back"),
        # It takes writes: what it held before the restore must not come over them unasked.
        ("active", facts(master_repl_offset="10000050"), PLAYED, False, ""),
        ("activating", facts(), None, False, ""),
        # Started anew since, with its own settings; a fence may be one of redis.conf.
        ("activating", facts(run_id="run two"), PLAYED, False, ""),
        ("active", facts(run_id="run two"), PLAYED, True, ""),
        ("committing", facts(run_id="run two"), PLAYED, False, "committed"),
        ("committing", None, PLAYED, False, ""),
        ("activating", None, PLAYED, False, ""),
    ],
)
def test_how_to_mend(state: str, found: Facts | None, played: Announced | None, closed: bool, wanted: str) -> None:
    assert how_to_mend(state, found, played, closed=closed) == wanted
