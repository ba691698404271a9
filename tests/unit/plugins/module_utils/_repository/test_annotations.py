# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `keep` means."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import RedisBackupError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.annotations import (
    check_annotations,
    kept_until,
)


@pytest.mark.parametrize(
    ("value", "until"),
    [
        (True, math.inf),
        ("True", math.inf),
        ("yes", math.inf),
        (False, 0.0),
        (None, 0.0),
        ("", 0.0),
        ("2027-01-31", 1801440000.0),  # through its last second
        ("2027-01-31T18:00:00Z", 1801418400.0),
        ("2027-01-31 18:00+01:00", 1801414800.0),
    ],
)
def test_kept_until(value: Any, until: float) -> None:
    check_annotations({"keep": value})
    assert kept_until({"keep": value, "reason": "audit"}) == until


def test_without_keep() -> None:
    assert kept_until({"keeper": "2027"}) == 0.0


@pytest.mark.parametrize(
    "value",
    ["tomorrow", "2027-13-01", "2027-02-30", "31.01.2027", "2027-01-31T18:00:00", 1, 1801418400, [], {}, 0.5,
     datetime.date(2027, 1, 31)],
)  # fmt: skip
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(RedisBackupError, match=r"keep: .* is neither true nor a date or time.*2027-01-31"):
        check_annotations({"keep": value})
