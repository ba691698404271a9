# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is repaired, what is refused, and what is told to be lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.check import check_set
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.cut import cut_in_place
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.fix import (
    Lost,
    mend_manifest,
    plan_fix,
    require_small,
    search,
    what_is_lost,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.manifest import (
    ManifestError,
    parse_manifest,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.parts import AofSet, open_set
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.resp import encode
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import AofError

SET = encode([b"SET", b"key", b"\r\n#TS:9\r\n*1\r\n"])
STAMP = b"#TS:%d\r\n"
MULTI = encode([b"MULTI"])
LINES = b"file a.1.base.aof seq 1 type b\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n"


@pytest.fixture
def aof(tmp_path: Path) -> Path:
    """A base of commands and two increments."""
    (tmp_path / "a.manifest").write_bytes(LINES)
    (tmp_path / "a.1.base.aof").write_bytes(STAMP % 100 + SET)
    (tmp_path / "a.1.incr.aof").write_bytes(STAMP % 110 + SET + SET)
    (tmp_path / "a.2.incr.aof").write_bytes(STAMP % 120 + SET)
    return tmp_path


def fixed(folder: Path, *, drop_later: bool = False) -> tuple[AofSet, Lost]:
    """Repair it, and what was lost."""
    aof_set = open_set(str(folder))
    report = check_set(aof_set, "")
    plan = plan_fix(aof_set, report, drop_later=drop_later)
    assert plan is not None
    lost = what_is_lost(aof_set, report, plan)
    cut_in_place(aof_set, plan, originals=True, seconds=0)
    again = open_set(str(folder))
    assert check_set(again, "").valid
    assert plan_fix(again, check_set(again, ""), drop_later=False) is None
    return again, lost


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


def test_a_healthy_one_needs_nothing(aof: Path) -> None:
    aof_set = open_set(str(aof))
    report = check_set(aof_set, "")
    assert report.valid and report.condition == "sound" and report.commands == 4
    assert (report.first_stamp, report.last_stamp) == (100, 120)
    assert plan_fix(aof_set, report, drop_later=False) is None


@pytest.mark.parametrize(
    ("end", "commands", "seconds"),
    [
        (SET[:-1], 0, 0),
        (b"*", 0, 0),
        (MULTI + SET, 2, 0),
        (STAMP % 125 + b"*1", 0, 0),
        (MULTI + STAMP % 133 + SET + SET[:-3], 2, 13),
        (b"junk" + SET + STAMP % 140 + SET, 1, 20),
        (b"#TS:12", 0, 0),
    ],
)
def test_the_end_of_the_last_file_is_cut_off(aof: Path, end: bytes, commands: int, seconds: int) -> None:
    path = aof / "a.2.incr.aof"
    healthy = path.read_bytes()
    append(path, end)
    _set, lost = fixed(aof)
    kept = path.read_bytes()
    assert kept == healthy or kept == healthy + STAMP % 125
    assert (lost.bytes, lost.commands, lost.seconds) == (len(healthy) + len(end) - len(kept), commands, seconds)
    assert (aof / "a.2.incr.aof.19700101T000000Z.orig").read_bytes() == healthy + end


def test_later_files_go_only_when_asked(aof: Path) -> None:
    append(aof / "a.1.incr.aof", b"\0" * 9)
    aof_set = open_set(str(aof))
    with pytest.raises(AofError, match=r"not the last file.* 1 files follow, with 1 commands.*drop_later"):
        plan_fix(aof_set, check_set(aof_set, ""), drop_later=False)
    after, lost = fixed(aof, drop_later=True)
    assert [part.name for part in after.parts] == ["a.1.base.aof", "a.1.incr.aof"]
    assert (lost.bytes, lost.commands, lost.seconds) == (9 + len(STAMP % 120 + SET), 1, 10)
    assert not (aof / "a.2.incr.aof").exists()
    assert (aof / "a.2.incr.aof.19700101T000000Z.orig").exists()
    assert (aof / "a.manifest.19700101T000000Z.orig").read_bytes() == LINES


def test_empty_files_behind_it_are_nothing_to_lose(aof: Path) -> None:
    append(aof / "a.1.incr.aof", b"*1\r\n")
    (aof / "a.2.incr.aof").write_bytes(b"")
    after, lost = fixed(aof)
    assert len(after.parts) == 2 and lost == Lost(4, 0, 0)


def test_a_missing_file_is_told(aof: Path) -> None:
    (aof / "a.1.incr.aof").unlink()
    aof_set = open_set(str(aof))
    with pytest.raises(AofError, match=r"a\.1\.incr\.aof is not the last file .*the file is missing"):
        plan_fix(aof_set, check_set(aof_set, ""), drop_later=False)
    after, lost = fixed(aof, drop_later=True)
    assert [part.name for part in after.parts] == ["a.1.base.aof"] and lost.commands == 1


@pytest.mark.parametrize("change", ["damage", "torn", "missing"])
def test_a_base_is_never_repaired(aof: Path, change: str) -> None:
    base = aof / "a.1.base.aof"
    if change == "missing":
        base.unlink()
    else:
        append(base, b"junk" if change == "damage" else b"*1\r\n")
    aof_set = open_set(str(aof))
    with pytest.raises(AofError, match=r"the base a\.1\.base\.aof is damaged.*Restore a backup"):
        plan_fix(aof_set, check_set(aof_set, ""), drop_later=True)


def test_no_step_leaves_a_set_with_a_hole(aof: Path) -> None:
    """Ended after any step, the set is refused or whole, and the next run ends the work."""
    append(aof / "a.1.incr.aof", b"junk")
    aof_set = open_set(str(aof))
    plan = plan_fix(aof_set, check_set(aof_set, ""), drop_later=True)
    assert plan is not None and plan.manifest is not None
    (aof / "a.manifest").write_bytes(plan.manifest.data())  # the manifest was written, then the power went
    report = check_set(open_set(str(aof)), "")
    assert report.condition == "damaged" and report.bad_file == "a.1.incr.aof"
    after, lost = fixed(aof)  # needs no drop_later any more
    assert len(after.parts) == 2 and lost.bytes == 4


def test_more_than_is_allowed_is_refused() -> None:
    require_small(Lost(100, 1, 2), 100)
    with pytest.raises(AofError, match=r"101 bytes, 1 whole commands in them, 2 s by .*max_truncate_bytes"):
        require_small(Lost(101, 1, 2), 100)


@pytest.mark.parametrize("data", [LINES[:-1], b"\n" + LINES, LINES + b"\r\n \n", LINES.replace(b"\nf", b"\n\nf")])
def test_a_manifest_is_mended_where_it_has_one_meaning(data: bytes) -> None:
    mended = mend_manifest(data)
    assert mended is not None and mended[0] == parse_manifest(LINES)


@pytest.mark.parametrize("data", [b"", b"\n\n", LINES + LINES[:31], LINES[:-4], LINES.replace(b"seq 2", b"seq 1")])
def test_other_manifests_are_not_guessed(data: bytes) -> None:
    with pytest.raises(ManifestError):
        mend_manifest(data)


def test_a_healthy_manifest_is_left() -> None:
    assert mend_manifest(LINES) is None
    assert mend_manifest(b"# a comment\n" + LINES) is None


def test_commands_behind_damage_are_counted_across_pieces(tmp_path: Path) -> None:
    one = encode([b"SET", b"k", b"v" * 1000])
    path = tmp_path / "file"
    path.write_bytes(b"junk\r\n" + one * 3000 + STAMP % 150 + one)
    assert search(str(path), 0) == (3001, 150)
    path.write_bytes(b"junk\r\n" + STAMP % 150 + STAMP % 160 + one)
    assert search(str(path), 0) == (1, 160)
