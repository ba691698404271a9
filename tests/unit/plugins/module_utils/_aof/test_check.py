# Copyright (c) GlobalScope contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict on a set, in numbers and words."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.check import (
    AofReport,
    FileReport,
    check_set,
)
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.parts import open_set
from ansible_collections.globalscope.redis_backup.plugins.module_utils._aof.resp import encode
from ansible_collections.globalscope.redis_backup.plugins.module_utils._errors import ProgramError

SET = encode([b"SET", b"key", b"value"])
MULTI = encode([b"MULTI"])
LINES = b"file a.1.base.aof seq 1 type b\nfile a.1.incr.aof seq 1 type i\nfile a.2.incr.aof seq 2 type i\n"


@pytest.fixture
def aof(tmp_path: Path) -> Path:
    (tmp_path / "a.manifest").write_bytes(LINES)
    for name in ("a.1.base.aof", "a.1.incr.aof", "a.2.incr.aof"):
        (tmp_path / name).write_bytes(b"#TS:100\r\n" + SET + SET)
    return tmp_path


def looked(folder: Path, *, live: bool = False) -> AofReport:
    return check_set(open_set(str(folder)), "", live=live)


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


def test_a_sound_one(aof: Path) -> None:
    report = looked(aof)
    document = report.document()
    assert document["valid"] and document["condition"] == "sound" and not document["warnings"]
    assert document["why"] == "3 files, 6 commands, nothing wrong"
    assert (document["bad_file"], document["truncated_bytes"], document["commands"]) == (None, 0, 6)
    assert (document["first_timestamp"], document["last_time"]) == (100, "1970-01-01T00:01:40Z")
    assert [file["kind"] for file in document["files"]] == ["base-aof", "incr", "incr"]
    assert document["ok_up_to"] == (aof / "a.2.incr.aof").stat().st_size


@pytest.mark.parametrize(
    ("end", "condition", "words"),
    [
        (b"*3\r\n$3\r\nSE", "torn", "a command or transaction that begins at byte"),
        (MULTI + SET, "torn", "append to a transaction that never ends"),
        (b"#TS:1", "torn", "would not start again"),
        (b"\0" * 30, "damaged", "where a command should begin"),
    ],
)
def test_the_end_of_the_last_file(aof: Path, end: bytes, condition: str, words: str) -> None:
    size = (aof / "a.2.incr.aof").stat().st_size
    append(aof / "a.2.incr.aof", end)
    report = looked(aof)
    assert (report.condition, report.bad_file, report.ok_up_to) == (condition, "a.2.incr.aof", size)
    assert report.truncated_bytes == len(end) and words in report.why()
    assert report.commands == 6
    assert looked(aof, live=True).condition == ("sound" if condition == "torn" else "damaged")


@pytest.mark.parametrize(("end", "condition"), [(b"*1\r\n", "damaged"), (MULTI, "damaged"), (b"#TS:1", "sound")])
def test_the_end_of_an_earlier_file(aof: Path, end: bytes, condition: str) -> None:
    append(aof / "a.1.incr.aof", end)
    for live in (False, True):
        report = looked(aof, live=live)
        assert report.condition == condition
    if condition == "sound":
        assert "it loads" in report.warnings()[0]
    else:
        assert report.truncated_bytes == len(end) + (aof / "a.2.incr.aof").stat().st_size
        assert "no server loads that, for 1 more follow" in report.why()


def test_what_loads_but_should_be_looked_at(aof: Path) -> None:
    (aof / "a.1.base.aof").write_bytes(b"")
    append(aof / "a.1.incr.aof", b"*1\n$4\nPING\r\n")
    append(aof / "a.2.incr.aof", b"#TS:99\r\n" + SET)
    report = looked(aof)
    assert report.valid
    assert [words.split(":")[0] for words in report.warnings()] == [
        "a.1.base.aof is empty",
        "a.1.incr.aof",
        "a.2.incr.aof",
    ]
    (aof / "a.manifest").write_bytes(b"".join(LINES.splitlines(keepends=True)[1:]))
    assert looked(aof).warnings()[0].startswith("the manifest names no base file")


def test_a_missing_file(aof: Path) -> None:
    (aof / "a.1.incr.aof").unlink()
    report = looked(aof)
    assert (report.condition, report.why()) == ("damaged", "a.1.incr.aof: the file is missing")


def test_a_refused_manifest() -> None:
    report = AofReport((), "line 2: Unknown AOF file type", "a.manifest")
    assert (report.condition, report.bad_file, report.ok_up_to) == ("damaged", "a.manifest", 0)
    assert report.document()["why"] == "the manifest a.manifest is refused: line 2: Unknown AOF file type"


def test_an_rdb_that_redis_would_cut_off_is_told() -> None:
    bad = FileReport("appendonly.aof", "single", size=110, ok_up_to=100, rdb_bytes=100, torn=True)
    assert "the RDB of 100 bytes with it" in AofReport((bad,)).why()


def test_an_rdb_needs_a_program(tmp_path: Path) -> None:
    (tmp_path / "appendonly.aof").write_bytes(b"REDIS0011" + b"\0" * 20)
    with pytest.raises(ProgramError, match="Name the program with executable"):
        check_set(open_set(str(tmp_path / "appendonly.aof")), "")


def test_annotations_are_damage_to_a_server_that_knows_none(aof: Path) -> None:
    report = check_set(open_set(str(aof)), "", annotations=False)
    assert report.condition == "damaged" and report.bad_file == "a.1.base.aof"
