# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges of slots of a cluster, both ends included, and words for them. Pure."""

from __future__ import annotations

import binascii
from collections.abc import Sequence

from .cluster import SLOTS

Ranges = Sequence[Sequence[int]]


def key_slot(key: bytes) -> int:
    """The slot of a key; of what stands in its first braces alone, if anything does."""
    begin = key.find(b"{")
    end = key.find(b"}", begin + 1)
    hashed = key[begin + 1 : end] if begin >= 0 and end > begin + 1 else key
    return binascii.crc_hqx(hashed, 0) % SLOTS


def merged_ranges(slots: Ranges) -> list[list[int]]:
    """Ranges of slots, both ends included, sorted, with neighbours joined: two that say the same are equal."""
    found: list[list[int]] = []
    for first, last in sorted((int(first), int(last)) for first, last in slots):
        if found and first <= found[-1][1] + 1:
            found[-1][1] = max(found[-1][1], last)
        else:
            found.append([first, last])
    return found


def why_no_ranges(slots: object) -> str | None:
    """The reason why a value is no list of ranges of slots; None when it is one."""
    if not isinstance(slots, (list, tuple)):
        return "it is no list"
    for each in slots:
        if not isinstance(each, (list, tuple)) or len(each) != 2:
            return f"{each!r} is no pair of slots"
        first, last = each
        if not all(isinstance(slot, int) and not isinstance(slot, bool) for slot in each):
            return f"{each!r} holds no numbers"
        if not 0 <= first <= last < SLOTS:
            return f"{each!r} is no range of slots from 0 to {SLOTS - 1}"
    return None


def in_words(slots: Ranges) -> str:
    """Ranges as people write them: `0-5460, 7000`."""
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in merged_ranges(slots))


def uncovered(slots: Ranges) -> list[list[int]]:
    """The slots that are in none of the ranges."""
    found, begin = [], 0
    for first, last in merged_ranges(slots):
        if first > begin:
            found.append([begin, first - 1])
        begin = last + 1
    return [*found, *([[begin, SLOTS - 1]] if begin < SLOTS else [])]


def count(slots: Ranges) -> int:
    """How many slots the ranges have, one that is in two of them twice."""
    return sum(last - first + 1 for first, last in slots)
