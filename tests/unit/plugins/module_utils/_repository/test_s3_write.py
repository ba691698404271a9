# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of an upload: within what S3 allows."""

from __future__ import annotations

import itertools

from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.s3_write import part_bytes

MOST_PARTS = 10_000
MIB = 1 << 20


def test_the_largest_object_fits() -> None:
    sizes = [part_bytes(number) for number in range(1, MOST_PARTS + 1)]
    assert sum(sizes) >= 5 << 40
    assert all(size <= later for size, later in itertools.pairwise(sizes))


def test_every_part_is_one_that_s3_takes() -> None:
    """From 5 MiB to 5 GiB, as far as they are needed for the largest object."""
    whole = 0
    for number in range(1, MOST_PARTS + 1):
        assert 5 * MIB <= part_bytes(number) <= 5 << 30
        whole += part_bytes(number)
        if whole >= 5 << 40:
            return


def test_usual_objects_come_in_small_parts() -> None:
    """29 GiB need no more memory than one byte."""
    assert {part_bytes(number) for number in range(1, 6001)} == {5 * MIB}
    assert part_bytes(6001) > part_bytes(6000)
