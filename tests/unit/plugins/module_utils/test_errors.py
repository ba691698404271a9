# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors are one paragraph."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils import _errors


@pytest.mark.parametrize(
    ("what", "untouched", "hint", "paragraph"),
    [
        ("it broke", "", "", "it broke."),
        ("it broke.", "Nothing was changed", "Mend it!", "it broke. Nothing was changed. Mend it!"),
        ("it broke", "", "Why?", "it broke. Why?"),
    ],
)
def test_paragraph(what: str, untouched: str, hint: str, paragraph: str) -> None:
    error = _errors.RedisBackupError(what, untouched=untouched, hint=hint, missing_program="zstd")
    assert str(error) == error.paragraph() == paragraph
    assert error.details == {"missing_program": "zstd"}


def test_damage_and_absence_are_repository_errors() -> None:
    assert issubclass(_errors.DamagedError, _errors.RepositoryError)
    assert issubclass(_errors.NotFoundError, _errors.RepositoryError)
    assert not issubclass(_errors.NotFoundError, _errors.DamagedError)
