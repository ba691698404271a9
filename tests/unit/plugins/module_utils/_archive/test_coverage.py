# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive covers, and which epochs may go: from headers and names alone."""

from __future__ import annotations

from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.coverage import coverage
from ansible_collections.globalscope.redis_backup.plugins.module_utils._archive.frame import After, Segment
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.archived import prunable
from ansible_collections.globalscope.redis_backup.plugins.module_utils._repository.layout import ArchiveName

E1, E2, E3 = (f"20261123T1000{n}0Z-{n}-0000000{n}" for n in (1, 2, 3))


def piece(epoch: str, offset: int, length: int, last: float, **more: object) -> Segment:
    seq = int(epoch.split("-")[1])
    wanted: dict[str, object] = {
        "file": f"aof.{seq}.incr.aof",
        "kind": "incr",
        "clocks": ((offset + length, last, last),),
        **more,
    }
    return Segment("x", "u", epoch, seq=seq, offset=offset, length=length, sha256="", written=last, **wanted)  # type: ignore[arg-type]


def whole_base(epoch: str, time: float, length: int = 50, total: int = 50) -> Segment:
    seq = int(epoch.split("-")[1])
    return piece(epoch, 0, length, time, kind="base", file=f"aof.{seq}.base.rdb", total=total, time=time, clocks=())


def after(epoch: str, size: int) -> After:
    return After(epoch, "f", size, True)


def test_a_chain_reaches_over_epochs_and_the_newest_base_is_used() -> None:
    found = coverage(
        [
            whole_base(E1, 1000.0),
            piece(E1, 0, 10, 1010.0),
            piece(E1, 10, 5, 1020.0),
            piece(E2, 0, 7, 1030.0, after=after(E1, 15)),
            whole_base(E2, 1021.0),
            piece(E3, 0, 7, 1040.0, after=after(E2, 7)),
        ]
    )
    assert found.ranges == ((1000.0, 1040.0),)
    early, late = found.at(1015.0), found.at(1039.0)
    assert early is not None and [epoch.name for epoch in early.epochs] == [E1, E2, E3]
    assert late is not None and [epoch.name for epoch in late.epochs] == [E2, E3]
    assert found.at(999.0) is None and found.nearest(999.0) == (None, 1000.0)
    assert found.at(1041.0) is None and found.nearest(1041.0) == (1040.0, None)


def test_a_hole_ends_what_is_covered() -> None:
    found = coverage([whole_base(E1, 1000.0), piece(E1, 0, 10, 1010.0), piece(E1, 12, 5, 1020.0)])
    assert found.ranges == ((1000.0, 1010.0),)
    assert found.epochs[0].hole == 10


def test_an_epoch_that_is_not_whole_is_no_bridge() -> None:
    found = coverage(
        [whole_base(E1, 1000.0), piece(E1, 0, 10, 1010.0), piece(E2, 0, 7, 1030.0, after=after(E1, 15))]
    )
    assert found.ranges == ((1000.0, 1010.0),)


def test_a_base_that_is_not_whole_counts_for_nothing() -> None:
    assert coverage([whole_base(E1, 1000.0, total=60), piece(E1, 0, 10, 1010.0)]).ranges == ()


def test_a_base_alone_covers_its_own_time() -> None:
    found = coverage([whole_base(E1, 1000.0)])
    assert found.ranges == ((1000.0, 1000.0),) and found.at(1000.0) is not None


def test_single_files_follow_each_other_and_gaps_are_told() -> None:
    gap = {"from": 1050.0, "to": 1060.0, "reason": "why"}
    one = {"file": "aof", "kind": "single"}
    found = coverage(
        [
            piece(E1, 0, 10, 1010.0, time=1000.0, **one),
            piece(E2, 0, 10, 1040.0, time=1012.0, after=after(E1, 10), **one),
            piece(E3, 0, 10, 1080.0, time=1060.0, gaps=(gap,), **one),
        ]
    )
    assert found.ranges == ((1000.0, 1040.0), (1060.0, 1080.0))
    assert found.gaps == (gap,)
    chain = found.at(1011.5)
    assert chain is not None and [epoch.name for epoch in chain.epochs] == [E1]


def test_what_may_go() -> None:
    names = [
        ArchiveName(E1, "aof.1.base.rdb", 0, last=True),
        ArchiveName(E1, "aof.1.incr.aof", 0),
        ArchiveName(E2, "aof.2.incr.aof", 0),
        ArchiveName(E3, "aof.3.base.rdb", 0, last=True),
        ArchiveName(E3, "aof.3.incr.aof", 0),
    ]
    assert prunable(names, None) == [E1, E2]
    second = 1795428000.0  # 2026-11-23T10:00:00Z
    assert prunable(names, second + 5) == []
    assert prunable(names, second + 25) == []
    assert prunable(names, second + 30.5) == []
    assert prunable(names, second + 31) == [E1, E2]
    assert prunable(names[:3], None) == []
    assert prunable([ArchiveName(E1, "aof", 0), ArchiveName(E2, "aof", 0)], None) == [E1]
    assert prunable([ArchiveName(E1, "aof.1.base.rdb", 0)], None) == []
