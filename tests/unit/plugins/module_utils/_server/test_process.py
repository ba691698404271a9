# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a server on this host, and its user."""

from __future__ import annotations

import os

from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.facts import Facts
from ansible_collections.globalscope.redis_backup.plugins.module_utils._server.process import (
    is_local,
    process_user,
    unit_user,
)


def test_no_service_no_user() -> None:
    assert unit_user("") is None
    assert unit_user("no-such-unit-of-redis") is None


def test_another_process_of_that_number_is_no_server() -> None:
    assert not is_local(Facts({"process_id": str(os.getpid())}))
    assert not is_local(Facts({}))
    assert not is_local(None)


def test_a_process_has_a_user() -> None:
    assert process_user(os.getpid()) == (os.geteuid(), os.getegid())
    assert process_user(2**22 + 1) is None
