# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From options to a selection."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RestoreError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._restore.step import selection_of

NAS = {"name": "nas", "type": "posix", "path": "/nas", "create": True}


def test_selection() -> None:
    params = {"repository": None, "source_instance": None, "label": "latest", "at": None, "before_command": None}
    assert selection_of(params, "db") is None
    chosen = selection_of({**params, "repository": NAS, "at": "@7"}, "db")
    assert chosen is not None
    assert (chosen.instance, chosen.label, chosen.at, chosen.store.name) == ("db", "latest", 7.0, "nas")
    with pytest.raises(RestoreError, match="label and at exclude each other"):
        selection_of({**params, "repository": NAS, "at": "@7", "label": "20261122T235141Z_rdb"}, "db")
    newest = selection_of({**params, "repository": NAS, "at": "latest", "before_command": "flushall"}, "db")
    assert newest is not None and newest.at is None and newest.point is not None
    assert (newest.point.second, newest.point.command_text) == (None, "FLUSHALL")
    other = selection_of({**params, "repository": NAS, "source_instance": "old"}, "db")
    assert other is not None and other.instance == "old"
