# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream that is read again gives nothing but what it gave the first time."""

from __future__ import annotations

import random

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import DamagedError
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.same_again import SameAgain
from hypothesis import given
from hypothesis import strategies as st

BLOCK = 4


def cut(data: bytes, dice: random.Random) -> list[bytes]:
    """`data` in chunks of any sizes."""
    found = []
    while data:
        size = dice.randint(1, 9)
        found.append(data[:size])
        data = data[size:]
    return found


@given(st.binary(max_size=40), st.binary(max_size=40), st.randoms())
def test_the_same_or_nothing(data: bytes, other: bytes, dice: random.Random) -> None:
    same = SameAgain("it", BLOCK)
    for _twice in range(2):
        assert b"".join(map(bytes, same.read(cut(data, dice)))) == data
    given_again = []
    reading = same.read(cut(other, dice))
    if other == data:
        assert b"".join(map(bytes, reading)) == data
        return
    with pytest.raises(DamagedError, match="other bytes now"):
        given_again.extend(map(bytes, reading))
    assert data.startswith(b"".join(given_again))


def test_a_first_reading_that_failed_proves_nothing() -> None:
    same = SameAgain("it", BLOCK)
    next(iter(same.read([b"abc", b"def"])))
    assert b"".join(map(bytes, same.read([b"other"]))) == b"other"
