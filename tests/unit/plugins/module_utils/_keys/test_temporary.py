# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slots of keys by the rules of the cluster's specification, and names beside a key in its slot."""

from __future__ import annotations

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._keys.temporary import (
    PREFIX,
    Temporary,
    hash_tag,
    slot_of,
)
from hypothesis import given
from hypothesis import strategies as st

KEYS = st.binary() | st.lists(st.sampled_from([b"{", b"}", b"a", b"\xff", b"\r\n"])).map(b"".join)


@pytest.mark.parametrize(
    ("key", "slot"), [(b"123456789", 0x31C3), (b"foo", 12182), (b"{foo}bar", 12182), (b"a{foo}{bar}", 12182), (b"", 0)]
)
def test_slots(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


@pytest.mark.parametrize(
    ("key", "tag"), [(b"{}a", b"{}a"), (b"{a", b"{a"), (b"}{a}", b"a"), (b"{{a}}", b"{a"), (b"{}{a}", b"{}{a}")]
)
def test_tags(key: bytes, tag: bytes) -> None:
    assert hash_tag(key) == tag


@given(KEYS)
def test_a_temporary_name_lies_in_the_slot_of_its_key(key: bytes) -> None:
    found = Temporary("0123", cluster=True)
    for purpose in (b"", b":part"):
        name = found.of(key, purpose)
        assert slot_of(name) == slot_of(key)
        assert name.startswith(PREFIX + b"0123" + purpose)
    assert Temporary("0123", cluster=False).of(key) == PREFIX + b"0123"
